//! What a file must pass before it goes up: no twin of it, a name and a size that Dropbox takes, whole bytes, room in the account, the right to write,
//! and rest.

use super::blocked::{case_clash, read_only as only_read, too_large};
use super::decision::{Action, Decision, Verdict, WaitFor};
use super::facts::{Content, Facts, Need, Twin, known};
use super::{Answer, diff};
use crate::model::{Base, ContentHash, Local, Remote, Stat, WriteMode};
use crate::plan::commit::budget::Full;
use crate::plan::name::allowed;
use crate::plan::time::wait::is_ahead;

/// So many failed tries make a file that is written now and then one that never rests.
const STUBBORN: u32 = 3;

/// A file that is to go up, as [`Verdict::Upload`] or [`Verdict::AdoptOrUpload`] says.
pub(super) fn send(facts: &Facts, verdict: Verdict, read_only: bool) -> Answer {
    let (mode, action) = match verdict {
        Verdict::Upload(mode) => (mode.clone(), Action::Upload(mode)),
        Verdict::AdoptOrUpload(mode) => (mode.clone(), Action::AdoptOrUpload(mode)),
        _ => return Ok(Decision::Do(Action::Nothing)),
    };
    let Local::File(stat) = facts.local else { return Ok(Decision::Do(Action::Nothing)) };
    // What was agreed on lies elsewhere, or is gone: the file is new there.
    let base = facts.base.as_ref().filter(|_| mode != WriteMode::Add);
    if base.is_none()
        && let Remote::File { id, .. } = &facts.remote
        && let Some(decision) = twin(facts, id)?
    {
        return Ok(decision);
    }
    let refused = allowed::disallowed(&facts.path)
        .or_else(|| (stat.size > facts.max_file_size).then(|| too_large(stat.size, facts.max_file_size)))
        .or_else(|| base.and_then(|base| diff::torn(&stat, &base.stat, facts.booted, facts.now)));
    if let Some(failure) = refused {
        return Ok(Decision::Blocked(failure));
    }
    if may_be_there(stat.size, base, &facts.remote)
        && let Some(hash) = known(&facts.found.known_hash, || Need::KnownHash)?
        && let Some(base) = unchanged(&stat, (stat.size, hash), base, &facts.remote)
    {
        return Ok(Decision::Do(Action::Adopt(Box::new(base))));
    }
    // Where calls are spent, a copy in Dropbox costs none; where there is no room, an empty file needs none.
    let waits = match facts.full {
        Full::No => false,
        Full::Calls => mode != WriteMode::Add || !*known(&facts.found.source, || Need::Source)?,
        Full::Room => stat.size > 0,
    };
    if waits {
        return Ok(Decision::Later(WaitFor::Room));
    }
    if read_only {
        // Its bytes may be Dropbox's already: then nothing would be written there.
        let there = match known(&facts.found.content_hash, || Need::ContentHash)? {
            Content::Is(hash) => unchanged(&stat, (stat.size, hash), base, &facts.remote),
            Content::NotRead => None,
        };
        return Ok(match there {
            Some(base) => Decision::Do(Action::Adopt(Box::new(base))),
            None => Decision::Blocked(only_read()),
        });
    }
    if !is_restless(facts, &stat) {
        return Ok(Decision::Do(action));
    }
    // It is sent as it is at one moment, now and then. As soon as it rests, it is like any other.
    let next = *known(&facts.found.last_copy, || Need::LastCopy)?;
    Ok(match next.filter(|next| is_ahead(*next, facts.now, facts.rest.every)) {
        Some(next) => Decision::Later(WaitFor::Rest(next)),
        None => Decision::Do(Action::UploadCopy(mode)),
    })
}

/// What becomes of a path if another one is here that was agreed on as the same file of Dropbox. A name that only changed its letters is no twin: the
/// other is gone. Nor is a name under which the disk shows the other one, too.
pub(super) fn twin(facts: &Facts, id: &str) -> Result<Option<Decision>, Need> {
    Ok(match known(&facts.found.twin, || Need::Twin(id.to_owned()))? {
        Twin::None => None,
        Twin::Shown => Some(Decision::Do(Action::Nothing)),
        Twin::Beside(other) => Some(Decision::Blocked(case_clash(other))),
    })
}

/// Whether a file is still being written long after its first change.
fn is_restless(facts: &Facts, stat: &Stat) -> bool {
    let (now, rest) = (facts.now, facts.rest);
    let touched = stat.mtime_ns.max(stat.ctime_ns).div_euclid(1_000_000);
    // A file that failed again and again while it was read is written slowly, but all the time.
    let quiet = if facts.attempts >= STUBBORN { rest.restless } else { rest.settle };
    // A row of before the clock was set back is as old as can be.
    let young = facts.since <= now && now - facts.since < rest.restless;
    touched <= now && now - touched < quiet && !young
}

/// Whether reading alone may show that nothing has to be sent.
pub fn may_be_there(len: u64, base: Option<&Base>, remote: &Remote) -> bool {
    base.is_some_and(|base| base.stat.size == len)
        || matches!(remote, Remote::File { content_hash: Some(_), size, .. } if *size == len) && !lies_elsewhere(base)
}

/// What is agreed on when the bytes, `len` of them, turn out to be base's, or Dropbox's already: nothing is sent. `None`: they are neither.
pub fn unchanged(stat: &Stat, (len, hash): (u64, &ContentHash), base: Option<&Base>, remote: &Remote) -> Option<Base> {
    let own = base.filter(|base| base.content_hash == *hash);
    own.map(|base| Base { stat: *stat, ..base.clone() }).or_else(|| {
        let Remote::File { content_hash, rev, size, id } = remote else { return None };
        let there = *content_hash == Some(*hash) && *size == len && !lies_elsewhere(base);
        let (rev, file_id) = (rev.clone(), Some(id.clone()));
        there.then_some(Base { stat: *stat, content_hash: *hash, rev, file_id, remote: None })
    })
}

fn lies_elsewhere(base: Option<&Base>) -> bool {
    base.is_some_and(|base| base.remote.is_some())
}
