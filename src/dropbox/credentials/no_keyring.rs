//! What stands in for the keyring where a build has none.

use secrecy::SecretString;

use super::CredentialError;

fn absent<T>() -> Result<T, CredentialError> {
    let what = "this build of ferrybox has no keyring: set credentials = \"file:PATH\", then run `ferrybox link`";
    Err(CredentialError::Unavailable { what: what.to_owned() })
}

pub(super) fn load(_user: &str) -> Result<Option<SecretString>, CredentialError> {
    absent()
}

pub(super) fn store(_user: &str, _json: &SecretString) -> Result<(), CredentialError> {
    absent()
}

pub(super) fn forget(_user: &str) -> Result<(), CredentialError> {
    absent()
}
