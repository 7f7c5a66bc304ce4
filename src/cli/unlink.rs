//! `ferrybox unlink`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use super::render::escape;
use super::{Common, OK, Usage, block_on, client, link, print, reload};
use crate::config::Account;
use crate::dropbox::{CredentialError, Dropbox, Source, Tokens};

/// Unlink an account: revoke its token and forget it
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox unlink personal

Files stay, here and in Dropbox. So do the account's entry in the configuration and its database, which --forget
removes.

Exit codes: 0 unlinked, 1 the token could not be removed, 64 the command line or the configuration is wrong")]
pub(super) struct Unlink {
    /// The account's name in the configuration
    account: String,
    /// Remove the account's database too; the next run starts from scratch
    #[arg(long)]
    forget: bool,
}

impl Unlink {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let daemon = &loaded.config.daemon;
        let Some(account) = loaded.config.accounts.iter().find(|a| a.name == self.account) else {
            let names: Vec<&str> = loaded.config.accounts.iter().map(|a| a.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Usage(format!("there is no account `{}` (there is {names})", self.account)).into());
        };
        if self.forget && client::is_running(daemon) {
            return Err(Usage("the daemon uses the database: stop it before --forget".to_owned()).into());
        }
        let was_linked = block_on(revoke_and_forget(account))?;
        if self.forget {
            let directory = daemon.state_dir.join(&account.name);
            forget(&directory).with_context(|| format!("cannot remove the database in {}", directory.display()))?;
        }
        if !self.forget {
            reload::tell(common)?;
        }
        if !common.quiet && was_linked {
            print(&format!("Unlinked {}. Its files stay, here and in Dropbox.\n", account.name))?;
        } else if !common.quiet {
            print(&format!("{} was not linked; there is no token to revoke.\n", account.name))?;
        }
        Ok(OK)
    }
}

/// `false` if there were no credentials.
async fn revoke_and_forget(account: &Account) -> anyhow::Result<bool> {
    let source: Source = account.credentials.parse().map_err(Usage)?;
    match source.load(&account.name).await {
        Ok(credentials) => {
            let client = Dropbox::new(link::settings(Some(account))?, Tokens::new(&account.name, credentials))?;
            // A token that Dropbox has forgotten already, or cannot be told about now, is forgotten here all the same.
            if let Err(error) = client.revoke().await {
                let text = escape(&error.to_string());
                anstream::eprintln!("ferrybox: the token was not revoked: {text}");
                anstream::eprintln!("ferrybox: look under https://www.dropbox.com/account/connected_apps");
            }
        }
        Err(CredentialError::Missing { .. }) => return Ok(false),
        Err(error) => anstream::eprintln!(
            "ferrybox: the token cannot be read, so it is not revoked: {}",
            escape(&error.to_string())
        ),
    }
    source.forget(&account.name).await?;
    Ok(true)
}

/// Takes away the plain files of the account's directory, then the directory if nothing is left in it.
pub(super) fn forget(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result,
    }
}
