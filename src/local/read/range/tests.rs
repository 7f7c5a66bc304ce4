use std::fs::{self, OpenOptions};
use std::io::Write;

use futures_util::StreamExt;

use super::*;

const SIZE: usize = 1_000_000;

fn setting() -> (tempfile::TempDir, Root, RelPath, Stat, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect();
    fs::write(dir.path().join("f"), &bytes).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let path = RelPath::parse("f").unwrap();
    let stat = root.open_file(&path).unwrap().1;
    (dir, root, path, stat, bytes)
}

async fn collect(mut stream: FileRange) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        assert!(!chunk.is_empty() && chunk.len() as u64 <= CHUNK);
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

#[tokio::test]
async fn a_range_comes_whole() {
    let (_dir, root, path, stat, bytes) = setting();
    for range in [0..SIZE, 0..0, 5..6, 131_072..262_144, 999_999..SIZE, SIZE..SIZE, 1..999_999] {
        let wanted = range.start as u64..range.end as u64;
        let stream = FileRange::open(&root, &path, &stat, wanted).unwrap();
        assert_eq!(stream.remaining(), range.len() as u64);
        assert_eq!(collect(stream).await.unwrap(), bytes[range]);
    }
    assert_eq!(FileRange::open(&root, &path, &stat, 0..SIZE as u64 + 1).unwrap_err().code, "busy");
}

#[tokio::test]
async fn an_empty_file_is_an_empty_stream() {
    let (dir, root, path, _, _) = setting();
    fs::write(dir.path().join("f"), "").unwrap();
    let stat = root.open_file(&path).unwrap().1;
    assert!(collect(FileRange::open(&root, &path, &stat, 0..0).unwrap()).await.unwrap().is_empty());
}

/// G1: each change on the way ends the stream with [`Changed`] before its last chunk.
#[tokio::test]
async fn g1_a_change_on_the_way_ends_the_stream() {
    type Change = fn(&std::path::Path);
    let changes: [(&str, Change); 4] = [
        ("grown", |at| OpenOptions::new().append(true).open(at).unwrap().write_all(b"more").unwrap()),
        ("overwritten in place", |at| {
            OpenOptions::new().write(true).open(at).unwrap().write_all(b"other").unwrap();
        }),
        ("truncated", |at| OpenOptions::new().write(true).open(at).unwrap().set_len(500_000).unwrap()),
        ("touched", |at| File::open(at).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
    ];
    for (what, change) in changes {
        let (dir, root, path, stat, _) = setting();
        let mut stream = FileRange::open(&root, &path, &stat, 0..SIZE as u64).unwrap();
        let first = stream.next().await.unwrap().unwrap();
        change(&dir.path().join("f"));
        let error = collect(stream).await.unwrap_err();
        assert!(Changed::caused(&error), "{what}: {error:?}");
        assert!(Changed::caused(&io::Error::other(error)), "{what}, wrapped");
        assert!(first.len() < SIZE);
        // And what is there now is another file than expected.
        assert_eq!(FileRange::open(&root, &path, &stat, 0..5).unwrap_err().code, "busy", "{what}");
    }
    assert!(!Changed::caused(&io::Error::other("something else")));
}

#[tokio::test]
async fn g2_a_replaced_file_is_never_mixed_with_the_new_one() {
    let (dir, root, path, stat, bytes) = setting();
    fs::write(dir.path().join("new"), vec![b'n'; SIZE]).unwrap();
    let mut stream = FileRange::open(&root, &path, &stat, 0..SIZE as u64).unwrap();
    let first = stream.next().await.unwrap().unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("f")).unwrap();
    match collect(stream).await {
        Ok(rest) => assert_eq!([&first[..], &rest[..]].concat(), bytes),
        Err(error) => assert!(Changed::caused(&error)),
    }
}
