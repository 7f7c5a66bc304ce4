//! Keeps what nobody else has, where no row asks for it: a file that was written to in the trash, and one that a crash left beside its place. Each gets a
//! conflicted copy's name in the folder, and goes up from there like any file.

use tokio::runtime::Handle;

use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::gather::hash;
use crate::env::{day, now_ms};
use crate::local::{Going, Left, Recovered, Refused, Root};
use crate::model::{ContentHash, Due, Failure, Local, RelPath, RemotePath, Stat, UnixMs};
use crate::plan::name::conflict;
use crate::store::StoreError;

/// What was written to in the trash comes out of it. Blocks.
pub(crate) fn out_of_the_trash(account: &Account, folder: &Folder, root: &Root, left: &Left) -> Result<(), StoreError> {
    let of = &left.trashed.path;
    let kept = match RelPath::parse(&left.trashed.place()) {
        Ok(from) => keep(account, folder, root, &from, of)?,
        Err(error) => Err(Failure::wedge("name", error.to_string())),
    };
    match kept {
        Ok(Kept::At(copy)) => tracing::warn!(
            folder = folder.id.0,
            path = %of,
            %copy,
            "a program wrote to a file that had been replaced or deleted here: what it wrote is kept beside it (see `ferrybox conflicts`)"
        ),
        Ok(Kept::Already(stat, hash)) => {
            let left = Left { stat, ..left.clone() };
            if let Err(failure) = root.is_kept(&left, hash) {
                tracing::debug!(path = %of, reason = %failure.text, "what is kept already stays in the trash");
            }
        }
        Err(failure) => tracing::warn!(
            folder = folder.id.0,
            place = %left.trashed.place(),
            reason = %failure.text,
            "a program wrote to a file in the trash, and it cannot be brought out yet: it stays there"
        ),
    }
    Ok(())
}

/// A file that an earlier run left beside its place is looked after. Blocks.
pub(crate) fn beside(account: &Account, folder: &Folder, root: &Root, side: &RelPath) -> Result<(), StoreError> {
    folder.beat.strike();
    if folder.vouch(root).is_err() {
        return Ok(());
    }
    let (of, kept) = match root.recover(side, now_ms(), &|| folder.beat.strike()) {
        Ok(Recovered::Gone) => return Ok(()),
        Ok(Recovered::Trashed(trashed)) => {
            tracing::info!(folder = folder.id.0, path = %trashed.path, place = %trashed.place(), "a crash had left it beside its place: moved to the trash");
            return Ok(());
        }
        Ok(Recovered::Unknown { of }) => {
            let kept = keep(account, folder, root, side, &of)?;
            (of, kept)
        }
        Err(Refused::Changed) => return Ok(()),
        Err(refused) => (side.clone(), Err(refused.into_failure())),
    };
    match kept {
        Ok(Kept::At(copy)) => tracing::warn!(
            folder = folder.id.0,
            path = %of,
            %copy,
            "a crash had left a file beside its place, and nobody else has what it holds: it is kept (see `ferrybox conflicts`)"
        ),
        Ok(Kept::Already(stat, hash)) => {
            let going = Going { when: now_ms(), holds: Some(hash) };
            let trashed = root.trash(side, &Local::File(stat), going).is_ok();
            tracing::debug!(path = %side, trashed, "a crash had left it beside its place; it is kept elsewhere, too");
        }
        Err(failure) => tracing::warn!(
            folder = folder.id.0,
            path = %side,
            reason = %failure.text,
            "a crash left this file beside its place, and it cannot be looked after yet: it stays"
        ),
    }
    Ok(())
}

/// Where it is kept.
enum Kept {
    /// Here, from now on.
    At(RelPath),
    /// A conflicted copy of this very content was there before.
    Already(Stat, ContentHash),
}

/// Moves the file `from` to the name of a conflicted copy of `of`. It is noted before, so that a crash leaves it to the next look, and never unnoted.
fn keep(
    account: &Account,
    folder: &Folder,
    root: &Root,
    from: &RelPath,
    of: &RelPath,
) -> Result<Result<Kept, Failure>, StoreError> {
    let (hash, stat) = match hash::with_beat(folder, root, from) {
        Ok(read) => read,
        Err(failure) => return Ok(Err(failure)),
    };
    let (mut copy, mut place) = match named(account, folder, of, &stat, &hash) {
        Ok(named) => named,
        Err(failure) => return Ok(Err(failure)),
    };
    match root.observe(&copy) {
        Local::Absent => {}
        Local::File(_) if hash::with_beat(folder, root, &copy).is_ok_and(|(holds, _)| holds == hash) => {
            return Ok(Ok(Kept::Already(stat, hash)));
        }
        // Somebody works in that copy, or gave something else its name: this one gets a name of its own.
        _ => match named(account, folder, of, &stat, &stamp(now_ms())) {
            Ok(named) => (copy, place) = named,
            Err(failure) => return Ok(Err(failure)),
        },
    }
    let handle = Handle::current();
    handle.block_on(account.store.note_aside(folder.id, of, &copy, &place, now_ms()))?;
    if let Err(refused) = root.give_out(from, &stat, &copy) {
        return Ok(Err(refused.into_failure()));
    }
    // Whoever looked in between saw nothing there.
    let due = Due { path: copy.clone(), size: stat.size, due_at: now_ms() };
    handle.block_on(account.store.enqueue(folder.id, vec![due], now_ms()))?;
    Ok(Ok(Kept::At(copy)))
}

fn named(
    account: &Account,
    folder: &Folder,
    of: &RelPath,
    stat: &Stat,
    hash: &ContentHash,
) -> Result<(RelPath, RemotePath), Failure> {
    let wrong = |error: crate::model::PathError| Failure::wedge("name", error.to_string());
    let date = day(stat.mtime_ns.div_euclid(1_000_000));
    let place = conflict::copy_path(&folder.home(of), &account.host, &date, hash).map_err(wrong)?;
    let copy = of.parent().unwrap_or_default().child(place.name()).map_err(wrong)?;
    Ok((copy, place))
}

/// In the place of a hash: eight digits that differ from those of any other time within weeks.
pub(crate) fn stamp(now: UnixMs) -> ContentHash {
    let [.., a, b, c, d] = now.to_be_bytes();
    let mut digits = [0; 32];
    for (digit, byte) in digits.iter_mut().zip([a, b, c, d]) {
        *digit = byte;
    }
    ContentHash(digits)
}
