//! How programs save: each save is one revision of the document, no temporary file goes up, and what never rests is sent now and then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, World, text};
use ferrybox_standin::Settings;

/// What a program does to save `new` into the document.
type Save = fn(dir: &Path, new: &str);

fn put(path: &Path, text: &str) {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
}

/// What editors take between two steps of a save: shorter than any quiet time.
fn pause() {
    std::thread::sleep(Duration::from_millis(40));
}

/// `:w` with `backup` and `nowritebackup` off: a write test, the old file renamed away, a new one written, the backup removed.
fn vim(dir: &Path, new: &str) {
    put(&dir.join(".doc.txt.swp"), "b0VIM");
    put(&dir.join("4913"), "");
    fs::remove_file(dir.join("4913")).unwrap();
    fs::rename(dir.join("doc.txt"), dir.join("doc.txt~")).unwrap();
    pause();
    put(&dir.join("doc.txt"), new);
    fs::remove_file(dir.join("doc.txt~")).unwrap();
    fs::remove_file(dir.join(".doc.txt.swp")).unwrap();
}

/// GLib's `g_file_replace`: a hidden temporary, renamed over the document.
fn gedit(dir: &Path, new: &str) {
    let temporary = dir.join(".goutputstream-XA3B61");
    put(&temporary, new);
    pause();
    fs::rename(temporary, dir.join("doc.txt")).unwrap();
}

/// A lock file that stays while the document is open; a temporary, then over the document.
fn libreoffice(dir: &Path, new: &str) {
    put(&dir.join(".~lock.doc.txt#"), "user,host");
    put(&dir.join("lu28391abc.tmp"), new);
    pause();
    fs::rename(dir.join("lu28391abc.tmp"), dir.join("doc.txt")).unwrap();
    fs::remove_file(dir.join(".~lock.doc.txt#")).unwrap();
}

/// In place: truncated, then written.
fn vs_code(dir: &Path, new: &str) {
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(dir.join("doc.txt")).unwrap();
    pause();
    pause();
    file.write_all(new.as_bytes()).unwrap();
}

/// A lock link and an auto-save while it is edited; the old file becomes the backup on the first save.
fn emacs(dir: &Path, new: &str) {
    symlink("user@host.1234:56", dir.join(".#doc.txt")).unwrap();
    put(&dir.join("#doc.txt#"), "half of it");
    pause();
    put(&dir.join("doc.txt"), new);
    fs::remove_file(dir.join("#doc.txt#")).unwrap();
    fs::remove_file(dir.join(".#doc.txt")).unwrap();
}

/// The safe write: the old file to one name, the new one from another.
fn jetbrains(dir: &Path, new: &str) {
    put(&dir.join("doc.txt___jb_tmp___"), new);
    fs::rename(dir.join("doc.txt"), dir.join("doc.txt___jb_old___")).unwrap();
    pause();
    fs::rename(dir.join("doc.txt___jb_tmp___"), dir.join("doc.txt")).unwrap();
    fs::remove_file(dir.join("doc.txt___jb_old___")).unwrap();
}

#[test]
fn g5_each_editor_s_save_is_one_revision_and_nothing_else() {
    for mode in ["backup", "mirror"] {
        let mut world = World::new();
        world.mode = mode;
        let editors: [(&str, Save); 6] = [
            ("vim", vim),
            ("gedit", gedit),
            ("libreoffice", libreoffice),
            ("code", vs_code),
            ("emacs", emacs),
            ("jetbrains", jetbrains),
        ];
        for (name, _) in editors {
            world.write(&format!("{name}/doc.txt"), "0");
        }
        let daemon = world.daemon();
        world.until("the documents", |s| s.file_count() == editors.len());
        let ids: Vec<_> = world.standin.files().into_iter().map(|f| (f.path_lower, f.id)).collect();
        for save in 1..=3 {
            for (name, edit) in editors {
                edit(&world.folder.join(name), &format!("{name} {save}"));
            }
            world.until("the saves", |s| {
                editors.iter().all(|(name, _)| {
                    s.content(&format!("/T/{name}/doc.txt")).is_some_and(|c| c == format!("{name} {save}"))
                })
            });
        }
        drop(daemon);
        let after: Vec<_> = world.standin.files().into_iter().map(|f| (f.path_lower, f.id)).collect();
        assert_eq!(ids, after, "{mode}: the same files, and no other");
        for file in world.standin.files() {
            assert_eq!(file.revisions, 4, "{mode}: {}", file.path_display);
        }
        world.assert_clean();
    }
}

#[test]
fn g4_a_truncated_file_is_not_sent_before_it_is_written() {
    let world = World::new();
    world.write("doc", "first");
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/doc").is_some());
    for i in 0..3 {
        let mut file = File::create(world.folder.join("doc")).unwrap();
        // Longer than the quiet time of a file with content (200 ms), shorter than an empty one's.
        std::thread::sleep(Duration::from_millis(350));
        file.write_all(format!("save {i}").as_bytes()).unwrap();
        drop(file);
        world.until("the save", |s| s.content("/T/doc").is_some_and(|c| c == format!("save {i}")));
    }
    drop(daemon);
    assert_eq!(world.standin.file("/T/doc").unwrap().revisions, 4);
    world.assert_clean();
}

#[test]
fn g6_ten_saves_a_second_make_few_revisions_and_the_last_content_wins() {
    let mut world = World::new();
    // A minute, ten times as fast.
    world.extra = "restless = \"2s\"\nsnapshot_every = \"3s\"\n".into();
    world.write("doc", "0");
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/doc").is_some());
    let began = Instant::now();
    let mut saves = 0;
    while began.elapsed() < Duration::from_secs(8) {
        saves += 1;
        world.write("doc", format!("save {saves}"));
        // The saves' own pace.
        std::thread::sleep(Duration::from_millis(100));
    }
    let during = world.standin.file("/T/doc").unwrap().revisions;
    assert!(during >= 2, "never sent while it was written: {during}");
    world.until("the last", |s| s.content("/T/doc").is_some_and(|c| c == format!("save {saves}")));
    drop(daemon);
    let revisions = world.standin.file("/T/doc").unwrap().revisions;
    assert!(revisions <= 6, "{revisions} revisions of {saves} saves");
    world.assert_clean();
}

#[test]
fn g3_a_large_file_that_never_rests_goes_up_from_a_copy_and_says_so() {
    let mut world = World::new();
    world.extra = "restless = \"1s\"\nsnapshot_every = \"4s\"\n".into();
    let path = world.folder.join("db");
    fs::write(&path, vec![0; 3 << 20]).unwrap();
    let daemon = world.daemon();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let (began, mut n, mut busy) = (Instant::now(), 0_u64, None);
    // A busy machine takes longer than eight seconds to say so and to send it.
    while began.elapsed() < Duration::from_secs(8)
        || (began.elapsed() < PATIENCE && (busy.is_none() || world.standin.file("/T/db").is_none()))
    {
        n += 1;
        file.write_all_at(&n.to_le_bytes(), n % 300_000 * 8).unwrap();
        // The writes' own pace.
        std::thread::sleep(Duration::from_millis(5));
        if n.is_multiple_of(100) && busy.is_none() {
            let out = world.command(&["problems", "--json"]).output().unwrap();
            busy = text(&out).contains("never rests").then(|| text(&out));
        }
    }
    drop(file);
    let during = world.standin.file("/T/db").map_or(0, |f| f.revisions);
    let most = 2 + began.elapsed().as_secs() / 4;
    assert!((1..=most).contains(&(during as u64)), "{during} revisions while it was written\n{}", world.log());
    assert!(busy.is_some_and(|b| b.contains("\"busy\"") && b.contains("next_try")), "it is shown as such");
    let last = fs::read(&path).unwrap();
    world.until("the last", |s| s.content("/T/db").is_some_and(|c| c == last));
    drop(daemon);
    assert_eq!(
        fs::read_dir(world.folder.join(".ferrybox/tmp")).map_or(0, Iterator::count),
        0,
        "no copy is left behind"
    );
    world.assert_clean();
}

#[test]
fn g1_g2_what_is_written_or_replaced_while_it_is_read_is_never_torn() {
    let world = World::with(Settings { bandwidth: Some(8 << 20), ..Settings::default() });
    let content = |n: u8| vec![n; 2 << 20];
    fs::write(world.folder.join("in-place"), content(0)).unwrap();
    fs::write(world.folder.join("replaced"), content(0)).unwrap();
    let daemon = world.daemon();
    for n in 1..30_u8 {
        let file = fs::OpenOptions::new().write(true).open(world.folder.join("in-place")).unwrap();
        file.write_all_at(&content(n), 0).unwrap();
        fs::write(world.folder.join(".goutputstream-1"), content(n)).unwrap();
        fs::rename(world.folder.join(".goutputstream-1"), world.folder.join("replaced")).unwrap();
        // Another moment of the reading and sending each time.
        std::thread::sleep(Duration::from_millis(u64::from(n) * 13 % 400));
        for name in ["/T/in-place", "/T/replaced"] {
            if let Some(bytes) = world.standin.content(name) {
                assert_eq!(bytes.len(), 2 << 20, "{name}");
                assert!(bytes.windows(2).all(|w| w[0] == w[1]), "{name} is torn");
            }
        }
    }
    world.standin.set_bandwidth(None);
    world.until("the last", |s| {
        ["/T/in-place", "/T/replaced"].iter().all(|name| s.content(name).is_some_and(|c| c[0] == 29))
    });
    drop(daemon);
    world.assert_clean();
}

#[test]
fn g7_a_git_repository_under_load_has_no_empty_objects() {
    let world = World::new();
    let repository = world.folder.join("repo");
    fs::create_dir(&repository).unwrap();
    let git = |dir: &Path, args: &[&str]| {
        let out = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"])
            .args(args)
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", text(&out));
    };
    git(&repository, &["init", "-q"]);
    let daemon = world.daemon();
    for i in 0..40 {
        fs::write(repository.join(format!("f{}", i % 7)), format!("{i}").repeat(500)).unwrap();
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-q", "-m", "x"]);
        if i % 10 == 9 {
            let empty = |f: &ferrybox_standin::FileInfo| f.size == 0 && f.path_lower.contains("/objects/");
            assert!(!world.standin.files().iter().any(empty));
        }
    }
    git(&repository, &["gc", "-q"]);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}\n{}", text(&out), world.log());
    drop(daemon);
    // The repository as another machine would get it: what is in Dropbox now, without what was deleted here (this is a backup).
    let copy = world.dir.path().join("copy");
    for (name, _) in world.disk() {
        let path = copy.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, world.standin.content(&format!("/T/{name}")).unwrap()).unwrap();
    }
    fs::create_dir_all(copy.join("repo/.git/refs/heads")).unwrap();
    git(&copy.join("repo"), &["fsck", "--full"]);
    world.assert_clean();
}
