//! `ferrybox config check` and `ferrybox config show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::render::{DIM, PLAIN, counted, escape};
use super::{Common, OK, Usage, block_on, print};
use crate::config::{Account, Config};
use crate::dropbox::{CredentialError, Source};

/// Check or show the configuration
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:
  ferrybox config check
  ferrybox config show"
)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Read every layer and list everything that is wrong
    #[command(after_help = "Example:
  ferrybox config check --config ./config.toml

Accounts that are not linked yet are named, too; that is no mistake in the configuration.

Exit codes: 0 nothing is wrong, 64 each thing that is wrong is named with its file and line")]
    Check,
    /// Show every value and where it was set
    #[command(after_help = "Example:
  ferrybox config show
  ferrybox config show --json | jq '.[] | select(.key == \"upload.workers\")'

Secrets are not part of the configuration and never shown.

Exit codes: 0 shown, 64 the configuration is wrong")]
    Show {
        /// A list of {\"key\", \"value\", \"set_in\"}
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        match self.command {
            Which::Check => check(common),
            Which::Show { json } => show(common, json),
        }
    }
}

fn check(common: &Common) -> anyhow::Result<u8> {
    let loaded = common.load()?;
    one_name_an_account(&loaded.config)?;
    if common.quiet {
        return Ok(OK);
    }
    let accounts = loaded.config.accounts.len() as u64;
    let folders: usize = loaded.config.accounts.iter().map(|a| a.folders.len()).sum();
    let files: Vec<String> = loaded.files.iter().map(|f| escape(&f.display().to_string())).collect();
    let read = if files.is_empty() { "no file, the built-in defaults".to_owned() } else { files.join(", ") };
    let (accounts, folders) = (counted(accounts, "account", "accounts"), counted(folders as u64, "folder", "folders"));
    let notes = block_on(async {
        let mut notes = Vec::new();
        for account in &loaded.config.accounts {
            notes.extend(link_missing(account).await?);
        }
        Ok(notes)
    })?;
    if notes.is_empty() {
        print(&format!("The configuration is right: {accounts}, {folders} ({read}).\n"))?;
    } else {
        print(&format!("Nothing in the configuration is wrong ({accounts}, {folders}; {read}), but:\n"))?;
        for note in notes {
            print(&format!("- {}\n", escape(&note)))?;
        }
    }
    Ok(OK)
}

/// Two names for one Dropbox account would commit side by side. Known of accounts that were synced before.
fn one_name_an_account(config: &Config) -> Result<(), Usage> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for account in &config.accounts {
        let Some(id) = crate::daemon::known_account(&config.daemon.state_dir.join(&account.name)) else { continue };
        if let Some(first) = known.insert(id, &account.name) {
            return Err(Usage(format!(
                "`{first}` and `{}` are the same Dropbox account, and commits of one account must not run side by side: move the folders of one to the other and remove it",
                account.name
            )));
        }
    }
    Ok(())
}

/// Why the account cannot be used yet, although its table is right.
async fn link_missing(account: &Account) -> anyhow::Result<Option<String>> {
    let name = &account.name;
    let source: Source = account.credentials.parse().map_err(Usage)?;
    Ok(match source.load(name).await {
        Ok(_) => None,
        Err(CredentialError::Missing { .. }) => {
            Some(format!("account `{name}` is not linked yet: run `ferrybox link {name}`"))
        }
        Err(error) => Some(format!("account `{name}`: {error}")),
    })
}

fn show(common: &Common, json: bool) -> anyhow::Result<u8> {
    let loaded = common.load_lightly()?;
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&loaded.settings)?))?;
        return Ok(OK);
    }
    let pairs: Vec<String> = loaded.settings.iter().map(|s| escape(&format!("{} = {}", s.key, s.value))).collect();
    let width = pairs.iter().map(|p| p.chars().count()).max().unwrap_or_default().min(60);
    let mut text = String::new();
    for (pair, setting) in pairs.iter().zip(&loaded.settings) {
        let _ = writeln!(text, "{pair:<width$}  {DIM}# {}{PLAIN}", escape(&setting.set_in));
    }
    print(&text)?;
    Ok(OK)
}
