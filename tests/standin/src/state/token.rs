//! Authorization codes, refresh tokens and access tokens.

use std::collections::HashMap;
use std::time::Duration;

use super::AccountKey;

/// A code that `/oauth2/authorize` showed.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) account: AccountKey,
    pub(crate) client: String,
    /// The S256 challenge; `None` where none was given.
    pub(crate) challenge: Option<String>,
    pub(crate) offline: bool,
    pub(crate) scopes: Vec<String>,
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub(crate) account: AccountKey,
    pub(crate) client: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) revoked: bool,
}

/// What an access token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) account: AccountKey,
    pub(crate) refresh: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// On the server's clock; `None` lives for ever.
    pub(crate) expires: Option<Duration>,
    pub(crate) revoked: bool,
}

/// All of them, by their text.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) refresh: HashMap<String, Refresh>,
    pub(crate) access: HashMap<String, Access>,
}

impl Tokens {
    /// The account of an access token, or the tag of the `auth.AuthError`.
    pub(crate) fn check(&self, token: &str, now: Duration) -> Result<&Access, &'static str> {
        let access = self.access.get(token).filter(|access| !access.revoked).ok_or("invalid_access_token")?;
        if access.expires.is_some_and(|at| at <= now) {
            return Err("expired_access_token");
        }
        Ok(access)
    }

    /// Every access token of an account has expired.
    pub(crate) fn expire(&mut self, account: AccountKey, now: Duration) {
        for access in self.access.values_mut().filter(|access| access.account == account) {
            access.expires = Some(now);
        }
    }

    /// Every refresh token of an account is revoked, and with it its access tokens (auth.stone, `token/revoke`).
    pub(crate) fn revoke_account(&mut self, account: AccountKey) {
        for refresh in self.refresh.values_mut().filter(|refresh| refresh.account == account) {
            refresh.revoked = true;
        }
        for access in self.access.values_mut().filter(|access| access.account == account && access.refresh.is_some()) {
            access.revoked = true;
        }
    }

    /// `token/revoke`: this access token, its refresh token, and that one's other access tokens.
    pub(crate) fn revoke(&mut self, token: &str) {
        let Some(access) = self.access.get_mut(token) else { return };
        access.revoked = true;
        let Some(name) = access.refresh.clone() else { return };
        if let Some(refresh) = self.refresh.get_mut(&name) {
            refresh.revoked = true;
        }
        for access in self.access.values_mut().filter(|access| access.refresh.as_deref() == Some(&*name)) {
            access.revoked = true;
        }
    }
}
