use std::collections::HashSet;
use std::time::Instant;

use super::*;

struct Walked {
    end: ScanEnd,
    dirs: Vec<Scanned>,
    /// Each directory told before it was listed, in order.
    before: Vec<String>,
}

fn walk(root: &Root, ignored: &dyn Fn(&RelPath, bool) -> bool, start: &str) -> Walked {
    let mut before = Vec::new();
    let mut dirs = Vec::new();
    let told = std::cell::RefCell::new(HashSet::new());
    let end = scan(
        root,
        ignored,
        &path(start),
        &mut |next| {
            before.extend(next.iter().map(ToString::to_string));
            told.borrow_mut().extend(next.iter().cloned());
        },
        &mut |scanned| {
            let (Scanned::Dir { dir, .. } | Scanned::Unreadable { dir, .. }) = &scanned;
            assert!(told.borrow().contains(dir), "{dir} was listed unannounced");
            dirs.push(scanned);
            ControlFlow::Continue(())
        },
    );
    Walked { end, dirs, before }
}

fn order(seen: &Walked) -> Vec<&str> {
    seen.dirs
        .iter()
        .map(|s| match s {
            Scanned::Dir { dir, .. } | Scanned::Unreadable { dir, .. } => dir.as_str(),
        })
        .collect()
}

#[test]
fn depth_first_in_the_order_of_bytes_and_ignored_ones_not_entered() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b/2", "b/1/x", "a-", "a/z", "Z", "skip/inner"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    for name in ["a/f2", "a/f10", "a/.o", "skip/f"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    symlink("f2", dir.path().join("a/link")).unwrap();
    let ignored = |path: &RelPath, is_dir: bool| path.name().ends_with(".o") || (is_dir && path.name() == "skip");
    for root in both(dir.path()) {
        let seen = walk(&root, &ignored, "");
        assert_eq!(order(&seen), ["", "Z", "a", "a/z", "a-", "b", "b/1", "b/1/x", "b/2"]);
        assert!(!seen.before.iter().any(|dir| dir.starts_with("skip")));
        let Scanned::Dir { dirs, ignored_dirs, other_device: false, .. } = &seen.dirs[0] else { panic!() };
        assert_eq!((dirs.join(" ").as_str(), ignored_dirs.join(" ").as_str()), ("Z a a- b", "skip"));
        let Scanned::Dir { files, ignored_files, others, .. } = &seen.dirs[2] else { panic!() };
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.join(" ").as_str(), ignored_files.join(" ").as_str()), ("f10 f2", ".o"));
        assert_eq!(others[..], [("link".to_owned(), "symlink")]);
        assert_eq!(seen.end, ScanEnd { dirs: 9, files: 2, unreadable: 0, stopped: false });
        assert_eq!(order(&walk(&root, &ignored, "b")), ["b", "b/1", "b/1/x", "b/2"]);
    }
}

#[test]
fn a_start_that_is_not_there_is_unknown_and_a_stop_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let seen = walk(&root, &|_, _| false, "none");
    assert!(matches!(&seen.dirs[..], [Scanned::Unreadable { failure, .. }] if failure.code == "busy"));
    let end = scan(&root, &|_, _| false, &RelPath::root(), &mut |_| {}, &mut |_| ControlFlow::Break(()));
    assert_eq!(end, ScanEnd { dirs: 1, files: 0, unreadable: 0, stopped: true });
}

/// K2: an unreadable directory is said to be so, and its neighbours are scanned.
#[test]
fn k2_an_unreadable_directory_in_a_scan() {
    if ran_without_privileges("local::tests::scanning::k2_an_unreadable_directory_in_a_scan") {
        return;
    }
    let dir = folder();
    fs::create_dir(dir.path().join("z")).unwrap();
    chmod(&dir.path().join("a/b"), 0o000);
    for root in both(dir.path()) {
        let seen = walk(&root, &|_, _| false, "");
        assert_eq!(order(&seen), ["", "a", "a/b", "z"]);
        assert!(matches!(&seen.dirs[2], Scanned::Unreadable { failure, .. } if failure.code == "permission"));
        assert_eq!((seen.end.dirs, seen.end.unreadable), (3, 1));
    }
    chmod(&dir.path().join("a/b"), 0o700);
}

/// Q6: a file system mounted inside the tree is told.
#[test]
#[cfg(target_os = "linux")]
fn q6_a_mount_inside_is_another_device() {
    const MARK: &str = "FERRYBOX_TEST_MOUNTED";
    const NAME: &str = "local::tests::scanning::q6_a_mount_inside_is_another_device";
    let Some(at) = std::env::var_os(MARK) else {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("m")).unwrap();
        let script = format!("mount -t tmpfs none \"${MARK}/m\" && exec \"$0\" --exact {NAME}");
        let mut command = std::process::Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).arg(std::env::current_exe().unwrap()).env(MARK, dir.path());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    };
    let root = Root::open(Path::new(&at)).unwrap();
    let seen = walk(&root, &|_, _| false, "");
    assert!(matches!(seen.dirs[0], Scanned::Dir { other_device: false, .. }));
    assert!(matches!(seen.dirs[1], Scanned::Dir { other_device: true, .. }));
}

#[test]
fn ten_thousand_files() {
    let dir = tempfile::tempdir().unwrap();
    for d in 0..10 {
        fs::create_dir(dir.path().join(d.to_string())).unwrap();
        for f in 0..1000 {
            fs::write(dir.path().join(format!("{d}/{f}")), "").unwrap();
        }
    }
    let seen = walk(&Root::open(dir.path()).unwrap(), &|_, _| false, "");
    assert_eq!(seen.end, ScanEnd { dirs: 11, files: 10_000, unreadable: 0, stopped: false });
}

/// `cargo test -p ferrybox --lib -- --ignored --nocapture measure`: 50,000 directories with as many files.
#[test]
#[ignore = "measures, and asserts nothing: cargo test --release --lib measure_scanning -- --ignored --nocapture"]
fn measure_scanning_and_watching() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..50_000 {
        let at = dir.path().join(format!("{}/{}/{n}", n % 50, n % 1000));
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("f"), "").unwrap();
    }
    for (name, root) in ["openat2", "walk"].into_iter().zip(both(dir.path())) {
        let start = Instant::now();
        let end = scan(&root, &|_, _| false, &RelPath::root(), &mut |_| {}, &mut |_| ControlFlow::Continue(()));
        println!("{name}: {} directories and {} files in {:?}", end.dirs, end.files, start.elapsed());
    }
    let rules = crate::plan::name::ignore::Rules::new(&["*.iso".to_owned(), "/cache/".to_owned()]).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let load = |dir: &RelPath| root.ignore_text(dir);
    let ignored = |path: &RelPath, is_dir: bool| rules.matched(path, is_dir, &load).is_some();
    let start = Instant::now();
    scan(&root, &ignored, &RelPath::root(), &mut |_| {}, &mut |_| ControlFlow::Continue(()));
    println!("with rules: {:?}", start.elapsed());
    let (sender, mut seen) = tokio::sync::mpsc::channel(100_000);
    let watcher = Watcher::start(root.clone(), Arc::new(|_, _| false), sender).unwrap();
    let start = Instant::now();
    let mut before = |dirs: &[RelPath]| watcher.add_dirs(dirs).unwrap();
    scan(&root, &|_, _| false, &RelPath::root(), &mut before, &mut |_| ControlFlow::Continue(()));
    println!("with {} watches: {:?}", watcher.watched(), start.elapsed());
    let all: Vec<RelPath> = (0..50_000).map(|n| path(&format!("{}/{}/{n}", n % 50, n % 1000))).collect();
    let (sender2, _seen) = tokio::sync::mpsc::channel(10);
    let other = Watcher::start(root, Arc::new(|_, _| false), sender2).unwrap();
    let start = Instant::now();
    other.add_dirs(&all).unwrap();
    println!("{} watches in one call: {:?}", other.watched(), start.elapsed());
    drop(other);
    let start = Instant::now();
    let top = dir.path().to_owned();
    drop(dir);
    println!("removed {} in {:?}", top.display(), start.elapsed());
    let mut last = None;
    while watcher.watched() > 0 && start.elapsed().as_secs() < 120 {
        match seen.blocking_recv() {
            Some(Seen::Rescan { under, reason }) if under.is_root() => {
                last = Some(Seen::Rescan { under, reason });
                break;
            }
            other => last = other,
        }
    }
    println!("all told after {:?}; last: {last:?}; still watched: {}", start.elapsed(), watcher.watched());
}
