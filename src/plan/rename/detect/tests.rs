use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn rel(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn stat(ino: u64) -> Stat {
    Stat { size: 7, mtime_ns: 1, ctime_ns: 1, ino, dev: 1 }
}

fn base(ino: u64) -> Base {
    Base {
        stat: stat(ino),
        content_hash: ContentHash([1; 32]),
        rev: "01".into(),
        file_id: Some("id:a".into()),
        remote: None,
    }
}

#[test]
fn a_file_is_known_by_what_a_rename_leaves_alone() {
    assert!(same_file(&base(5), &stat(5)));
    assert!(same_file(&base(5), &Stat { ctime_ns: 99, ..stat(5) }), "some file systems change it");
    for other in [
        Stat { ino: 6, ..stat(5) },
        Stat { dev: 2, ..stat(5) },
        Stat { size: 8, ..stat(5) },
        Stat { mtime_ns: 2, ..stat(5) },
    ] {
        assert!(!same_file(&base(5), &other), "{other:?}");
    }
}

/// What follows, for every mode and everything that can stand at the old path.
#[test]
fn the_table_of_candidates() {
    for (mode, old, expected) in [
        (Mode::TwoWay, Old::Left, Some(How::Move)),
        (Mode::Mirror, Old::Left, Some(How::Move)),
        (Mode::Backup, Old::Left, Some(How::Copy)),
        (Mode::Download, Old::Left, None),
        (Mode::TwoWay, Old::Linked, Some(How::Copy)),
        (Mode::Mirror, Old::Linked, Some(How::Copy)),
        (Mode::Backup, Old::Linked, Some(How::Copy)),
        (Mode::Download, Old::Linked, None),
        (Mode::TwoWay, Old::Unknown, None),
        (Mode::Mirror, Old::Unknown, None),
        (Mode::Backup, Old::Unknown, None),
    ] {
        assert_eq!(candidate(&base(5), &stat(5), old, mode), expected, "{mode} {old:?}");
        // Moved and then written to: that is not proven to be the same file.
        assert_eq!(candidate(&base(5), &Stat { mtime_ns: 2, ..stat(5) }, old, mode), None);
        let copy = Base { remote: Some(RemotePath::parse("/copy").unwrap()), ..base(5) };
        assert_eq!(candidate(&copy, &stat(5), old, mode), None, "a conflicted copy's file lies elsewhere");
    }
}

#[test]
fn directories_are_paired_as_long_as_the_names_below_them_agree() {
    let pairs = |from: &str, to: &str| {
        let pairs = above(&rel(from), &rel(to));
        pairs.into_iter().map(|(a, b)| format!("{a} -> {b}")).collect::<Vec<_>>()
    };
    assert_eq!(pairs("old/f", "new/f"), ["old -> new"]);
    assert_eq!(pairs("old/d/f", "new/d/f"), ["old/d -> new/d", "old -> new"]);
    assert_eq!(pairs("a/x/f", "b/y/f"), ["a/x -> b/y"]);
    assert_eq!(pairs("a", "b"), [""; 0]);
    assert_eq!(pairs("d/a", "d/b"), [""; 0], "a file renamed where it is");
    assert_eq!(pairs("d/a", "a"), [""; 0], "the root moves nowhere");
    assert_eq!(pairs("a/f", "a/b/f"), [""; 0], "no directory moves into itself");
    assert_eq!(pairs("p/d/f", "p/e/f"), ["p/d -> p/e"]);
    assert_eq!(pairs("Docs/f", "docs/f"), ["Docs -> docs"]);
}

#[test]
fn most_of_a_directory_decides() {
    let moved = |same, changed, missing| Below { same, changed, missing, stayed: 0 }.is_moved();
    assert!(moved(1, 0, 0) && moved(10, 1, 0) && moved(3, 1, 1));
    assert!(!moved(0, 0, 0) && !moved(1, 1, 0) && !moved(1, 0, 1) && !moved(0, 5, 0));
    assert!(!moved(MOST + 1, 0, 0));
    let stayed = |same, stayed| Below { same, stayed, ..Below::default() }.is_moved();
    assert!(stayed(11, 1) && !stayed(10, 1) && !stayed(0, 1));
}

#[test]
fn h7_letters_and_forms_are_told_apart() {
    assert_eq!(spelling(&rel("Foo"), &rel("foo")), Spelling::Letters);
    assert_eq!(spelling(&rel("d/Ärger"), &rel("d/ärger")), Spelling::Letters);
    assert_eq!(spelling(&rel("caf\u{e9}"), &rel("cafe\u{301}")), Spelling::Form);
    assert_eq!(spelling(&rel("Caf\u{e9}"), &rel("cafe\u{301}")), Spelling::Letters);
    assert_eq!(spelling(&rel("a"), &rel("b")), Spelling::Other);
    let to = RemotePath::parse("/T/d/foo").unwrap();
    let via = by_way(&to, 1).unwrap();
    assert!(via.as_str().starts_with("/T/d/.ferrybox-moving-"), "{via}");
    assert_ne!(via, by_way(&to, 2).unwrap());
    assert_ne!(via, by_way(&RemotePath::parse("/T/d/fop").unwrap(), 1).unwrap());
}

/// H12: there is no condition on a revision, so what came of it is looked at.
#[test]
fn h12_what_was_moved_is_judged_by_its_result() {
    let arrived =
        |id: &str, byte: u8| Arrived { id: id.into(), rev: "02".into(), content_hash: Some(ContentHash([byte; 32])) };
    let moved = judge(&base(5), &arrived("id:a", 1), How::Move).unwrap();
    assert_eq!(moved, Base { rev: "02".into(), ..base(5) });
    // Edited by somebody else just before, or another file altogether: base keeps its own revision, and theirs is a change.
    assert_eq!(judge(&base(5), &arrived("id:a", 9), How::Move), Some(base(5)));
    assert_eq!(judge(&base(5), &arrived("id:b", 1), How::Move), Some(base(5)));
    let copied = judge(&base(5), &arrived("id:c", 1), How::Copy).unwrap();
    assert_eq!(copied.file_id.as_deref(), Some("id:c"));
    assert_eq!(judge(&base(5), &arrived("id:c", 9), How::Copy), None);
}

/// H10: what may not leave its namespace is copied; what only has to wait is tried again, and not for ever.
#[test]
fn h10_refusals() {
    assert_eq!(refused(&["cant_move_shared_folder"], 0), Refusal::Otherwise { copy: true });
    assert_eq!(refused(&["from_write", "no_write_permission"], 0), Refusal::Otherwise { copy: true });
    assert_eq!(refused(&["cant_transfer_ownership"], 0), Refusal::Otherwise { copy: true });
    assert_eq!(refused(&["too_many_files"], 0), Refusal::Otherwise { copy: false });
    assert_eq!(refused(&["cant_move_folder_into_itself"], 0), Refusal::Otherwise { copy: false });
    assert_eq!(refused(&["to", "conflict", "file"], 0), Refusal::Look);
    assert_eq!(refused(&["from_lookup", "not_found"], 0), Refusal::Look);
    assert_eq!(refused(&["from_lookup", "not_found"], 9), Refusal::Otherwise { copy: false });
    assert_eq!(refused(&["too_many_write_operations"], 0), Refusal::Again);
    assert_eq!(refused(&["too_many_write_operations"], 99), Refusal::Otherwise { copy: false });
}

/// A small tree of directories and files, and where each file's content is.
type Tree = BTreeMap<RelPath, u32>;

fn carry_out(tree: &mut Tree, from: &RelPath, to: &RelPath) {
    let moved: Vec<_> = tree.keys().filter(|path| path.is_under(from)).cloned().collect();
    for path in moved {
        let content = tree.remove(&path).unwrap();
        let at = if path == *from { to.clone() } else { path.moved(from, to).unwrap() };
        assert!(tree.insert(at, content).is_none(), "something was overwritten");
    }
}

fn paths() -> impl Strategy<Value = RelPath> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| rel(&names.join("/")))
}

proptest! {
    /// A renamed directory is found again from any file in it, however deep.
    #[test]
    fn a_renamed_directory_is_found_from_any_file(below in paths(), from in paths(), to in paths()) {
        prop_assume!(!from.is_under(&to) && !to.is_under(&from) && from.name() != to.name());
        let file = |dir: &RelPath| rel(&format!("{dir}/{below}"));
        let pairs = above(&file(&from), &file(&to));
        prop_assert_eq!(pairs.last(), Some(&(from.clone(), to.clone())));
        let mut tree: Tree = [(file(&from), 1)].into();
        carry_out(&mut tree, &from, &to);
        prop_assert_eq!(tree.get(&file(&to)), Some(&1));
    }
}

#[test]
fn c4_what_is_here_under_other_letters_keeps_a_file_out_only_if_it_is_agreed_on() {
    for (agreed, shows, expected) in [
        (false, Shows::This, ComesAs::This),
        (true, Shows::This, ComesAs::This),
        (false, Shows::Neither, ComesAs::This),
        (true, Shows::Neither, ComesAs::IsHere),
        (false, Shows::OtherLetters, ComesAs::Shown),
        (true, Shows::OtherLetters, ComesAs::IsHere),
    ] {
        assert_eq!(comes_as(agreed, shows), expected, "{agreed} {shows:?}");
    }
}
