//! `ferrybox link`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::render::escape;
use super::{Common, OK, Unfinished, Usage, block_on, client, print, reload, unlink};
use crate::config::{Account, Config, Edit, LoadOptions, Loaded};
use crate::dropbox::{self, Dropbox, LinkError, Linked, Pkce, Settings, Source, Tokens};
use crate::env;

/// The account's name, if nobody says another.
const USUAL: &str = "personal";
/// How often a code may be mistyped.
const TRIES: usize = 3;
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

Where nobody can type (a script, cloud-init), link in two steps: `ferrybox link personal --app-key KEY </dev/null`
prints the address, and within ten minutes `ferrybox link personal --code CODE` finishes.

Exit codes: 0 linked, 1 Dropbox or the keyring refused, 4 begun and waiting for --code, 64 the command line or the
configuration is wrong, or the code is for an account that does not belong here")]
pub(super) struct Link {
    /// The account's name in the configuration; may be left out if there is only one
    account: Option<String>,
    /// The app's key; kept in the configuration
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,
    /// Where to keep the token: keyring or file:PATH. Else as configured; else the keyring if there is one, else a file
    #[arg(long, value_name = "SOURCE")]
    credentials: Option<String>,
    /// The code of a link that was begun in the last ten minutes, in place of reading it from standard input
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Link another Dropbox account under this name: what was synced with the old one is forgotten (no file is touched)
    #[arg(long)]
    replace: bool,
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
        let directory = loaded.config.daemon.state_dir.join(&name);
        let begun = directory.join("link.json");
        // What stands in the way is said before a code is asked for, or spent.
        if self.replace
            && crate::daemon::known_account(&directory).is_some()
            && client::is_running(&loaded.config.daemon)
        {
            return Err(beside_a_daemon().into());
        }
        let configured = self.app_key.as_deref().or_else(|| account?.app_key.as_deref());
        let (pkce, app_key) = match &self.code {
            Some(_) => Pkce::kept(&begun, now_s())?.ok_or_else(|| {
                Usage(format!(
                    "no link of `{name}` was begun in the last ten minutes, and a code is only good together with that: run `ferrybox link {name}` first"
                ))
            })?,
            None => (Pkce::new()?, configured.ok_or_else(no_app_key)?.to_owned()),
        };
        let linking = Linking { name: &name, app_key: &app_key, source, settings: settings(account)?, directory };
        let linked = match &self.code {
            Some(code) => block_on(async { Ok(linking.redeem(code, &pkce).await?) })?,
            None => linking.ask(&pkce, &begun)?,
        };
        let source = block_on(linking.finish(linked, &loaded, self.replace))?;
        Pkce::forget(&begun)?;
        self.remember(common, &options, account, &linking, &source)?;
        if client::is_running(&loaded.config.daemon) {
            reload::tell(common)?;
        }
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
        let new_key = Some(linking.app_key).filter(|key| account.and_then(|a| a.app_key.as_deref()) != Some(*key));
        let same_place = account.is_some_and(|a| a.credentials == source.to_string());
        if same_place && new_key.is_none() {
            return Ok(());
        }
        let file = common.file_to_edit(options)?;
        let mut edit = Edit::open(&file)?;
        edit.set_account(linking.name, new_key, Some(&source.to_string()))?;
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
    /// The account's state directory.
    directory: PathBuf,
}

impl Linking<'_> {
    /// Shows the address and reads codes until one is good.
    fn ask(&self, pkce: &Pkce, begun: &Path) -> anyhow::Result<Linked> {
        pkce.keep(begun, self.app_key, now_s())?;
        let url = dropbox::authorize_url(self.settings.endpoints.web(), self.app_key, pkce, &[]);
        print(&format!("Open this address, allow the app, and copy the code:\n\n  {url}\n\n"))?;
        let mut refused = None;
        for left in (0..TRIES).rev() {
            let Some(code) = read_code()? else { break };
            match block_on(async { Ok(self.redeem(&code, pkce).await) })? {
                Err(error @ LinkError::Code(_)) if left > 0 => {
                    anstream::eprintln!("ferrybox: {}", escape(&error.to_string()));
                    refused = Some(error);
                }
                result => return Ok(result?),
            }
        }
        let name = self.name;
        Err(refused.map_or_else(
            || {
                let text = format!(
                    "no code was given; nothing is changed. Within ten minutes, `ferrybox link {name} --code CODE` finishes this link"
                );
                Unfinished(text).into()
            },
            anyhow::Error::from,
        ))
    }

    async fn redeem(&self, code: &str, pkce: &Pkce) -> Result<Linked, LinkError> {
        dropbox::exchange(&self.settings, self.app_key, code, pkce).await
    }

    /// Refuses an account that does not belong under this name: what it holds would meet the folders of another one.
    fn compare(&self, linked: &Linked, loaded: &Loaded, replace: bool) -> anyhow::Result<()> {
        let Some(id) = linked.account_id.as_deref() else { return Ok(()) };
        let state = &loaded.config.daemon.state_dir;
        let known = |name: &str| crate::daemon::known_account(&state.join(name));
        let others = loaded.config.accounts.iter().filter(|a| a.name != self.name);
        let twice = others.map(|a| a.name.as_str()).find(|name| known(name).as_deref() == Some(id));
        let wrong = if let Some(other) = twice {
            format!(
                "this Dropbox account is linked as `{other}` already: add its folders there, since two accounts would commit beside each other"
            )
        } else if !replace && known(self.name).is_some_and(|known| known != id) {
            format!(
                "the code is for another Dropbox account than the one that `{name}` was synced with: give it another name (`ferrybox link NAME`), \
                 or say --replace to forget what was synced with the old one (no file is touched)",
                name = self.name
            )
        } else {
            return Ok(());
        };
        Err(Usage(format!("{wrong}. Nothing is changed")).into())
    }

    /// What was synced with another account says nothing about this one.
    fn replace(&self, linked: &Linked, loaded: &Loaded) -> anyhow::Result<()> {
        let known = crate::daemon::known_account(&self.directory);
        if known.is_none() || known == linked.account_id {
            return Ok(());
        }
        if client::is_running(&loaded.config.daemon) {
            return Err(beside_a_daemon().into());
        }
        unlink::forget(&self.directory)
            .with_context(|| format!("the old account's database in {} cannot be removed", self.directory.display()))
    }

    fn client(&self, linked: &Linked) -> anyhow::Result<Dropbox> {
        let token = dropbox::Credentials::Access { access_token: linked.access_token.clone() };
        Ok(Dropbox::new(self.settings.clone(), Tokens::new(self.name, token))?)
    }

    /// Keeps the token, and says whose account it is. Gives the place where the token is now. One that cannot be kept is revoked: nobody could do
    /// that later.
    async fn finish(&self, linked: Linked, loaded: &Loaded, replace: bool) -> anyhow::Result<Source> {
        let source = match self.keep(&linked, loaded, replace).await {
            Ok(source) => source,
            Err(error) => {
                let revoked = match self.client(&linked) {
                    Ok(client) => client.revoke().await.is_ok(),
                    Err(_) => false,
                };
                anstream::eprintln!(
                    "ferrybox: {}",
                    if revoked {
                        "the new token is not kept, and was revoked"
                    } else {
                        "the new token is not kept, and could not be revoked: look under https://www.dropbox.com/account/connected_apps"
                    }
                );
                return Err(error);
            }
        };
        self.tell(&linked).await?;
        Ok(source)
    }

    /// Puts the token where it is kept, unless the account does not belong here.
    async fn keep(&self, linked: &Linked, loaded: &Loaded, replace: bool) -> anyhow::Result<Source> {
        self.compare(linked, loaded, replace)?;
        if replace {
            self.replace(linked, loaded)?;
        }
        let credentials = linked.credentials(self.app_key);
        let mut source = self.source.clone();
        if let Err(error) = source.store(self.name, &credentials).await {
            if source != Source::Keyring {
                return Err(error.into());
            }
            // A server has no keyring, as a rule. The code is spent, so the token goes to the next best place.
            let path = self.directory.join("credentials.json");
            print(&format!(
                "The keyring cannot be used ({}).\nThe token is kept in {} (readable by you alone).\n",
                escape(&error.to_string()),
                escape(&path.display().to_string())
            ))?;
            source = Source::File(path);
            source.store(self.name, &credentials).await?;
        }
        Ok(source)
    }

    /// Says what the app lacks, and whose account it is.
    async fn tell(&self, linked: &Linked) -> anyhow::Result<()> {
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
        match self.client(linked)?.current_account().await {
            Ok(whose) => {
                let (name, email) = (escape(&whose.display_name), escape(&whose.email));
                print(&format!("Linked {} to the account of {name} <{email}>.\n", self.name))?;
            }
            Err(error) => {
                let error = escape(&error.to_string());
                print(&format!("Linked {}; whose account it is could not be asked: {error}\n", self.name))?;
            }
        }
        Ok(())
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

/// One line; none at the end of the input.
fn read_code() -> anyhow::Result<Option<String>> {
    print("Code: ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the code cannot be read")?;
    let code = line.trim();
    if code.is_empty() && !io::stdin().is_terminal() {
        print("\n")?;
    }
    Ok(Some(code.to_owned()).filter(|code| !code.is_empty()))
}

fn beside_a_daemon() -> Usage {
    Usage("the daemon uses the old account's database: stop it before --replace, and run this again".to_owned())
}

fn no_app_key() -> Usage {
    Usage("say --app-key KEY: the key of your app at https://www.dropbox.com/developers/apps".to_owned())
}

/// Seconds since 1970.
fn now_s() -> i64 {
    env::now_ms().div_euclid(1000)
}
