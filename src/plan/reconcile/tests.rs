use super::*;
use crate::model::listing::Marks;
use crate::model::{ContentHash, Stat};
use crate::plan::reconcile::facts::{Content, Found, Gate, LocalBelow, RemoteBelow, Rename, RestRules, Twin};

mod cases;
mod tree;

pub(super) fn stat(n: i64) -> Stat {
    Stat { size: 1, mtime_ns: n, ctime_ns: n, ino: 1, dev: 1 }
}

pub(super) fn hash(byte: u8) -> ContentHash {
    ContentHash([byte; 32])
}

pub(super) fn file(content: u8, rev: &str) -> Remote {
    Remote::File { content_hash: Some(hash(content)), rev: rev.into(), size: 1, id: "id:x".into() }
}

pub(super) fn base(content: u8) -> Base {
    Base { stat: stat(1), content_hash: hash(content), rev: "1".into(), file_id: None, remote: None }
}

/// Nothing is at the path, on either side.
fn facts(mode: Mode) -> Facts {
    Facts {
        path: crate::model::RelPath::parse("d/f").unwrap(),
        mode,
        report_symlinks: true,
        max_file_size: 100,
        root_dev: 1,
        untrusted: None,
        ignored: None,
        local: Local::Absent,
        base: None,
        dir: false,
        remote: Remote::Absent,
        late: false,
        sent: false,
        attempts: 0,
        since: 0,
        now: 0,
        booted: 0,
        full: crate::plan::commit::budget::Full::No,
        rest: RestRules { settle: 0, restless: 60_000, every: 60_000 },
        found: Found::default(),
    }
}

/// The answer of an ordinary path, around which there is nothing.
fn answered(found: &mut Found, need: &Need) {
    match need {
        Need::Marks => found.marks = Some(Marks::default()),
        Need::Hidden => found.hidden = Some(false),
        Need::Rename(_) => found.rename = Some(Rename::No),
        Need::CaseConflict => found.case_conflict = Some(None),
        Need::Letters => found.letters = Some(None),
        Need::Place => found.place = Some(None),
        Need::Installed => found.installed = Some(None),
        Need::ContentHash => found.content_hash = Some(Content::Is(hash(1))),
        Need::InstalledHash => found.installed_hash = Some(Content::Is(hash(1))),
        Need::KnownHash => found.known_hash = Some(None),
        Need::Twin(_) => found.twin = Some(Twin::None),
        Need::TwinDirectory => found.twin_directory = Some(Twin::None),
        Need::GoneTwin(_) => found.gone_twin = Some(None),
        Need::OldPlace(_) => found.old_place = Some(None),
        Need::InLetters => found.in_letters = Some(false),
        Need::FileAbove { beyond: false } => found.file_above = Some(false),
        Need::FileAbove { beyond: true } => found.file_beyond = Some(false),
        Need::Gate => found.gate = Some(Gate::Open),
        Need::LocalBelow => found.local_below = Some(LocalBelow { agreed: false, files: false, anything: false }),
        Need::Names => found.names = Some(false),
        Need::RemoteBelow => found.remote_below = Some(RemoteBelow { agreed: false, files: Some(false) }),
        Need::TheirsBelow => found.theirs_below = Some(false),
        Need::ChangesBelow => found.changes_below = Some(false),
        Need::MovesBelow => found.moves_below = Some(false),
        Need::Stays => found.stays = Some(None),
        Need::Source => found.source = Some(false),
        Need::LastCopy => found.last_copy = Some(None),
    }
}

/// Asks until it is decided: everything at most once, and nothing that is known.
fn decided(facts: &mut Facts, gather: impl Fn(&mut Found, &Need)) -> Decision {
    let mut asked = Vec::new();
    loop {
        match decide(facts) {
            Decision::Need(need) => {
                assert!(!asked.contains(&need), "{need:?} is asked again: {facts:?}");
                gather(&mut facts.found, &need);
                asked.push(need);
            }
            decision => return decision,
        }
    }
}

/// C10: a path behind a symlink waits for Dropbox's news only.
#[test]
fn c10_what_differs_there() {
    let there = |rev: &str, byte: u8| Remote::File {
        content_hash: Some(ContentHash([byte; 32])),
        rev: rev.into(),
        size: 1,
        id: "id:x".into(),
    };
    let base = Base { rev: "015".into(), ..base(0) };
    let file = Agreed::File(&base);
    let cases = [
        (Agreed::Nothing, Remote::Absent, false),
        (Agreed::Nothing, Remote::Folder, true),
        (Agreed::Nothing, there("1", 0), true),
        (Agreed::Dir, Remote::Folder, false),
        (Agreed::Dir, Remote::Absent, true),
        (Agreed::Dir, there("1", 0), true),
        (file, there("015", 0), false),
        (file, there("016", 0), false),
        (file, there("016", 1), true),
        (file, Remote::Absent, true),
        (file, Remote::Folder, true),
    ];
    for (agreed, remote, news) in cases {
        assert_eq!(differs_there(agreed, &remote, Mode::TwoWay), news, "{agreed:?} {remote:?}");
        assert_eq!(differs_there(agreed, &remote, Mode::Download), news, "{agreed:?} {remote:?}");
        assert!(!differs_there(agreed, &remote, Mode::Backup) && !differs_there(agreed, &remote, Mode::Mirror));
        assert!(differs_there(agreed, &Remote::Unlisted, Mode::TwoWay), "doubt waits");
    }
}
