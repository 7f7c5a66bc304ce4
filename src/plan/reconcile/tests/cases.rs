//! Every special case of a decision: what is asked for, and what each answer leads to.

use super::*;
use crate::model::{RelPath, RemotePath, UnixMs, WriteMode};
use crate::plan::commit::budget::Full;
use crate::plan::reconcile::facts::{Installed, Letters, OldPlace, Place};

/// So long that it counts as stuck.
const LONG: UnixMs = 31_000;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

/// Decides with these answers; what else is asked for is as for an ordinary path.
fn with(mut facts: Facts, given: impl Fn(&mut Found, &Need)) -> Decision {
    decided(&mut facts, |found, need| {
        answered(found, need);
        given(found, need);
    })
}

fn plainly(facts: Facts) -> Decision {
    with(facts, |_, _| {})
}

fn code(decision: &Decision) -> &str {
    if let Decision::Blocked(failure) = decision { &failure.code } else { panic!("{decision:?}") }
}

fn done(action: Action) -> Decision {
    Decision::Do(action)
}

const NOTHING: Decision = Decision::Do(Action::Nothing);
const FORGET: Decision = Decision::Do(Action::Forget);
const ASIDE: Decision = Decision::Do(Action::MoveAside);

fn of(mode: Mode, local: Local, base: Option<Base>, remote: Remote) -> Facts {
    Facts { local, base, remote, ..facts(mode) }
}

fn new_file() -> Facts {
    of(Mode::TwoWay, Local::File(stat(2)), None, Remote::Absent)
}

fn edited() -> Facts {
    of(Mode::TwoWay, Local::File(stat(2)), Some(base(1)), file(1, "1"))
}

fn agreed_dir(local: Local, remote: Remote) -> Facts {
    Facts { dir: true, ..of(Mode::TwoWay, local, None, remote) }
}

#[test]
fn a_folder_that_is_not_the_synced_one_proves_nothing() {
    let gone = Failure::retry("root_missing", "x");
    let mut facts = of(Mode::Mirror, Local::Absent, Some(base(1)), file(1, "1"));
    facts.untrusted = Some(gone.clone());
    assert_eq!(plainly(facts), Decision::Blocked(gone));
}

#[test]
fn what_is_not_synced_is_forgotten_and_never_touched() {
    let why = |source| Why { at: path("d"), pattern: "d".into(), source };
    let unreadable = |code: &str| Source::Unreadable(path("d"), Failure::retry(code, "x"));
    for mode in [Mode::TwoWay, Mode::Download, Mode::Backup, Mode::Mirror] {
        let ignored = |source, base, remote| {
            plainly(Facts { ignored: Some(why(source)), ..of(mode, Local::Absent, base, remote) })
        };
        assert_eq!(ignored(Source::Config, Some(base(1)), file(1, "1")), done(Action::Unsync));
        assert_eq!(ignored(Source::Config, None, file(1, "1")), NOTHING);
        // Doubt: the directory may be synced again in a moment, and only this row knows of Dropbox's change.
        let doubt = ignored(unreadable("io_error"), Some(base(1)), file(2, "9"));
        assert_eq!(matches!(doubt, Decision::Blocked(_)), mode.brings_down(), "{mode} {doubt:?}");
        assert_eq!(ignored(unreadable(NESTED), Some(base(1)), file(2, "9")), NOTHING);
        let behind_a_link = ignored(unreadable("type"), Some(base(1)), file(2, "9"));
        assert_eq!(matches!(behind_a_link, Decision::Blocked(_)), mode.brings_down());
        assert_eq!(ignored(unreadable("type"), Some(base(1)), file(1, "1")), NOTHING);
    }
}

#[test]
fn symlinks_are_told_once_and_silent_ones_never() {
    let link = of(Mode::TwoWay, Local::Other("symlink"), None, Remote::Absent);
    assert_eq!(code(&plainly(link.clone())), "type");
    assert_eq!(plainly(Facts { report_symlinks: false, ..link }), NOTHING);
    // K6: what is behind a link waits for Dropbox's news only.
    let behind = |remote| of(Mode::TwoWay, Local::Unknown(Failure::wedge("type", "x")), Some(base(1)), remote);
    assert_eq!(plainly(behind(file(1, "1"))), NOTHING);
    assert_eq!(code(&plainly(behind(file(2, "9")))), "type");
}

#[test]
fn marks_decide_what_may_be_done() {
    let marked = |facts: Facts, marks: Marks| {
        with(facts, |found, need| {
            if matches!(need, Need::Marks) {
                found.marks = Some(marks);
            }
        })
    };
    let read_only = Marks { read_only: true, ..Marks::default() };
    let gone = |mode| of(mode, Local::Absent, Some(base(1)), file(1, "1"));
    assert_eq!(marked(gone(Mode::TwoWay), read_only), FORGET, "it comes down again");
    assert_eq!(code(&marked(gone(Mode::Mirror), read_only)), "read_only");
    // What goes up is read first: its bytes may be Dropbox's.
    let same = Facts { rest: RestRules::default(), ..edited() };
    assert!(matches!(marked(same.clone(), read_only), Decision::Do(Action::Adopt(_))));
    let mut other = same;
    other.found.content_hash = Some(Content::Is(hash(7)));
    assert_eq!(code(&marked(other.clone(), read_only)), "read_only");
    other.found.content_hash = Some(Content::NotRead);
    assert_eq!(code(&marked(other, read_only)), "read_only");
    let link = Marks { symlink: true, ..Marks::default() };
    assert_eq!(code(&marked(of(Mode::TwoWay, Local::Absent, None, file(1, "1")), link)), "symlink");
    let document = Marks { not_downloadable: true, ..Marks::default() };
    assert_eq!(marked(of(Mode::TwoWay, Local::Absent, None, file(1, "1")), document), NOTHING);
    assert_eq!(code(&marked(of(Mode::TwoWay, Local::File(stat(2)), None, file(1, "1")), document)), "cloud_only");
}

#[test]
fn what_the_listing_leaves_out_is_not_deleted() {
    let hidden = |facts: Facts| {
        with(facts, |found, need| {
            if matches!(need, Need::Hidden) {
                found.hidden = Some(true);
            }
        })
    };
    let gone = |mode| of(mode, Local::Absent, Some(base(1)), file(1, "1"));
    assert_eq!(plainly(gone(Mode::TwoWay)), done(Action::Delete { rev: "1".into() }));
    assert_eq!(hidden(gone(Mode::TwoWay)), FORGET);
    assert_eq!(hidden(gone(Mode::Mirror)), done(Action::Delete { rev: "1".into() }));
    assert_eq!(hidden(agreed_dir(Local::Absent, Remote::Folder)), FORGET);
}

#[test]
fn a_rename_goes_before_everything_else() {
    let renamed = |rename: Rename| {
        with(new_file(), move |found, need| {
            if matches!(need, Need::Rename(_)) {
                found.rename = Some(rename.clone());
            }
        })
    };
    assert_eq!(renamed(Rename::Wait), Decision::Later(WaitFor::Rename));
    assert_eq!(renamed(Rename::IsHere), NOTHING);
    assert_eq!(renamed(Rename::Rather(path("x"))), done(Action::Rather(path("x"))));
    assert_eq!(renamed(Rename::Forget), FORGET);
    assert_eq!(renamed(Rename::No), done(Action::Upload(WriteMode::Add)));
}

#[test]
fn what_takes_something_away_passes_the_gate() {
    let gated = |facts: &Facts, gate: Gate| {
        with(facts.clone(), move |found, need| {
            if matches!(need, Need::Gate) {
                found.gate = Some(gate);
            }
        })
    };
    let takes = [
        of(Mode::TwoWay, Local::File(stat(1)), Some(base(1)), Remote::Absent),
        of(Mode::TwoWay, Local::File(stat(1)), Some(base(1)), file(2, "9")),
        agreed_dir(Local::Dir, Remote::Absent),
    ];
    for facts in &takes {
        assert_eq!(gated(facts, Gate::Weighing), Decision::Later(WaitFor::Listing));
        assert_eq!(gated(facts, Gate::Held), Decision::Later(WaitFor::Approval));
        assert!(matches!(gated(facts, Gate::Open), Decision::Do(_)));
    }
    let adds = of(Mode::TwoWay, Local::Absent, None, file(2, "9"));
    assert!(matches!(gated(&adds, Gate::Held), Decision::Do(Action::Download(_))), "it takes nothing");
}

#[test]
fn a_late_listing_is_waited_for() {
    let late = |facts: Facts| plainly(Facts { remote: Remote::Unlisted, late: true, ..facts });
    let here = |mode| of(mode, Local::File(stat(1)), Some(base(1)), Remote::Unlisted);
    let wait = Decision::Later(WaitFor::Listing);
    for mode in [Mode::Backup, Mode::Mirror, Mode::TwoWay] {
        assert_eq!(late(here(mode)), wait, "{mode}");
        assert_eq!(plainly(here(mode)), NOTHING, "{mode}");
    }
    let changed = |sent| Facts { sent, ..of(Mode::Backup, Local::File(stat(2)), Some(base(1)), Remote::Unlisted) };
    assert_eq!(late(changed(false)), wait);
    assert_eq!(late(changed(true)), done(Action::Upload(WriteMode::Update("1".into()))), "its revision is known");
    let gone = |now| Facts { now, ..agreed_dir(Local::Absent, Remote::Unlisted) };
    assert_eq!(plainly(gone(0)), wait);
    assert_eq!(code(&plainly(gone(LONG))), "unlisted", "it is told after a while");
    assert_eq!(late(gone(LONG)), wait, "our own commit is on its way");
}

#[test]
fn a_mount_that_is_gone_deletes_nothing() {
    for mode in [Mode::TwoWay, Mode::Mirror] {
        let facts = Facts { root_dev: 2, ..of(mode, Local::Dir, Some(base(1)), file(1, "1")) };
        assert_eq!(code(&plainly(facts)), "mount_gone", "{mode}");
    }
    // A deletion goes with the revision that was agreed on.
    let moved = of(Mode::TwoWay, Local::Absent, Some(base(1)), file(1, "3"));
    assert_eq!(plainly(moved), done(Action::Renew(Box::new(Base { rev: "3".into(), ..base(1) }))));
}

#[test]
fn a_file_passes_much_before_it_goes_up() {
    assert_eq!(plainly(new_file()), done(Action::Upload(WriteMode::Add)));
    assert_eq!(code(&plainly(Facts { path: path("d/.ferrybox/x"), ..new_file() })), "reserved");
    assert_eq!(code(&plainly(Facts { max_file_size: 0, ..new_file() })), "too_large");
    let mut torn = edited();
    torn.base = Some(Base { stat: Stat { size: 9, mtime_ns: 2, ..stat(1) }, ..base(1) });
    assert_eq!(code(&plainly(torn)), "torn");
    // Known content is never sent.
    let known = |content| {
        with(edited(), move |found, need| {
            if matches!(need, Need::KnownHash) {
                found.known_hash = Some(Some(hash(content)));
            }
        })
    };
    assert_eq!(known(1), done(Action::Adopt(Box::new(Base { stat: stat(2), ..base(1) }))));
    assert_eq!(known(2), done(Action::Upload(WriteMode::Update("1".into()))));
    // Two names of one file of Dropbox.
    let twin = |twin: Twin, mode, remote| {
        with(of(mode, Local::File(stat(2)), None, remote), move |found, need| {
            if matches!(need, Need::Twin(_)) {
                found.twin = Some(twin.clone());
            }
        })
    };
    for mode in [Mode::TwoWay, Mode::Backup] {
        assert_eq!(code(&twin(Twin::Beside(path("d/F")), mode, file(2, "9"))), "case_clash", "{mode}");
        assert_eq!(twin(Twin::Shown, mode, file(2, "9")), NOTHING, "{mode}");
    }
    assert_eq!(twin(Twin::None, Mode::TwoWay, file(1, "9")), {
        let base = Base { stat: stat(2), rev: "9".into(), file_id: Some("id:x".into()), ..base(1) };
        done(Action::Adopt(Box::new(base)))
    });
    assert_eq!(twin(Twin::None, Mode::TwoWay, file(2, "9")), ASIDE);
    assert_eq!(twin(Twin::None, Mode::Backup, file(2, "9")), done(Action::AdoptOrUpload(WriteMode::Add)));
}

#[test]
fn a_full_account_takes_what_needs_nothing() {
    let room = Decision::Later(WaitFor::Room);
    assert_eq!(plainly(Facts { full: Full::Room, ..new_file() }), room);
    let empty = Stat { size: 0, ..stat(2) };
    let empty = Facts { full: Full::Room, local: Local::File(empty), ..new_file() };
    assert_eq!(plainly(empty), done(Action::Upload(WriteMode::Add)));
    let spent = |facts: Facts, source| {
        with(Facts { full: Full::Calls, ..facts }, move |found, need| {
            if matches!(need, Need::Source) {
                found.source = Some(source);
            }
        })
    };
    assert_eq!(spent(new_file(), false), room);
    assert_eq!(spent(new_file(), true), done(Action::Upload(WriteMode::Add)), "a copy costs no call");
    assert_eq!(spent(edited(), true), room, "an edit is no copy");
}

#[test]
fn a_file_that_never_rests_goes_up_now_and_then() {
    let now = 100_000;
    let local = Local::File(Stat { mtime_ns: now * 1_000_000, ..stat(1) });
    let rest = RestRules { settle: 500, restless: 60_000, every: 60_000 };
    let busy = Facts { local, now, rest, ..edited() };
    let copied = |facts: Facts, next: Option<UnixMs>| {
        with(facts, move |found, need| {
            if matches!(need, Need::LastCopy) {
                found.last_copy = Some(next);
            }
        })
    };
    let update = || WriteMode::Update("1".into());
    assert_eq!(copied(busy.clone(), None), done(Action::UploadCopy(update())));
    assert_eq!(copied(busy.clone(), Some(now + 1)), Decision::Later(WaitFor::Rest(now + 1)));
    assert_eq!(copied(busy.clone(), Some(now + 60_001)), done(Action::UploadCopy(update())), "the clock was set back");
    assert_eq!(copied(Facts { since: now - 1, ..busy.clone() }, None), done(Action::Upload(update())), "young");
    assert_eq!(copied(Facts { now: now + 500, ..busy.clone() }, None), done(Action::Upload(update())), "it rests");
    let stubborn = Facts { now: now + 500, attempts: 3, ..busy };
    assert_eq!(copied(stubborn, None), done(Action::UploadCopy(update())), "it failed again and again");
}

#[test]
fn a_new_file_below_a_file_waits() {
    let below = |facts: Facts| {
        with(facts, |found, need| {
            if matches!(need, Need::FileAbove { beyond: false }) {
                found.file_above = Some(true);
            }
        })
    };
    assert_eq!(below(new_file()), Decision::Later(WaitFor::Path(path("d"))));
    // Edited here, deleted there: forgotten, so that the directory above holds nothing but news.
    let edited = of(Mode::TwoWay, Local::File(stat(2)), Some(base(2)), Remote::Absent);
    assert_eq!(below(edited.clone()), FORGET);
    assert_eq!(plainly(edited), done(Action::Upload(WriteMode::Add)), "an edit beats a deletion");
}

#[test]
fn a_directory_comes_with_its_first_file_or_alone() {
    let new = || of(Mode::TwoWay, Local::Dir, None, Remote::Absent);
    assert_eq!(plainly(new()), done(Action::CreateFolder));
    let names = with(new(), |found, need| {
        if matches!(need, Need::Names) {
            found.names = Some(true);
        }
    });
    assert_eq!(names, NOTHING);
    let below = with(new(), |found, need| {
        if matches!(need, Need::FileAbove { beyond: true }) {
            found.file_beyond = Some(true);
        }
    });
    assert_eq!(below, Decision::Later(WaitFor::Path(path("d"))));
    assert_eq!(code(&plainly(Facts { path: path(".ferrybox"), ..new() })), "reserved");
}

#[test]
fn a_directory_that_holds_news_stands_aside_for_a_file() {
    let holds = |below: LocalBelow, remote: Remote, now: UnixMs, changes: bool| {
        with(Facts { now, ..agreed_dir(Local::Dir, remote) }, move |found, need| match need {
            Need::LocalBelow => found.local_below = Some(below),
            Need::ChangesBelow => found.changes_below = Some(changes),
            _ => {}
        })
    };
    let below = |agreed, files, anything| LocalBelow { agreed, files, anything };
    let remove = done(Action::RemoveDir);
    assert_eq!(holds(below(false, true, true), file(2, "9"), 0, false), ASIDE);
    assert_eq!(holds(below(false, true, true), Remote::Absent, 0, false), remove, "nothing takes its place");
    assert_eq!(holds(below(true, false, true), file(2, "9"), 0, false), remove, "what was agreed on goes alone");
    assert_eq!(holds(below(false, false, false), file(2, "9"), 0, false), remove);
    assert_eq!(holds(below(true, false, true), file(2, "9"), LONG, true), remove, "our own changes are waited for");
}

#[test]
fn a_folder_is_deleted_only_when_it_is_empty() {
    let delete = |local: Local, below: (bool, Option<bool>), more: &'static [&'static str]| {
        let facts = agreed_dir(local, Remote::Folder);
        with(facts, move |found, need| match need {
            Need::RemoteBelow => found.remote_below = Some(RemoteBelow { agreed: below.0, files: below.1 }),
            Need::InLetters => found.in_letters = Some(more.contains(&"in letters")),
            Need::TheirsBelow => found.theirs_below = Some(more.contains(&"theirs")),
            Need::MovesBelow => found.moves_below = Some(more.contains(&"moves")),
            Need::Stays if more.contains(&"stays") => {
                found.stays = Some(Some(Failure::wedge("cloud_only", "x")));
            }
            _ => {}
        })
    };
    let here = || Local::File(stat(2));
    let wait = Decision::Later(WaitFor::Below);
    for local in [Local::Absent, here()] {
        assert_eq!(delete(local.clone(), (false, Some(false)), &[]), done(Action::DeleteFolder));
        assert_eq!(delete(local.clone(), (true, Some(false)), &[]), wait);
        assert_eq!(delete(local.clone(), (true, Some(true)), &[]), wait);
        assert_eq!(delete(local.clone(), (false, None), &[]), Decision::Later(WaitFor::Listing), "doubt waits");
        assert_eq!(delete(local, (true, None), &[]), Decision::Later(WaitFor::Listing), "doubt waits");
    }
    assert_eq!(delete(Local::Absent, (false, Some(false)), &["in letters"]), done(Action::Relettered));
    // An edit beats a deletion: the file in the folder's place stands aside.
    assert_eq!(delete(here(), (false, Some(true)), &[]), ASIDE);
    assert_eq!(delete(here(), (true, Some(true)), &["theirs"]), ASIDE);
    // What is left comes down, or never does.
    assert_eq!(delete(Local::Absent, (false, Some(true)), &["moves"]), wait);
    assert_eq!(code(&delete(Local::Absent, (false, Some(true)), &[])), "dir_kept");
    assert_eq!(code(&delete(Local::Absent, (false, Some(true)), &["stays"])), "cloud_only");
}

#[test]
fn other_letters_are_another_name_here_only() {
    let letters = |facts: Facts, letters: Letters| {
        with(facts, move |found, need| {
            if matches!(need, Need::Letters) {
                found.letters = Some(Some(letters.clone()));
            }
        })
    };
    let to = |applies, works_below, is_taken| Letters { to: path("d/F"), applies, works_below, is_taken };
    let respell = done(Action::Respell(path("d/F")));
    let wait = Decision::Later(WaitFor::Path(path("d/F")));
    let known = || agreed_dir(Local::Dir, Remote::Folder);
    assert_eq!(letters(known(), to(true, false, false)), respell);
    assert_eq!(letters(edited(), to(true, false, false)), respell, "with what was written into it");
    assert_eq!(letters(known(), to(true, true, false)), wait);
    assert_eq!(letters(Facts { now: LONG, ..known() }, to(true, true, false)), NOTHING, "not for ever");
    assert_eq!(letters(known(), to(true, false, true)), NOTHING, "another thing has the name");
    assert_eq!(letters(known(), to(false, false, false)), NOTHING);
    assert_eq!(letters(new_file(), to(true, false, false)), done(Action::Upload(WriteMode::Add)), "never agreed on");
    // A disk that takes the two for one.
    let conflict = with(of(Mode::TwoWay, Local::Absent, None, file(1, "1")), |found, need| {
        if matches!(need, Need::CaseConflict) {
            found.case_conflict = Some(Some(Failure::wedge("case_conflict", "x")));
        }
    });
    assert_eq!(code(&conflict), "case_conflict");
    // Two directories that are one folder.
    let twins = |twin: Twin| {
        with(of(Mode::TwoWay, Local::Dir, None, Remote::Folder), move |found, need| {
            if matches!(need, Need::TwinDirectory) {
                found.twin_directory = Some(twin.clone());
            }
        })
    };
    assert_eq!(twins(Twin::None), done(Action::AgreeDir));
    assert_eq!(twins(Twin::Shown), NOTHING);
    assert_eq!(code(&twins(Twin::Beside(path("D")))), "case_clash");
    let made = with(of(Mode::TwoWay, Local::Absent, None, Remote::Folder), |found, need| {
        if matches!(need, Need::InLetters) {
            found.in_letters = Some(true);
        }
    });
    assert_eq!(made, NOTHING, "it is here in other letters");
    assert_eq!(plainly(of(Mode::TwoWay, Local::Absent, None, Remote::Folder)), done(Action::MakeDir));
}

#[test]
fn what_comes_down_comes_below_the_directory_that_is_here() {
    let placed = |facts: Facts, agreed| {
        with(facts, move |found, need| {
            if matches!(need, Need::Place) {
                found.place = Some(Some(Place { path: path("D/f"), agreed }));
            }
        })
    };
    let new = || of(Mode::TwoWay, Local::Absent, None, file(1, "1"));
    assert_eq!(placed(new(), true), done(Action::Rather(path("D/f"))));
    assert_eq!(placed(new(), false), Decision::Later(WaitFor::Path(path("D/f"))), "its directory comes first");
    assert_eq!(placed(Facts { now: LONG, ..new() }, false), done(Action::Rather(path("D/f"))));
    let was = of(Mode::TwoWay, Local::Absent, Some(base(1)), file(2, "9"));
    assert_eq!(placed(was, true), FORGET, "letters that are not here any more");
}

/// I1: over the very content that was agreed on under other letters, and over nothing else.
#[test]
fn i1_a_name_in_other_letters_goes_over_what_was_agreed_on() {
    let over = |gone: Option<Base>| {
        let mut facts = of(Mode::TwoWay, Local::File(stat(2)), None, file(3, "3"));
        facts.found.content_hash = Some(Content::Is(hash(7)));
        with(facts, move |found, need| {
            if matches!(need, Need::GoneTwin(_)) {
                found.gone_twin = Some(gone.clone());
            }
        })
    };
    assert_eq!(over(None), ASIDE);
    assert_eq!(over(Some(base(1))), ASIDE, "somebody's edit is in its place");
    assert_eq!(over(Some(base(3))), done(Action::Upload(WriteMode::Update("3".into()))));
}

#[test]
fn what_was_moved_in_dropbox_is_moved_here() {
    let old = || OldPlace {
        path: path("old"),
        base: base(1),
        same_name: false,
        local: Local::File(stat(1)),
        remote: Remote::Absent,
        shown: false,
        respelled: false,
    };
    let comes = |old: Option<OldPlace>| {
        with(of(Mode::TwoWay, Local::Absent, None, file(1, "1")), move |found, need| {
            if matches!(need, Need::OldPlace(_)) {
                found.old_place = Some(old.clone());
            }
        })
    };
    let is_fetched = |old| matches!(comes(old), Decision::Do(Action::Download(_)));
    let follows = |old| matches!(comes(Some(old)), Decision::Do(Action::Follow(f)) if f.from == path("old"));
    assert!(is_fetched(None));
    assert!(follows(old()));
    assert!(follows(OldPlace { remote: Remote::Folder, shown: true, ..old() }));
    assert_eq!(comes(Some(OldPlace { same_name: true, ..old() })), NOTHING);
    for local in [Local::Absent, Local::Dir, Local::Other("FIFO")] {
        assert!(is_fetched(Some(OldPlace { local, ..old() })));
    }
    let unknown = Local::Unknown(Failure::retry("io_error", "x"));
    assert_eq!(comes(Some(OldPlace { local: unknown, ..old() })), Decision::Later(WaitFor::Path(path("old"))));
    assert!(is_fetched(Some(OldPlace { remote: file(1, "1"), ..old() })), "it is there, too");
    assert_eq!(comes(Some(OldPlace { remote: Remote::Unlisted, ..old() })), Decision::Later(WaitFor::Listing));
    assert_eq!(comes(Some(OldPlace { shown: true, ..old() })), NOTHING, "a twin was here for a while");
    assert_eq!(comes(Some(OldPlace { respelled: true, ..old() })), Decision::Later(WaitFor::Path(path("old"))));
    // What stands here, or was agreed on here, is no new name.
    let here = of(Mode::TwoWay, Local::File(stat(1)), Some(base(1)), file(2, "9"));
    assert!(matches!(plainly(here), Decision::Do(Action::Download(_))));
}

#[test]
fn what_came_down_before_a_kill_is_agreed_on() {
    let came = |facts: Facts, content| {
        with(facts, move |found, need| match need {
            Need::Installed => {
                let (rev, file_id) = ("5".into(), "id:x".into());
                found.installed = Some(Some(Installed { content_hash: hash(content), rev, file_id }));
            }
            Need::InstalledHash => found.installed_hash = Some(Content::Is(hash(5))),
            _ => {}
        })
    };
    let placed =
        Base { stat: stat(2), content_hash: hash(5), rev: "5".into(), file_id: Some("id:x".into()), remote: None };
    assert_eq!(came(edited(), 5), done(Action::Renew(Box::new(placed))));
    assert_eq!(came(edited(), 6), done(Action::Upload(WriteMode::Update("1".into()))), "written to since");
    // A file that is written to all the time cannot be read whole: that it once came down must not keep it from going up.
    let unread = with(edited(), |found, need| match need {
        Need::Installed => {
            found.installed = Some(Some(Installed { content_hash: hash(5), rev: "5".into(), file_id: "id:x".into() }));
        }
        Need::InstalledHash => found.installed_hash = Some(Content::NotRead),
        _ => {}
    });
    assert_eq!(unread, done(Action::Upload(WriteMode::Update("1".into()))));
}

#[test]
fn a_file_with_new_times_only_is_written_down_before_it_goes() {
    for remote in [Remote::Absent, Remote::Folder, file(2, "9")] {
        let touched = of(Mode::TwoWay, Local::File(stat(2)), Some(base(1)), remote);
        assert_eq!(plainly(touched.clone()), done(Action::Renew(Box::new(Base { stat: stat(2), ..base(1) }))));
        let mut unread = touched;
        unread.found.content_hash = Some(Content::NotRead);
        assert_eq!(plainly(unread), done(Action::Compare), "without reading it cannot be said");
    }
}

#[test]
fn a_conflicted_copy_is_adopted_and_deleted_where_it_lies() {
    let copy = Base { remote: Some(RemotePath::parse("/copy").unwrap()), ..base(1) };
    let gone = of(Mode::Mirror, Local::Absent, Some(copy), file(1, "1"));
    assert_eq!(plainly(gone), done(Action::Delete { rev: "1".into() }));
    let new = of(Mode::Backup, Local::File(stat(1)), Some(base(1)), file(1, "3"));
    assert_eq!(plainly(new), done(Action::Adopt(Box::new(Base { rev: "3".into(), ..base(1) }))));
}

/// Whatever the facts are: it is decided, everything is asked for once at the most, and what is not known takes nothing away.
#[test]
fn every_combination_of_views_is_decided() {
    let locals = [
        Local::Absent,
        Local::File(stat(1)),
        Local::File(stat(2)),
        Local::Dir,
        Local::Other("FIFO"),
        Local::Unknown(Failure::retry("io_error", "x")),
    ];
    let remotes = [Remote::Unlisted, Remote::Absent, Remote::Folder, file(1, "1"), file(1, "3"), file(2, "9")];
    for mode in [Mode::TwoWay, Mode::Download, Mode::Backup, Mode::Mirror] {
        for (local, remote) in locals.iter().flat_map(|local| remotes.iter().map(move |remote| (local, remote))) {
            for (agreed, late, now) in
                [(0, false, 0), (1, false, 0), (2, false, 0), (0, true, 0), (1, true, LONG), (2, true, LONG)]
            {
                let mut facts = of(mode, local.clone(), (agreed == 1).then(|| base(1)), remote.clone());
                (facts.dir, facts.late, facts.now) = (agreed == 2, late, now);
                let seen = format!("{facts:?}");
                let decision = plainly(facts);
                let takes = matches!(
                    decision,
                    Decision::Do(
                        Action::Trash { .. }
                            | Action::RemoveDir
                            | Action::MoveAside
                            | Action::Download(_)
                            | Action::DeleteFolder
                    )
                );
                let touches_disk = matches!(
                    decision,
                    Decision::Do(
                        Action::Trash { .. }
                            | Action::RemoveDir
                            | Action::MoveAside
                            | Action::Download(_)
                            | Action::MakeDir
                            | Action::Follow(_)
                            | Action::Respell(_)
                    )
                );
                assert!(!(touches_disk && matches!(mode, Mode::Backup | Mode::Mirror)), "{seen}: {decision:?}");
                let deletes = matches!(decision, Decision::Do(Action::Delete { .. } | Action::DeleteFolder));
                assert!(!(deletes && mode == Mode::Backup), "{seen}: {decision:?}");
                let is_doubt = matches!(local, Local::Unknown(_)) || *remote == Remote::Unlisted;
                assert!(!(takes && is_doubt), "{seen}: {decision:?}");
                let sends = matches!(
                    decision,
                    Decision::Do(
                        Action::Upload(_)
                            | Action::AdoptOrUpload(_)
                            | Action::UploadCopy(_)
                            | Action::Delete { .. }
                            | Action::DeleteFolder
                            | Action::CreateFolder
                    )
                );
                assert!(!(sends && mode == Mode::Download), "{seen}: {decision:?}");
                assert!(
                    !(matches!(local, Local::Unknown(_)) && matches!(decision, Decision::Do(_))),
                    "{seen}: {decision:?}"
                );
            }
        }
    }
}
