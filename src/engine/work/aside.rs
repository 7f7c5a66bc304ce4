//! Puts the local version of a path aside under a conflicted copy's name: both versions are kept, and the path is free for what Dropbox has there.

use super::apply::Row;
use super::worker::Looked;
use crate::engine::gather::hash::hash;
use crate::engine::rescue::stamp;
use crate::env::{day, now_ms};
use crate::local::Going;
use crate::model::{ContentHash, Failure, Local, RelPath, RemotePath, Settled};
use crate::plan::name::conflict;

/// Puts what is here aside.
pub(super) fn put(row: Row<'_>) -> Looked {
    let (account, root, path) = (row.asker.account, row.asker.root, row.job.path.clone());
    let hash_of = |path: &RelPath, stat| hash(account, root, path, stat);
    let (holds, mtime) = match &row.facts.local {
        Local::File(stat) => match hash_of(&path, stat) {
            Ok(holds) => (holds, stat.mtime_ns.div_euclid(1_000_000)),
            Err(failure) => return row.fail(failure),
        },
        // A directory has no content of its own to be named after, and it may happen to one name twice a day. A crash repeats nothing: once it has
        // its new name, the old one is free.
        _ => (stamp(now_ms()), now_ms()),
    };
    let (mut place, mut copy) = match named(&row, mtime, &holds) {
        Ok(named) => named,
        Err(failure) => return row.fail(failure),
    };
    if let (Local::File(stat), Local::File(there)) = (&row.facts.local, root.observe(&copy))
        && hash_of(&copy, &there).is_ok_and(|there| there == holds)
    {
        // This very content was put aside before: once is enough.
        let going = Going { when: now_ms(), holds: Some(holds) };
        return match root.trash(&path, &Local::File(*stat), going) {
            Ok(_) => row.done(Settled::Aside { copy, place }),
            Err(refused) => row.refused(refused),
        };
    }
    // Somebody works in that copy, or gave something else its name: this one gets a name of its own.
    if root.observe(&copy) != Local::Absent {
        (place, copy) = match named(&row, mtime, &stamp(now_ms())) {
            Ok(named) => named,
            Err(failure) => return row.fail(failure),
        };
    }
    match root.rename(&path, &copy, &row.facts.local) {
        Ok(_) => {
            tracing::info!(account = %account.name, "both sides changed a file: both versions are kept (see `ferrybox conflicts`)");
            row.done(Settled::Aside { copy, place })
        }
        Err(refused) => row.refused(refused),
    }
}

/// The copy's place in Dropbox, and here.
fn named(row: &Row<'_>, mtime: i64, holds: &ContentHash) -> Result<(RemotePath, RelPath), Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::wedge("name", error.to_string());
    let host = &row.asker.account.host;
    let place = conflict::copy_path(&row.home(), host, &day(mtime), holds).map_err(|e| wrong(&e))?;
    let above = row.job.path.parent().unwrap_or_default();
    let copy = above.child(place.name()).map_err(|e| wrong(&e))?;
    Ok((place, copy))
}
