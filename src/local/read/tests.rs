use std::fs;

use super::*;
use crate::model::BLOCK_SIZE;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn of(bytes: &[u8]) -> ContentHash {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    hasher.finish()
}

fn folder() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

#[test]
fn a_quiet_file_is_read_and_hashed_whole() {
    let (dir, root) = folder();
    let bytes: Vec<u8> = (0..700_001_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    for content in [&bytes[..], b"", b"x"] {
        fs::write(dir.path().join("f"), content).unwrap();
        let read = read_small(&root, &path("f"), 700_001).unwrap();
        assert_eq!(read.bytes, content);
        assert_eq!((read.stat.size, read.content_hash), (content.len() as u64, of(content)));
        let (blocks, stat) = hash_file(&root, &path("f"), None).unwrap();
        assert_eq!((blocks.content_hash(), stat), (read.content_hash, read.stat));
    }
}

/// G10: holes are read as the zeros that they stand for; parts hashed apart join to the whole.
#[test]
fn g10_holes_and_ranges() {
    let (dir, root) = folder();
    let size = 2 * BLOCK_SIZE + 12_345;
    let file = File::create(dir.path().join("f")).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"end", size - 3).unwrap();
    let mut content = vec![0; usize::try_from(size).unwrap()];
    let at = content.len() - 3;
    content[at..].copy_from_slice(b"end");
    assert_eq!(hash_file(&root, &path("f"), None).unwrap().0.content_hash(), of(&content));
    let (mut joined, _) = hash_file(&root, &path("f"), Some(0..BLOCK_SIZE)).unwrap();
    joined.extend(&hash_file(&root, &path("f"), Some(BLOCK_SIZE..size)).unwrap().0);
    assert_eq!(joined.content_hash(), of(&content));
    assert_eq!(hash_file(&root, &path("f"), Some(0..size + 1)).unwrap_err().code, "busy");
}

/// G1, G2: whatever happens to the file between the two looks, the read is thrown away.
#[test]
fn g1_g2_a_file_that_changes_while_it_is_read_is_busy() {
    type Change = fn(&std::path::Path);
    let changes: [(&str, Change); 6] = [
        ("grown", |at| fs::write(at, "123456789").unwrap()),
        ("truncated", |at| fs::write(at, "1").unwrap()),
        ("emptied", |at| fs::write(at, "").unwrap()),
        ("same size", |at| fs::write(at, "abcd").unwrap()),
        ("touched", |at| File::open(at).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
        ("same size, time put back", |at| {
            let before = fs::symlink_metadata(at).unwrap().modified().unwrap();
            fs::write(at, "abcd").unwrap();
            File::open(at).unwrap().set_modified(before).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (dir, root) = folder();
        let at = dir.path().join("f");
        fs::write(&at, "1234").unwrap();
        let (file, stat) = root.open_file(&path("f")).unwrap();
        change(&at);
        assert_eq!(read_open(&file, stat, 100).unwrap_err().code, "busy", "{what}");
        let failure = take_open(&file, &stat, 0..stat.size, &mut |_| ()).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.next), ("busy", crate::model::Next::Look), "{what}");
    }
}

/// A file that is replaced meanwhile: the old one was read whole, or (its link count changed its ctime) not at all; never the new one.
#[test]
fn g2_replaced_by_rename() {
    let (dir, root) = folder();
    fs::write(dir.path().join("f"), "old").unwrap();
    fs::write(dir.path().join("new"), "new").unwrap();
    let (file, stat) = root.open_file(&path("f")).unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("f")).unwrap();
    match read_open(&file, stat, 100) {
        Ok(read) => assert_eq!(read.bytes, "old"),
        Err(failure) => assert_eq!(failure.code, "busy"),
    }
}

#[test]
fn larger_than_the_limit_is_not_read() {
    let (dir, root) = folder();
    fs::write(dir.path().join("f"), "12345").unwrap();
    assert_eq!(read_small(&root, &path("f"), 4).unwrap_err().code, "busy");
    assert_eq!(read_small(&root, &path("f"), 5).unwrap().bytes, "12345");
}
