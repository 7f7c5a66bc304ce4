//! What would be done: every row of the queue, looked at and decided on now, and nothing done about it.

use std::path::Path;
use std::sync::Arc;

use crate::api::attention;
use crate::api::attention::Depth;
use crate::api::locate;
use crate::api::locate::Place;
use crate::api::status::Progress;
use crate::engine::account::Account;
use crate::engine::approvals;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::work::preview;
use crate::model::api::{PlanPage, Planned};
use crate::model::status::Held;
use crate::model::{BatchKind, RelPath};
use crate::plan::reconcile::{Action, Decision, describe};

/// Where a page begins: how many places are done, and the last path of the next one.
struct Cursor {
    place: usize,
    after: String,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self { place: 0, after: String::new() });
        }
        let (place, after) = text.split_once(':')?;
        Some(Self { place: place.parse().ok()?, after: after.to_owned() })
    }

    fn text(&self) -> String {
        format!("{}:{}", self.place, self.after)
    }
}

/// A page of the plan, of everything or at and below a path. `Err`: the path is in no folder, or `after` is no `next` of ours.
pub(crate) async fn plan(
    progress: &Progress,
    path: Option<&Path>,
    after: &str,
    limit: usize,
) -> Result<Result<PlanPage, String>, Fatal> {
    let places = match locate::all(progress, path) {
        Ok(places) => places,
        Err(sentence) => return Ok(Err(sentence)),
    };
    let Some(mut at) = Cursor::parse(after) else {
        return Ok(Err("`after` is not the `next` of a page: leave it out to begin".to_owned()));
    };
    let complete = places.iter().map(|place| place.folder.now()).all(|now| now.scanned && now.scans == 0);
    let mut held: Vec<Held> =
        places.iter().filter_map(|place| approvals::shown(&place.account, &place.folder)).collect();
    let mut notes = Vec::new();
    let mut accounts: Vec<&Arc<Account>> = Vec::new();
    for Place { account, index, folder, .. } in &places {
        let (stands, _) = attention::of(account, Depth::Counts).await?;
        if let Some(reason) = stands.folders.get(*index).and_then(|stands| stands.reason.clone()) {
            notes.push(format!("{}: {reason}", folder.local.display()));
        }
        if !accounts.iter().any(|known| Arc::ptr_eq(known, account)) {
            accounts.push(account);
            held.extend(account.remote.held(account).await?);
        }
    }
    let mut items = Vec::new();
    while let Some(place) = places.get(at.place) {
        let want = limit.saturating_sub(items.len());
        if want == 0 {
            return Ok(Ok(PlanPage { items, next: Some(at.text()), complete, held, notes }));
        }
        let found = of_place(place, &at.after, want).await?;
        at = match found.last() {
            Some(last) if found.len() == want => Cursor { place: at.place, after: last.path.clone() },
            _ => Cursor { place: at.place + 1, after: String::new() },
        };
        items.extend(found);
    }
    Ok(Ok(PlanPage { items, next: None, complete, held, notes }))
}

async fn of_place(place: &Place, after: &str, limit: usize) -> Result<Vec<Planned>, Fatal> {
    let (account, folder) = (&place.account, &place.folder);
    let rows = account.store.rows_after(folder.id, &place.path, after, limit).await?;
    let paths: Vec<RelPath> = rows.iter().map(|row| row.path.clone()).collect();
    let (at, of) = (account.clone(), folder.clone());
    let viewed = blocking(move || preview::of_blocking(&at, &of, &paths)).await?;
    let held = folder.now().held.is_some();
    let rows = rows.into_iter().zip(viewed).map(|(row, viewed)| {
        let deletes = matches!(viewed.decision, Decision::Do(Action::Delete { .. }));
        let sends = matches!(
            viewed.decision,
            Decision::Do(Action::Upload(_) | Action::UploadCopy(_) | Action::AdoptOrUpload(_))
        );
        Planned {
            account: account.name.clone(),
            folder: folder.local.to_string_lossy().into_owned(),
            path: row.path.to_string(),
            action: describe::word(&viewed.decision).to_owned(),
            text: viewed.sentence(),
            size: if sends { row.size } else { 0 },
            held: held && deletes && row.change.is_some_and(BatchKind::deletes),
            problem: row.failure.map(|(_, text)| text),
            state: row.state,
        }
    });
    Ok(rows.collect())
}
