//! `list_folder`, `continue`, `get_latest_cursor`, `longpoll`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::fault::Effect;
use crate::path::{Form, Reference};
use crate::state::cursor::{Cursor, Position};
use crate::state::listing::Page;
use crate::state::{AccountKey, World};
use crate::violation::ViolationKind;
use crate::wire::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFolderArg {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    include_deleted: bool,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    shared_link: Option<SharedLink>,
    #[serde(default)]
    include_media_info: bool,
    #[serde(default)]
    include_has_explicit_shared_members: bool,
    #[serde(default = "yes")]
    include_mounted_folders: bool,
    #[serde(default, rename = "include_property_groups")]
    _include_property_groups: Option<Value>,
    #[serde(default = "yes")]
    include_non_downloadable_files: bool,
    #[serde(default)]
    include_restorable_info: bool,
}

/// files.stone, `SharedLink`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedLink {
    url: String,
    #[serde(default)]
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContinueArg {
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongpollArg {
    cursor: String,
    #[serde(default = "thirty")]
    timeout: u64,
}

fn yes() -> bool {
    true
}

fn thirty() -> u64 {
    30
}

/// A cursor at the start of a listing.
fn open(call: &Call) -> Result<Cursor, Refusal> {
    let arg: ListFolderArg = call.parse()?;
    let reference = call.reference(Form::PathROrId, &arg.path)?;
    if arg.path == "/" {
        return Err(call.bad("path: Specify the root folder as an empty string rather than as \"/\"."));
    }
    // ListFolderArg.limit: UInt32(max_value=2000, min_value=1).
    if arg.limit.is_some_and(|limit| !(1..=2000).contains(&limit)) {
        return Err(call.bad("limit: must be from 1 to 2000"));
    }
    let failed = |tag: &str| Refusal::endpoint(&format!("path/{tag}"));
    let world = call.shared.world();
    let (owner, folder) = match &arg.shared_link {
        None => {
            let account = world.account(call.account);
            (call.account, account.place(&call.settings, &reference).map_err(failed)?.lower)
        }
        Some(link) => linked(call, &world, link, &arg)?,
    };
    let account = world.account(owner);
    account.may_see(&folder).map_err(failed)?;
    match account.tree.live(&folder) {
        _ if account.tree.is_folder(&folder) => {}
        Some(_) => return Err(failed("not_folder")),
        None => return Err(failed("not_found")),
    }
    let limit = arg.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(call.settings.page_size);
    Ok(Cursor {
        account: owner.0,
        generation: account.tree.generation,
        folder,
        recursive: arg.recursive,
        deleted: arg.include_deleted,
        mounted: arg.include_mounted_folders,
        undownloadable: arg.include_non_downloadable_files,
        restorable: arg.include_restorable_info,
        members: arg.include_has_explicit_shared_members,
        media: arg.include_media_info,
        orphans: call.settings.parents_unlisted,
        pages: 0,
        bad: false,
        serial: 0,
        limit: limit.min(call.settings.page_size).max(1),
        link: arg.shared_link.is_some(),
        position: Position::First(String::new(), account.tree.seq),
    })
}

/// The folder that a shared link shows: "`path` will be relative to root of the shared link. Only non-recursive mode is supported for shared
/// link." `ListFolderError` has no word for a link that is not there or not to be seen; the union is open, and `sharing.SharedLinkError` has
/// both a guess.
fn linked(call: &Call, world: &World, link: &SharedLink, arg: &ListFolderArg) -> Result<(AccountKey, String), Refusal> {
    if arg.recursive {
        return Err(call.bad("recursive: only non-recursive mode is supported for shared link"));
    }
    let known = world.accounts.iter().enumerate().find_map(|(i, account)| {
        let found = account.links.iter().find(|known| known.url == link.url)?;
        Some((AccountKey(i), found))
    });
    let (owner, found) = known.ok_or_else(|| Refusal::endpoint("shared_link_not_found"))?;
    if found.password.is_some() && found.password != link.password {
        return Err(Refusal::endpoint("shared_link_access_denied"));
    }
    let inside = Reference::Path(arg.path.clone());
    let place = world.account(owner).place(&call.settings, &inside);
    let place = place.map_err(|tag| Refusal::endpoint(&format!("path/{tag}")))?;
    Ok((owner, format!("{}{}", found.folder, place.lower)))
}

/// files.stone, `list_folder`.
pub(crate) async fn list_folder(call: &Call) -> Result<Value, Refusal> {
    let cursor = open(call)?;
    if let Some(most) = call.settings.recursive_most.filter(|_| cursor.recursive) {
        let world = call.shared.world();
        if world.account(AccountKey(cursor.account)).count_below(&cursor.folder, most + 1) > most {
            // "setting ListFolderArg.recursive to true may lead to performance issues or errors, especially when traversing folder structures with a
            // large number of items."
            let body = b"Internal Server Error".to_vec();
            return Err(Refusal::Raw { status: 500, kind: "text/plain", retry_after: None, body });
        }
    }
    page(call, cursor).await
}

/// files.stone, `list_folder/continue`.
pub(crate) async fn list_continue(call: &Call) -> Result<Value, Refusal> {
    let ContinueArg { cursor } = call.parse()?;
    let cursor = {
        let world = call.shared.world();
        let cursor = known(call, &world, &cursor)?;
        if cursor.account != call.account.0 && !cursor.link {
            return Err(Refusal::endpoint("reset"));
        }
        if !world.account(AccountKey(cursor.account)).tree.is_folder(&cursor.folder) {
            // The folder that is listed is gone [guess].
            return Err(Refusal::endpoint("path/not_found"));
        }
        let first = matches!(cursor.position, Position::First(..));
        if first && call.settings.listing_breaks_after.is_some_and(|pages| cursor.pages >= pages) {
            return Err(Refusal::endpoint("reset"));
        }
        cursor
    };
    page(call, cursor).await
}

/// files.stone, `list_folder/get_latest_cursor`.
pub(crate) fn latest_cursor(call: &Call) -> Result<Value, Refusal> {
    let mut cursor = open(call)?;
    if let Position::First(_, seq) = cursor.position {
        cursor.position = Position::Changes(seq);
    }
    Ok(json!({ "cursor": cursor.text() }))
}

/// A cursor of this server that no reset has made invalid.
fn known(call: &Call, world: &World, text: &str) -> Result<Cursor, Refusal> {
    let cursor = Cursor::parse(text).ok_or_else(|| call.bad("cursor: Invalid \"cursor\" parameter"))?;
    let account = world.accounts.get(cursor.account).ok_or_else(|| Refusal::endpoint("reset"))?;
    let good = cursor.generation == account.tree.generation && !cursor.bad;
    if good { Ok(cursor) } else { Err(Refusal::endpoint("reset")) }
}

async fn page(call: &Call, cursor: Cursor) -> Result<Value, Refusal> {
    let Some(_listing) = call.shared.begin_listing(&call.account_id, call.route.name, call.fingerprint()) else {
        // "auth.RateLimitError may be returned if multiple calls with same parameters are made simultaneously".
        call.violate(ViolationKind::IdenticalListings, call.argument.chars().take(300).collect());
        return Err(Refusal::RateLimit { reason: "too_many_requests".to_owned(), retry_after: Some("1".to_owned()) });
    };
    if !call.settings.listing_time.is_zero() {
        tokio::time::sleep(call.settings.listing_time).await;
    }
    let mut world = call.shared.world();
    let link = cursor.link;
    let owner = AccountKey(cursor.account);
    let edit = call.verdict.find(|effect| if let Effect::EditPage(edit) = effect { Some(edit) } else { None });
    let asked = edit.map(|edit| (edit, cursor.clone(), world.serial()));
    let mut page = world.account_mut(owner).page(&call.settings, cursor);
    if let Some((edit, asked, serial)) = asked {
        edit.apply(&mut page, asked, serial);
    }
    let Page { mut entries, cursor, has_more } = page;
    for entry in entries.iter_mut().filter(|_| link) {
        // Metadata.path_lower: "This field will be null if the file or folder is not mounted."
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("path_lower");
            fields.remove("path_display");
        }
    }
    Ok(json!({ "entries": entries, "cursor": cursor.text(), "has_more": has_more }))
}

/// How often a longpoll looks at a listing that lags.
const LOOK: Duration = Duration::from_millis(20);

/// files.stone, `list_folder/longpoll`: `timeout UInt64(max_value=480, min_value=30) = 30`.
pub(crate) async fn longpoll(call: &Call) -> Result<Value, Refusal> {
    let LongpollArg { cursor, timeout } = call.parse()?;
    if !(30..=480).contains(&timeout) {
        return Err(call.bad("timeout: must be from 30 to 480"));
    }
    if Cursor::parse(&cursor).is_some_and(|cursor| cursor.media) {
        // "Cursors retrieved by setting include_media_info to true are not supported."
        return Err(call.bad("cursor: cursors with include_media_info are not supported"));
    }
    let asked = Duration::from_secs(timeout) + call.settings.longpoll_jitter;
    let wait = call.settings.longpoll_limit.map_or(asked, |limit| limit.min(asked));
    let deadline = tokio::time::Instant::now() + wait;
    let mut beats = call.shared.pulse.subscribe();
    check_backoff(call, &cursor);
    loop {
        beats.borrow_and_update();
        let changed = {
            let world = call.shared.world();
            let cursor = known(call, &world, &cursor)?;
            world.account(AccountKey(cursor.account)).has_changes(&call.settings, &cursor)
        };
        // What lags is told when it is old enough, which is no event.
        let lagging = !call.settings.listing_lag.is_zero();
        let look = if lagging { deadline.min(tokio::time::Instant::now() + LOOK) } else { deadline };
        let waited = changed || tokio::time::timeout_at(look, beats.changed()).await.is_err();
        if changed || (waited && look == deadline) {
            return Ok(longpoll_result(call, &cursor, changed));
        }
    }
}

/// A longpoll that comes before the last one's `backoff` is over is a violation.
fn check_backoff(call: &Call, cursor: &str) {
    let Some(cursor) = Cursor::parse(cursor) else { return };
    let now = call.now().clock;
    let until = call.shared.world().accounts.get(cursor.account).map(|account| account.no_longpoll_before);
    if until.is_some_and(|until| now < until) {
        call.violate(ViolationKind::LongpollBeforeBackoff, "the backoff of the last longpoll is not over".to_owned());
    }
}

fn longpoll_result(call: &Call, cursor: &str, changes: bool) -> Value {
    let now = call.now().clock;
    let mut world = call.shared.world();
    let account = Cursor::parse(cursor).and_then(|cursor| world.accounts.get_mut(cursor.account));
    match account.and_then(|account| account.backoff.map(|backoff| (account, backoff))) {
        Some((account, backoff)) => {
            account.no_longpoll_before = now + Duration::from_secs(backoff);
            json!({ "changes": changes, "backoff": backoff })
        }
        None => json!({ "changes": changes }),
    }
}
