//! The control surface, `/standin/...`: JSON over HTTP, for scripts that have no Rust.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::account::Account;
use crate::fault::Fault;
use crate::http::body::Body;
use crate::http::reply::Reply;
use crate::settings::{Pace, Settings};
use crate::shared::{Shared, lock};
use crate::state::AccountKey;
use crate::state::sharing::Rights;

/// Serves one control request.
pub(crate) async fn serve(shared: &Arc<Shared>, method: &Method, what: &str, incoming: Incoming) -> Reply {
    let Ok(data) = Body::new(incoming, None, None).collect(64 * 1024 * 1024).await else {
        return Reply::text(400, "the body did not arrive");
    };
    let argument = if data.is_empty() { Value::Null } else { serde_json::from_slice(&data).unwrap_or(Value::Null) };
    let account =
        argument.get("account").and_then(Value::as_u64).and_then(|key| usize::try_from(key).ok()).unwrap_or(0);
    if account >= shared.world().accounts.len() {
        return Reply::json(404, &json!({ "error": "no such account" }));
    }
    let account = Account::new(Arc::clone(shared), AccountKey(account));
    let done =
        if *method == Method::GET { read(shared, &account, what) } else { act(shared, &account, what, &argument) };
    match done {
        Ok(value) => Reply::json(200, &value),
        Err(why) => Reply::json(400, &json!({ "error": why })),
    }
}

fn read(shared: &Shared, account: &Account, what: &str) -> Result<Value, String> {
    let record = || lock(&shared.record);
    Ok(match what {
        "violations" => json!(record().violations),
        "calls" => json!(record().stats.routes),
        "files" => json!(account.files()),
        "folders" => json!(account.folders()),
        "tree_hashes" => json!(account.tree_hashes()),
        "faults" => json!({ "hits": lock(&shared.faults).hits() }),
        "account" => json!({
            "account_id": account.account_id(),
            "root_namespace_id": account.root_namespace_id(),
            "used": account.used(),
            "files": account.file_count(),
            "sessions": shared.world().sessions.values().filter(|session| !session.committed).count(),
        }),
        _ => return Err(format!("GET {what}: unknown")),
    })
}

fn act(shared: &Shared, account: &Account, what: &str, argument: &Value) -> Result<Value, String> {
    let text =
        |name: &str| argument.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name}: a text is needed"));
    let number =
        |name: &str| argument.get(name).and_then(Value::as_u64).ok_or_else(|| format!("{name}: a number is needed"));
    match what {
        "faults" => {
            let fault: Fault = serde_json::from_value(argument.clone()).map_err(|error| error.to_string())?;
            lock(&shared.faults).add(fault);
        }
        "faults/clear" => lock(&shared.faults).clear(),
        "reset" => {
            let mut record = lock(&shared.record);
            record.stats.reset();
            record.violations.clear();
        }
        "tokens/expire" => account.expire_tokens(),
        "tokens/revoke" => account.revoke_refresh(),
        "tokens/access" => return Ok(json!({ "access_token": account.short_lived_token() })),
        "tokens/refresh" => return Ok(json!({ "refresh_token": account.refresh_token() })),
        "sessions/expire" => shared.world().sessions.clear(),
        "cursors/reset" => account.reset_cursors(),
        "cursors/spoil" => account.spoil_cursors(number("count")?),
        "transport/renew" => account.renew_transport(),
        "omit" => account.omit(text("path")?),
        "list_again" => account.list_again(text("path")?),
        "root" => {
            account.tell_root(argument.get("told").and_then(Value::as_str));
            account.refuse_root(argument.get("refused").and_then(Value::as_bool).unwrap_or(false));
        }
        "advance" => shared.advance(Duration::from_secs(number("seconds")?)),
        "generate" => account.generate("", usize::try_from(number("entries")?).unwrap_or(0)),
        "write" => {
            let rev = account.write(text("path")?, text("text")?.to_owned());
            return rev.map(|rev| json!({ "rev": rev })).ok_or_else(|| "a rule forbids it".to_owned());
        }
        "delete" => return Ok(json!(account.delete(text("path")?))),
        "make_folder" => return Ok(json!(account.make_folder(text("path")?))),
        "rename" => return Ok(json!(account.rename(text("from")?, text("to")?))),
        "decorate" => account.decorate(text("path")?, argument.get("fields").cloned().unwrap_or(Value::Null)),
        "quota" => account.set_quota(number("bytes")?),
        "backoff" => account.set_longpoll_backoff(number("seconds").ok()),
        "settings" => settings(shared, argument)?,
        _ => return shared_out(account, what, argument),
    }
    Ok(json!({ "ok": true }))
}

/// Shared folders, rights, locks, and what is in the way unseen.
fn shared_out(account: &Account, what: &str, argument: &Value) -> Result<Value, String> {
    let path = || argument.get("path").and_then(Value::as_str).ok_or_else(|| "path: a text is needed".to_owned());
    let done = match what {
        "mount" => account.mount(path()?, field(argument, "kind")?),
        "unmount" => account.unmount(path()?),
        "rights" => {
            let rights: Option<Rights> = field(argument, "rights")?;
            account.set_rights(path()?, rights)
        }
        "lock" => match argument.get("holder").and_then(Value::as_str) {
            Some(holder) => account.lock(path()?, holder),
            None => account.lock_own(path()?),
        },
        "unlock" => account.unlock(path()?),
        "obstruct" => {
            account.obstruct(path()?, field(argument, "obstacle")?);
            true
        }
        "clear_way" => {
            account.clear_way(path()?);
            true
        }
        _ => return Err(format!("POST {what}: unknown")),
    };
    Ok(json!(done))
}

fn field<T: DeserializeOwned>(argument: &Value, name: &str) -> Result<T, String> {
    let value = argument.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}

/// Settings that are no plain numbers. False: it is none of these.
fn special(settings: &mut Settings, name: &str, value: &Value) -> Result<bool, String> {
    fn take<T: DeserializeOwned>(to: &mut T, name: &str, value: &Value) -> Result<(), String> {
        *to = serde_json::from_value(value.clone()).map_err(|error| format!("{name}: {error}"))?;
        Ok(())
    }
    match name {
        "folding" => take(&mut settings.folding, name, value)?,
        "overlap" => take(&mut settings.overlap, name, value)?,
        "repeated_finish" => take(&mut settings.repeated_finish, name, value)?,
        "parents_unlisted" => take(&mut settings.parents_unlisted, name, value)?,
        "listing_breaks_after" => take(&mut settings.listing_breaks_after, name, value)?,
        "recursive_most" => take(&mut settings.recursive_most, name, value)?,
        "app_folder" => take(&mut settings.app_folder, name, value)?,
        "transport_limit" => take(&mut settings.transport_limit, name, value)?,
        "transport_locale" => take(&mut settings.transport_locale, name, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The settings that a script may change while the server runs; times in milliseconds.
fn settings(shared: &Shared, argument: &Value) -> Result<(), String> {
    let fields = argument.as_object().ok_or("an object is needed")?;
    let mut settings = shared.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (name, value) in fields {
        if special(&mut settings, name, value)? {
            continue;
        }
        let number = value.as_u64().ok_or_else(|| format!("{name}: a number is needed"))?;
        let (size, time) = (usize::try_from(number).unwrap_or(usize::MAX), Duration::from_millis(number));
        match name.as_str() {
            "latency" => settings.latency = time,
            "commit_duration" => settings.commit = Pace { per_batch: time, per_entry: settings.commit.per_entry },
            "commit_per_entry" => settings.commit = Pace { per_entry: time, per_batch: settings.commit.per_batch },
            "single_commit" => settings.single_commit = time,
            "listing_time" => settings.listing_time = time,
            "listing_lag" => settings.listing_lag = time,
            "top_folders_settle" => settings.top_folders_settle = time,
            "longpoll_limit" => settings.longpoll_limit = Some(time),
            "bandwidth" => settings.bandwidth = Some(number).filter(|rate| *rate > 0),
            "page_size" => settings.page_size = size,
            "header_cap" => settings.header_cap = size,
            "max_append_entries" => settings.max_append_entries = size,
            other => return Err(format!("{other}: unknown setting")),
        }
    }
    Ok(())
}
