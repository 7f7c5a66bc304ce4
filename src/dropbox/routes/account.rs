//! Whose account it is.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::dropbox::client::Dropbox;
use crate::dropbox::client::settings::PathRoot;
use crate::dropbox::error::{CallError, Transport, tame};
use crate::dropbox::routes;

pub use crate::model::status::Space;

/// The account that the token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `dbid:...`: what the state database belongs to.
    pub account_id: String,
    /// Its address.
    pub email: String,
    /// Its name, for people.
    pub display_name: String,
    /// What `path_root = "root"` means.
    pub root_namespace_id: String,
    /// What `path_root = "home"` means.
    pub home_namespace_id: String,
}

#[derive(Deserialize)]
struct Wire {
    account_id: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: Name,
    root_info: RootInfo,
}

#[derive(Deserialize, Default)]
struct Name {
    #[serde(default)]
    display_name: String,
}

#[derive(Deserialize)]
struct RootInfo {
    root_namespace_id: String,
    home_namespace_id: String,
}

impl Dropbox {
    /// Whose account it is. Sent without a path root, so that it works when that is wrong.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn current_account(&self) -> Result<Account, CallError> {
        let value = self.rpc_without_root(&routes::CURRENT_ACCOUNT).await?;
        let wire: Wire = serde_json::from_value(value)
            .map_err(|_| Transport::protocol("users/get_current_account: the reply is not an account"))?;
        Ok(Account {
            account_id: tame(&wire.account_id),
            email: tame(&wire.email),
            display_name: tame(&wire.name.display_name),
            root_namespace_id: wire.root_info.root_namespace_id,
            home_namespace_id: wire.root_info.home_namespace_id,
        })
    }

    /// The namespace that paths are in, with this client's path root.
    pub fn namespace_of<'a>(&'a self, account: &'a Account) -> &'a str {
        match &self.settings().path_root {
            PathRoot::Home => &account.home_namespace_id,
            PathRoot::Root => &account.root_namespace_id,
            PathRoot::Namespace(id) => id,
        }
    }

    /// How full it is. In a team's shared space the figures are the team's, or the member's own where a limit was set for them.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn space_usage(&self) -> Result<Space, CallError> {
        let value = self.rpc(&routes::SPACE_USAGE, &Value::Null).await?;
        space(&value).ok_or_else(|| Transport::protocol("users/get_space_usage: the reply gives no figures").into())
    }

    /// Whether Dropbox can be reached and the token is good.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn check_user(&self) -> Result<(), CallError> {
        let value = self.rpc(&routes::CHECK_USER, &json!({"query": "ferrybox"})).await?;
        match value.get("result").and_then(Value::as_str) {
            Some("ferrybox") => Ok(()),
            _ => Err(Transport::protocol("check/user: the reply is not the echo of the question").into()),
        }
    }

    /// Ends the access token, and its refresh token with it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn revoke(&self) -> Result<(), CallError> {
        self.rpc(&routes::REVOKE, &Value::Null).await.map(drop)
    }
}

fn space(value: &Value) -> Option<Space> {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let used = number(value, "used")?;
    let allocation = value.get("allocation")?;
    let allocated = number(allocation, "allocated")?;
    let own = number(allocation, "user_within_team_space_allocated").filter(|own| *own > 0);
    Some(match (own, number(allocation, "used")) {
        (Some(own), team) => Space {
            used: number(allocation, "user_within_team_space_used_cached").or(team).unwrap_or(used),
            allocated: own,
        },
        (None, Some(team)) => Space { used: team, allocated },
        (None, None) => Space { used, allocated },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_of_a_person_a_team_and_a_member_with_a_limit() {
        let person = json!({"used": 3, "allocation": {".tag": "individual", "allocated": 10}});
        assert_eq!(space(&person), Some(Space { used: 3, allocated: 10 }));
        let team = |own: u64| {
            json!({"used": 3, "allocation": {".tag": "team", "used": 7, "allocated": 10,
                "user_within_team_space_allocated": own, "user_within_team_space_used_cached": 4}})
        };
        assert_eq!(space(&team(0)), Some(Space { used: 7, allocated: 10 }));
        assert_eq!(space(&team(5)), Some(Space { used: 4, allocated: 5 }));
        assert_eq!(space(&json!({"used": "3"})), None);
    }
}
