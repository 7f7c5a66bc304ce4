//! `auth/token/revoke`, `check/user`, `users/get_current_account`, `users/get_space_usage`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::edit;
use crate::wire::Refusal;

/// auth.stone, `token/revoke`; a Void result is `null`.
pub(crate) fn revoke(call: &Call) -> Result<Value, Refusal> {
    call.no_argument()?;
    call.shared.world().tokens.revoke(&call.token);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoArg {
    #[serde(default)]
    query: String,
}

/// check.stone, `user`: `EchoArg.query` has max_length 500.
pub(crate) fn check_user(call: &Call) -> Result<Value, Refusal> {
    let EchoArg { query } = call.parse()?;
    if query.chars().count() > 500 {
        return Err(call.bad("query: must be at most 500 characters"));
    }
    Ok(json!({ "result": query }))
}

/// users.stone, `FullAccount`.
pub(crate) fn current(call: &Call) -> Result<Value, Refusal> {
    call.no_argument()?;
    let world = call.shared.world();
    let account = world.account(call.account);
    let name = &account.spec.name;
    let (given, surname) = name.split_once(' ').unwrap_or((name, ""));
    let initials: String = [given, surname].iter().filter_map(|part| part.chars().next()).collect();
    let mut root_info = account.root_info();
    if let Some(root) = &account.told_root {
        edit::replace(&mut root_info, &json!({ "root_namespace_id": root }));
    }
    let mut result = json!({
        "account_id": account.id,
        "name": {
            "given_name": given,
            "surname": surname,
            "familiar_name": given,
            "display_name": name,
            "abbreviated_name": initials,
        },
        "email": account.spec.email,
        "email_verified": true,
        "disabled": false,
        "country": "DE",
        "locale": "en",
        "referral_link": "https://db.tt/stand-in",
        "is_paired": false,
        "account_type": { ".tag": if account.spec.team { "business" } else { "basic" } },
        "root_info": root_info,
    });
    if account.spec.team
        && let Some(fields) = result.as_object_mut()
    {
        fields.insert("team_member_id".to_owned(), json!(format!("dbmid:stand-in-{}", account.uid)));
    }
    Ok(result)
}

/// users.stone, `SpaceUsage`.
pub(crate) fn space_usage(call: &Call) -> Result<Value, Refusal> {
    call.no_argument()?;
    let world = call.shared.world();
    let account = world.account(call.account);
    Ok(json!({
        "used": account.tree.used,
        "allocation": { ".tag": "individual", "allocated": account.quota },
    }))
}
