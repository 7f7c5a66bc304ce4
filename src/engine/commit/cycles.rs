//! What changed places with each other: what the disk says about it. The rules are in [`plan::swaps`](crate::plan::rename::cycles).

use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::rename_proposals::Proposal;
use crate::local::Root;
use crate::model::{Local, RelPath};
use crate::plan::rename::cycles::Step;
use crate::plan::rename::detect::{How, same_file};
use crate::plan::rename::verify;
use crate::store::StoreError;

/// So many files of a directory are asked for where the rest of it has gone.
const ASKED: usize = 8;

/// A proposal with its new path.
pub(crate) type Proposed = (RelPath, Proposal);

/// As the plan sees a proposal.
pub(crate) fn step((to, proposal): &Proposed) -> Step<'_> {
    Step { from: &proposal.from, to, dir: (proposal.how == How::Move).then_some(proposal.dir) }
}

/// Whether a directory may have been renamed to where something is, or from where something is by now: what little is asked for here is looked at
/// wholly before anything comes of it.
pub(crate) fn seems_moved(
    account: &Account,
    folder: &Folder,
    root: &Root,
    from: &RelPath,
    to: &RelPath,
) -> Result<bool, StoreError> {
    let some = account.store.base_below_blocking(folder.id, from, None, ASKED)?;
    let is_there = |(path, base): &(RelPath, _)| {
        let at = path.moved(from, to);
        at.is_some_and(|at| matches!(root.observe(&at), Local::File(now) if same_file(base, &now)))
    };
    Ok(verify::seems_moved(some.iter().filter(|one| is_there(one)).count(), some.len()))
}

/// Proposals, each with those that make room for it where base knows something at its new place: what has become of that. Of very many some are left
/// for the next round.
///
/// The rows of what went elsewhere are in the queue by now, or it is not found. Blocks.
pub(crate) fn with_room(
    account: &Account,
    folder: &Folder,
    mine: &[Proposed],
    searches: u64,
) -> Result<Vec<Proposed>, StoreError> {
    let root = folder.root.pin();
    let (mut found, mut searched): (Vec<Proposed>, u64) = (Vec::new(), 0);
    for proposed in mine {
        if searched >= searches {
            break;
        }
        found.push(proposed.clone());
        let mut last = proposed.clone();
        while searched < searches {
            let (place, dir) = (last.0, last.1.dir);
            let known = || mine.iter().chain(&found);
            if last.1.how != How::Move
                || known().any(|(_, other)| other.from == place && other.dir == dir && other.how == How::Move)
                || !account.store.agreed_below_blocking(folder.id, &place)?
            {
                break;
            }
            let Some(to) = gone_to(account, folder, &root, (&place, dir), &mut searched)? else { break };
            if known().any(|(other, _)| *other == to) || account.moves.refusal(folder.id, &place, &to).is_some() {
                break;
            }
            last = (to, Proposal { from: place, dir, how: How::Move, since: last.1.since });
            found.push(last.clone());
        }
    }
    Ok(found)
}

/// Where the file or directory lies now that base knows at a path.
fn gone_to(
    account: &Account,
    folder: &Folder,
    root: &Root,
    (from, dir): (&RelPath, bool),
    searched: &mut u64,
) -> Result<Option<RelPath>, StoreError> {
    let known = if dir {
        account.store.base_below_blocking(folder.id, from, None, ASKED)?
    } else {
        account.store.base_blocking(folder.id, from)?.map(|base| (from.clone(), base)).into_iter().collect()
    };
    for (path, base) in known {
        // Below a renamed directory the names are what they were.
        let end = dir.then(|| path.as_str().get(from.as_str().len()..)).flatten();
        *searched += 1;
        for at in account.store.waiting_like_blocking(folder.id, end, base.stat.size)? {
            if at.is_under(from) || !matches!(root.observe(&at), Local::File(now) if same_file(&base, &now)) {
                continue;
            }
            let top = at.as_str().strip_suffix(end.unwrap_or_default()).map(RelPath::parse);
            let Some(Ok(to)) = top else { continue };
            let is_ours =
                folder.ignored(&to, dir).is_none() && !to.is_root() && !to.is_under(from) && !from.is_under(&to);
            return Ok(is_ours.then_some(to));
        }
    }
    Ok(None)
}
