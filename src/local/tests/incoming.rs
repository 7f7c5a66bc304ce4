//! Downloads on their way: what a restart finds, and what it does not believe.

use super::*;

const MIB: usize = 1 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect()
}

fn hash(bytes: &[u8]) -> crate::model::ContentHash {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// B1: what was written from the front is there after a kill, whatever the handle knew.
#[test]
fn b1_a_restart_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let bytes = pattern(5 * MIB + 3);
    let first = root.incoming("rev/1", bytes.len() as u64).unwrap();
    assert_eq!((first.len(), first.is_empty(), first.size()), (0, true, bytes.len() as u64));
    first.write_at(0, &bytes[..MIB]).unwrap();
    first.write_at(MIB as u64, &bytes[MIB..2 * MIB + 7]).unwrap();
    assert_eq!(code(first.hash()), "bad_content");
    // Nobody else may write into it meanwhile.
    assert_eq!(code(root.incoming("rev/1", bytes.len() as u64)), "busy");
    drop(first);
    let other = root.incoming("rev/2", bytes.len() as u64).unwrap();
    assert!(other.is_empty());
    let again = root.incoming("rev/1", bytes.len() as u64).unwrap();
    assert_eq!(again.len(), 2 * MIB as u64 + 7);
    let rest = 2 * MIB as u64 + 7..bytes.len() as u64;
    assert_eq!(again.missing(), [rest]);
    again.write_at(again.len(), &bytes[2 * MIB + 7..]).unwrap();
    assert!(again.missing().is_empty());
    assert_eq!(again.hash().unwrap(), hash(&bytes));
    assert_eq!(code(again.write_at(bytes.len() as u64, b"x")), "bad_content");
    again.restart().unwrap();
    assert!(again.is_empty());
    again.discard();
    other.discard();
    assert_eq!(contents(&dir.path().join(".ferrybox/tmp")), []);
    for at in [".ferrybox", ".ferrybox/tmp"] {
        assert_eq!(fs::symlink_metadata(dir.path().join(at)).unwrap().permissions().mode() & 0o7777, 0o700, "{at}");
    }
}

/// Written in several places at once: a hole is never taken for content, whenever the program is killed.
#[test]
fn several_ranges_at_once_leave_no_hole_that_counts() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let bytes = pattern(9 * MIB);
    let part = 3 * MIB;
    let incoming = root.incoming("rev", bytes.len() as u64).unwrap();
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (incoming, bytes) = (&incoming, &bytes);
            scope.spawn(move || {
                for at in (n * part..(n + 1) * part).step_by(100_000) {
                    incoming.write_at(at as u64, &bytes[at..(at + 100_000).min((n + 1) * part)]).unwrap();
                }
            });
        }
    });
    assert!(incoming.missing().is_empty());
    assert_eq!(incoming.hash().unwrap(), hash(&bytes));
    drop(incoming);
    // What was not saved in the list is loaded again; nothing else is.
    let incoming = root.incoming("rev", bytes.len() as u64).unwrap();
    for range in incoming.missing() {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        incoming.write_at(range.start as u64, &bytes[range]).unwrap();
    }
    assert_eq!(incoming.hash().unwrap(), hash(&bytes));
    incoming.discard();

    // The last part alone arrived, then the kill.
    let incoming = root.incoming("rev", bytes.len() as u64).unwrap();
    incoming.write_at(0, &bytes[..MIB]).unwrap();
    incoming.write_at(6 * MIB as u64, &bytes[6 * MIB..]).unwrap();
    let middle = MIB as u64..6 * MIB as u64;
    assert_eq!(incoming.missing(), [middle]);
    drop(incoming);
    let incoming = root.incoming("rev", bytes.len() as u64).unwrap();
    assert!(incoming.missing().contains(&(MIB as u64..bytes.len() as u64)), "{:?}", incoming.missing());
    assert_eq!(code(incoming.hash()), "bad_content");
}

/// What was hashed and then written anew is hashed anew.
#[test]
fn rewritten_bytes_are_hashed_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let incoming = root.incoming("rev", 8).unwrap();
    incoming.write_at(0, b"abcdefgh").unwrap();
    assert_eq!(incoming.hash().unwrap(), hash(b"abcdefgh"));
    incoming.write_at(2, b"XY").unwrap();
    assert_eq!(incoming.hash().unwrap(), hash(b"abXYefgh"));
    let empty = root.incoming("empty", 0).unwrap();
    assert!(empty.missing().is_empty());
    assert_eq!(empty.hash().unwrap(), hash(b""));
}

/// R3: what was planted under our name is not written to.
#[test]
fn r3_planted_names_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    fs::write(dir.path().join("victim"), "untouched").unwrap();
    let incoming = root.incoming("rev", 3).unwrap();
    incoming.write_at(0, b"one").unwrap();
    drop(incoming);
    let tmp = dir.path().join(".ferrybox/tmp");
    let name = contents(&tmp)[0].0.clone();
    type Plant = fn(&Path, &Path);
    let plants: [Plant; 5] = [
        |at, victim| symlink(victim, at).unwrap(),
        |at, victim| fs::hard_link(victim, at).unwrap(),
        |at, _| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        |at, _| fs::create_dir(at).unwrap(),
        |at, _| symlink("nowhere", at).unwrap(),
    ];
    for plant in plants {
        fs::remove_file(tmp.join(&name)).unwrap();
        plant(&tmp.join(&name), &dir.path().join("victim"));
        let incoming = root.incoming("rev", 3).unwrap();
        assert!(incoming.is_empty());
        incoming.write_at(0, b"two").unwrap();
        drop(incoming);
        assert_eq!(fs::read_to_string(tmp.join(&name)).unwrap(), "two");
        assert_eq!(fs::read_to_string(dir.path().join("victim")).unwrap(), "untouched");
    }
    // A longer one is another content; a list that cannot be read lists nothing.
    let incoming = root.incoming("rev", 2).unwrap();
    assert!(incoming.is_empty());
    drop(incoming);
    fs::write(tmp.join(&name), "xy").unwrap();
    fs::write(tmp.join(format!("{name}.ranges")), "0 1\n1 9").unwrap();
    assert!(root.incoming("rev", 2).unwrap().is_empty());
}

/// B16: old leftovers go; what is under way, and what is not ours, stays.
#[test]
fn b16_the_sweep_takes_old_leftovers_only() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let (left, running) = (root.incoming("left", 9).unwrap(), root.incoming("running", 9).unwrap());
    for incoming in [&left, &running] {
        incoming.write_at(4, b"x").unwrap();
    }
    drop(left);
    fs::write(dir.path().join(".ferrybox/tmp/other"), "").unwrap();
    assert_eq!(root.sweep_tmp(0).unwrap(), 0);
    let later = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() + 60_000;
    assert_eq!(root.sweep_tmp(later).unwrap(), 2);
    assert_eq!(contents(&dir.path().join(".ferrybox/tmp")).len(), 3);
    assert_eq!(running.len(), 1);
}

/// L1: a full disk is met before the first byte, and says so.
#[test]
fn l1_a_full_disk_is_said_at_once() {
    let dir = quick_dir();
    let root = Root::open(dir.path()).unwrap();
    let space = root.space().unwrap();
    assert!(space.free > 0 && space.free <= space.total);
    let failure = root.incoming("huge", space.total + (1 << 30)).unwrap_err();
    assert!(["disk_full", "too_large"].contains(&failure.code.as_str()), "{failure:?}");
    // Nothing stays claimed.
    let used: u64 = fs::read_dir(dir.path().join(".ferrybox/tmp"))
        .unwrap()
        .map(|entry| std::os::unix::fs::MetadataExt::blocks(&entry.unwrap().metadata().unwrap()))
        .sum();
    assert_eq!(used, 0);
}
