//! Credentials in the system's keyring: the Secret Service on Linux, the Keychain on macOS. Everything here blocks.

use std::sync::Arc;

use keyring_core::{CredentialStore, Entry, Error};
use secrecy::{ExposeSecret, SecretString};

use super::CredentialError;
use crate::dropbox::error::tame;

const SERVICE: &str = "ferrybox";

#[cfg(target_os = "linux")]
fn open() -> Result<Arc<CredentialStore>, Error> {
    let store: Arc<CredentialStore> = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

#[cfg(target_os = "macos")]
fn open() -> Result<Arc<CredentialStore>, Error> {
    let store: Arc<CredentialStore> = apple_native_keyring_store::keychain::Store::new()?;
    Ok(store)
}

fn entry(user: &str) -> Result<Entry, Error> {
    open()?.build(SERVICE, user, None)
}

pub(super) fn load(user: &str) -> Result<Option<SecretString>, CredentialError> {
    match entry(user).and_then(|entry| entry.get_password()) {
        Ok(text) => Ok(Some(text.into())),
        Err(Error::NoEntry) => Ok(None),
        Err(e) => Err(unavailable(&e)),
    }
}

pub(super) fn store(user: &str, json: &SecretString) -> Result<(), CredentialError> {
    entry(user).and_then(|entry| entry.set_password(json.expose_secret())).map_err(|e| unavailable(&e))
}

pub(super) fn forget(user: &str) -> Result<(), CredentialError> {
    match entry(user).and_then(|entry| entry.delete_credential()) {
        Ok(()) | Err(Error::NoEntry) => Ok(()),
        Err(e) => Err(unavailable(&e)),
    }
}

/// Some of these errors hold the secret's bytes: only what is known to be harmless is shown.
fn unavailable(error: &Error) -> CredentialError {
    let said = match error {
        Error::PlatformFailure(e) => format!("the keyring cannot be reached ({e})"),
        Error::NoStorageAccess(e) => format!("the keyring is locked or denies access ({e})"),
        Error::Ambiguous(_) => "the keyring holds more than one entry for this account: remove all but one".to_owned(),
        Error::BadEncoding(_) | Error::BadDataFormat(..) => "the keyring's entry is not a text".to_owned(),
        Error::TooLong(..) | Error::Invalid(..) => "the keyring does not take this account's name".to_owned(),
        _ => "the keyring cannot be used".to_owned(),
    };
    let hint = "on a machine without a desktop set credentials = \"file:PATH\" in the account's configuration, \
                then run `ferrybox link`";
    CredentialError::Unavailable { what: format!("{}; {hint}", tame(&said)) }
}
