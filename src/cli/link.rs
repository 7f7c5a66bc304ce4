//! `ferrybox link`.

use std::io::{self, BufRead as _};
use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use super::render::escape;
use super::{Common, OK, Usage, block_on, print};
use crate::config::{Account, Config, Edit, LoadOptions, Loaded};
use crate::dropbox::{self, Dropbox, Pkce, Settings, Source, Tokens};

/// The account's name, if nobody says another.
const USUAL: &str = "personal";
/// What the app must be allowed to do.
const SCOPES: [&str; 5] =
    ["account_info.read", "files.metadata.read", "files.metadata.write", "files.content.read", "files.content.write"];

/// Link a Dropbox account
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox link personal --app-key abcdef123456

Prints an address to open in any browser, on any computer; allow the app there and paste the code that Dropbox
shows. The app is one of your own: make it at https://www.dropbox.com/developers/apps (scoped access, and the
permissions files.metadata, files.content, each read and write, and account_info.read).

Exit codes: 0 linked, 1 Dropbox or the keyring refused, 64 the command line or the configuration is wrong")]
pub(super) struct Link {
    /// The account's name in the configuration; may be left out if there is only one
    account: Option<String>,
    /// The app's key; kept in the configuration
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,
    /// Where to keep the token: keyring or file:PATH. Else as configured; else the keyring if there is one, else a file
    #[arg(long, value_name = "SOURCE")]
    credentials: Option<String>,
    /// The code, in place of reading it from standard input
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

impl Link {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let options = may_be_new(common);
        let loaded = Config::load(&options)?;
        let accounts = &loaded.config.accounts;
        let name = match (&self.account, accounts.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => only.name.clone(),
            (None, []) => USUAL.to_owned(),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|a| a.name.as_str()).collect();
                return Err(Usage(format!("say which account: {}", names.join(", "))).into());
            }
        };
        let account = accounts.iter().find(|a| a.name == name);
        // Wrong things are said before anybody opens a browser.
        crate::config::check_name(&name).map_err(Usage)?;
        let app_key = self.app_key.as_deref().or_else(|| account?.app_key.as_deref()).ok_or_else(|| {
            Usage("say --app-key KEY: the key of your app at https://www.dropbox.com/developers/apps".to_owned())
        })?;
        let wanted = match (&self.credentials, account) {
            (Some(text), _) => crate::config::credentials_source(text, &options).map_err(Usage)?,
            (None, Some(account)) => account.credentials.clone(),
            (None, None) => "keyring".to_owned(),
        };
        let source: Source = wanted.parse().map_err(Usage)?;
        if matches!(source, Source::Systemd(_) | Source::Env(_)) {
            let text =
                format!("{wanted} cannot be written: say --credentials file:PATH, and hand that file over afterwards");
            return Err(Usage(text).into());
        }
        let settings = settings(account)?;
        let pkce = Pkce::new()?;
        let url = dropbox::authorize_url(settings.endpoints.web(), app_key, &pkce, &[]);
        print(&format!("Open this address, allow the app, and copy the code:\n\n  {url}\n\n"))?;
        let code = match &self.code {
            Some(code) => code.clone(),
            None => read_code()?,
        };
        let linking = Linking { name: &name, app_key, source, settings };
        let source = block_on(linking.finish(&code, &pkce, &loaded))?;
        self.remember(common, &options, account, &linking, &source)?;
        Ok(OK)
    }

    /// Writes into the configuration what is new in it.
    fn remember(
        &self,
        common: &Common,
        options: &LoadOptions,
        account: Option<&Account>,
        linking: &Linking<'_>,
        source: &Source,
    ) -> anyhow::Result<()> {
        let new_key = self.app_key.as_deref().filter(|key| account.and_then(|a| a.app_key.as_deref()) != Some(*key));
        let same_place = account.is_some_and(|a| a.credentials == source.to_string());
        if same_place && new_key.is_none() {
            return Ok(());
        }
        let file = common.file_to_edit(options)?;
        let mut edit = Edit::open(&file)?;
        edit.set_account(linking.name, new_key, &source.to_string())?;
        edit.save(options).context("the account is linked, but the configuration could not be written")?;
        if !common.quiet {
            print(&format!("Written to {}.\n", escape(&file.display().to_string())))?;
            if account.is_none() {
                print("Next: `ferrybox add LOCAL REMOTE`, then `ferrybox run`.\n")?;
            }
        }
        Ok(())
    }
}

struct Linking<'a> {
    name: &'a str,
    app_key: &'a str,
    source: Source,
    settings: Settings,
}

impl Linking<'_> {
    /// Redeems the code, keeps the token, and says whose account it is. Gives the place where the token is now.
    async fn finish(&self, code: &str, pkce: &Pkce, loaded: &Loaded) -> anyhow::Result<Source> {
        let linked = dropbox::exchange(&self.settings, self.name, self.app_key, code, pkce).await?;
        let credentials = linked.credentials(self.app_key);
        let mut source = self.source.clone();
        if let Err(error) = source.store(self.name, &credentials).await {
            if source != Source::Keyring {
                return Err(error.into());
            }
            // A server has no keyring, as a rule. The code is spent, so the token goes to the next best place.
            let path = loaded.config.daemon.state_dir.join(self.name).join("credentials.json");
            print(&format!(
                "The keyring cannot be used ({}).\nThe token is kept in {} (readable by you alone).\n",
                escape(&error.to_string()),
                escape(&path.display().to_string())
            ))?;
            source = Source::File(path);
            source.store(self.name, &credentials).await?;
        }
        let missing: Vec<&str> = SCOPES
            .into_iter()
            .filter(|scope| !linked.scope.is_empty() && !linked.scope.split_whitespace().any(|s| s == *scope))
            .collect();
        if !missing.is_empty() {
            anstream::eprintln!(
                "ferrybox: the app lacks {}: tick it under Permissions at https://www.dropbox.com/developers/apps and link again",
                missing.join(", ")
            );
        }
        let token = dropbox::Credentials::Access { access_token: linked.access_token };
        let client = Dropbox::new(self.settings.clone(), Tokens::new(self.name, token))?;
        match client.current_account().await {
            Ok(whose) => {
                let (name, email) = (escape(&whose.display_name), escape(&whose.email));
                print(&format!("Linked {} to the account of {name} <{email}>.\n", self.name))?;
            }
            Err(error) => {
                let error = escape(&error.to_string());
                print(&format!("Linked {}; whose account it is could not be asked: {error}\n", self.name))?;
            }
        }
        Ok(source)
    }
}

/// The options of a command that makes the file if it is not there.
fn may_be_new(common: &Common) -> LoadOptions {
    let mut options = common.options(false);
    let missing = |file: &Path| std::fs::symlink_metadata(file).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    if let Some(file) = options.file.take_if(|file| missing(file)) {
        options.surroundings.system_file.clone_from(&file);
        options.surroundings.user_file = file;
    }
    options
}

/// What the wire needs to know of an account, without its path root: linking is about the account itself.
pub(super) fn settings(account: Option<&Account>) -> anyhow::Result<Settings> {
    let usual = crate::config::Endpoints::default();
    let at = account.map_or(&usual, |a| &a.endpoints);
    let endpoints = dropbox::Endpoints::new(&at.api, &at.content, &at.notify, &at.web)?;
    let mut settings = Settings::new(endpoints);
    settings.ca_file.clone_from(&at.ca_file);
    Ok(settings)
}

fn read_code() -> anyhow::Result<String> {
    print("Code: ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the code cannot be read")?;
    let code = line.trim();
    if code.is_empty() {
        return Err(Usage("no code was given; nothing is changed".to_owned()).into());
    }
    Ok(code.to_owned())
}
