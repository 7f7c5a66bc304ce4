//! Where an account's credentials are kept, and what may be done with each place.

pub(in crate::dropbox) mod file;
#[cfg(all(feature = "keyring", any(target_os = "linux", target_os = "macos")))]
mod keyring;
#[cfg(not(all(feature = "keyring", any(target_os = "linux", target_os = "macos"))))]
#[path = "credentials/no_keyring.rs"]
mod keyring;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::dropbox::client::wire;
use crate::env;
use crate::model::Failure;

/// How long a place may take to answer: a locked keyring may ask a person.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is kept: JSON with `refresh_token` and `app_key`, or with `access_token`.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Renewed by us.
    Refresh {
        /// Lives until it is revoked.
        refresh_token: SecretString,
        /// The app that it was given to.
        app_key: String,
    },
    /// Renewed by somebody else, or not at all.
    Access {
        /// Lives some hours.
        access_token: SecretString,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, deserialize_with = "wire::secret_if_any")]
    refresh_token: Option<SecretString>,
    app_key: Option<String>,
    #[serde(default, deserialize_with = "wire::secret_if_any")]
    access_token: Option<SecretString>,
}

impl Credentials {
    /// Reads the JSON; `at` names the place for errors. Nothing of the text ends up in an error.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`].
    pub fn parse(json: &str, at: &str) -> Result<Self, CredentialError> {
        let invalid = |what: &str| CredentialError::Invalid { at: at.to_owned(), what: what.to_owned() };
        let stored: Stored = serde_json::from_str(json.trim_start_matches('\u{feff}').trim()).map_err(|e| {
            invalid(&format!("no JSON of the expected form (line {}, column {})", e.line(), e.column()))
        })?;
        let full = |secret: &SecretString| !secret.expose_secret().trim().is_empty();
        match stored {
            Stored { refresh_token: Some(refresh_token), app_key: Some(app_key), access_token: None }
                if full(&refresh_token) && !app_key.trim().is_empty() =>
            {
                let refresh_token = refresh_token.expose_secret().trim().into();
                Ok(Self::Refresh { refresh_token, app_key: app_key.trim().to_owned() })
            }
            Stored { refresh_token: None, access_token: Some(access_token), .. } if full(&access_token) => {
                Ok(Self::Access { access_token: access_token.expose_secret().trim().into() })
            }
            Stored { refresh_token: Some(_), app_key: None, .. } => {
                Err(invalid("a refresh_token needs its app_key beside it"))
            }
            _ => Err(invalid("neither refresh_token with app_key nor access_token alone")),
        }
    }

    /// Whether both hold the same secrets.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refresh { refresh_token: a, app_key: x }, Self::Refresh { refresh_token: b, app_key: y }) => {
                a.expose_secret() == b.expose_secret() && x == y
            }
            (Self::Access { access_token: a }, Self::Access { access_token: b }) => {
                a.expose_secret() == b.expose_secret()
            }
            _ => false,
        }
    }

    fn to_json(&self) -> SecretString {
        match self {
            Self::Refresh { refresh_token, app_key } => {
                serde_json::json!({"refresh_token": refresh_token.expose_secret(), "app_key": app_key})
            }
            Self::Access { access_token } => serde_json::json!({"access_token": access_token.expose_secret()}),
        }
        .to_string()
        .into()
    }
}

/// A place, as `credentials = "..."` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `keyring`: the Secret Service or the Keychain.
    Keyring,
    /// `file:PATH`: a file of ours that nobody else can read.
    File(PathBuf),
    /// `systemd:NAME`: a `LoadCredential=` of the unit. Read only.
    Systemd(String),
    /// `env:NAME`: a variable that holds the JSON, or an access token by itself. Read only.
    Env(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\0', '=']) && name != "." && name != "..";
        match text.split_once(':') {
            None if text == "keyring" => Ok(Self::Keyring),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("systemd", name)) if plain(name) => Ok(Self::Systemd(name.to_owned())),
            Some(("env", name)) if plain(name) => Ok(Self::Env(name.to_owned())),
            _ => Err("credentials must be \"keyring\", \"file:PATH\", \"systemd:NAME\" or \"env:NAME\"".to_owned()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("keyring"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl Source {
    /// Reads the account's credentials.
    ///
    /// # Errors
    /// [`CredentialError`]; [`CredentialError::Missing`] where the account was never linked.
    pub async fn load(&self, account: &str) -> Result<Credentials, CredentialError> {
        let at = self.to_string();
        let missing = |hint: String| CredentialError::Missing { at: at.clone(), hint };
        let link = format!("run `ferrybox link {account}`");
        match self {
            Self::Keyring => {
                let user = account.to_owned();
                let text = apart(move || keyring::load(&user)).await??.ok_or_else(|| missing(link))?;
                Credentials::parse(text.expose_secret(), &at)
            }
            Self::File(path) => {
                let path = path.clone();
                let text = apart(move || file::load(&path)).await??.ok_or_else(|| missing(link))?;
                Credentials::parse(text.expose_secret(), &at)
            }
            Self::Systemd(name) => {
                let hint = format!(
                    "put LoadCredential={name}:PATH (or LoadCredentialEncrypted=) into the unit, and start ferrybox by it"
                );
                let dir = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| missing(hint.clone()))?;
                let path = PathBuf::from(dir).join(name);
                let text = apart(move || file::load_given(&path)).await??.ok_or_else(|| missing(hint))?;
                Credentials::parse(text.expose_secret(), &at)
            }
            Self::Env(name) => {
                let text: SecretString = match std::env::var(name) {
                    Ok(text) if !text.trim().is_empty() => text.into(),
                    _ => return Err(missing(format!("set the variable {name}"))),
                };
                let trimmed = text.expose_secret().trim();
                if trimmed.starts_with('{') || trimmed.contains(char::is_whitespace) {
                    return Credentials::parse(trimmed, &at);
                }
                Ok(Credentials::Access { access_token: trimmed.into() })
            }
        }
    }

    /// Keeps the account's credentials there, in place of what was there.
    ///
    /// # Errors
    /// [`CredentialError`]; [`CredentialError::ReadOnly`] says how to bring them to a place that cannot be written.
    pub async fn store(&self, account: &str, credentials: &Credentials) -> Result<(), CredentialError> {
        let json = credentials.to_json();
        match self {
            Self::Keyring => {
                let user = account.to_owned();
                apart(move || keyring::store(&user, &json)).await?
            }
            Self::File(path) => {
                let path = path.clone();
                apart(move || file::store(&path, &json)).await?
            }
            Self::Systemd(_) | Self::Env(_) => Err(self.read_only(account, "written")),
        }
    }

    /// Removes the account's credentials; those that are not there are removed already.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub async fn forget(&self, account: &str) -> Result<(), CredentialError> {
        match self {
            Self::Keyring => {
                let user = account.to_owned();
                apart(move || keyring::forget(&user)).await?
            }
            Self::File(path) => {
                let path = path.clone();
                apart(move || file::forget(&path)).await?
            }
            Self::Systemd(_) | Self::Env(_) => Err(self.read_only(account, "removed")),
        }
    }

    fn read_only(&self, account: &str, verb: &'static str) -> CredentialError {
        let hint = match self {
            Self::Systemd(name) => format!(
                "link with credentials = \"file:PATH\", then make that file the unit's LoadCredential={name}:PATH \
                 (or encrypt it with systemd-creds) and set credentials back"
            ),
            _ => format!("set credentials = \"file:PATH\" or \"keyring\" and run `ferrybox link {account}`"),
        };
        CredentialError::ReadOnly { at: self.to_string(), verb, hint }
    }
}

/// Runs what blocks on a thread of its own, which a stop of the runtime need not wait for.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CredentialError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let unavailable = |what: String| CredentialError::Unavailable { what };
    std::thread::Builder::new()
        .name("credentials".to_owned())
        .spawn(move || drop(tell.send(work())))
        .map_err(|e| unavailable(format!("no thread could be started: {e}")))?;
    match env::timeout(PATIENCE, told).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(unavailable("reading it failed inside; please report this".to_owned())),
        Err(_) => Err(unavailable(format!(
            "no answer within {} s (is a keyring waiting to be unlocked?); on a machine without a desktop set credentials = \"file:PATH\"",
            PATIENCE.as_secs()
        ))),
    }
}

/// Why credentials cannot be had or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There are none.
    #[error("no credentials at {at}: {hint}")]
    Missing {
        /// The place.
        at: String,
        /// What to do.
        hint: String,
    },
    /// They are there, but others could have read or written them.
    #[error("the credentials file `{}` is refused: {why}. {fix}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        fix: String,
    },
    /// The disk.
    #[error("the credentials file `{}` cannot be {verb}: {why}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// `read`, `written` or `removed`.
        verb: &'static str,
        /// The system's word.
        why: String,
    },
    /// Not ours to write.
    #[error("{at} cannot be {verb} by ferrybox: {hint}")]
    ReadOnly {
        /// The place.
        at: String,
        /// `written` or `removed`.
        verb: &'static str,
        /// What to do.
        hint: String,
    },
    /// What is there is not what is expected.
    #[error(
        "{at} holds {what}; expected is {{\"refresh_token\": \"...\", \"app_key\": \"...\"}} or {{\"access_token\": \"...\"}}"
    )]
    Invalid {
        /// The place.
        at: String,
        /// What was found instead, without its content.
        what: String,
    },
    /// The place does not answer.
    #[error("the place of the credentials is not available: {what}")]
    Unavailable {
        /// What happened and what to do.
        what: String,
    },
}

impl CredentialError {
    /// What follows for the account.
    pub fn failure(&self) -> Failure {
        Failure::account("auth_required", self.to_string())
    }
}
