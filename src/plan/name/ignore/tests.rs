use std::cell::RefCell;

use proptest::prelude::{Strategy, any, proptest};

use super::*;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

/// A folder's files of patterns, by directory.
struct Files<'a>(&'a [(&'a str, &'a str)]);

impl Files<'_> {
    fn load(&self, dir: &RelPath) -> Result<Option<String>, Failure> {
        Ok(self.0.iter().find(|(at, _)| *at == dir.as_str()).map(|(_, text)| (*text).to_owned()))
    }
}

fn ignored(config: &[&str], files: &[(&str, &str)], at: &str, is_dir: bool) -> Option<Why> {
    let config: Vec<String> = config.iter().map(|&line| line.to_owned()).collect();
    let files = Files(files);
    Rules::new(&config).unwrap().matched(&path(at), is_dir, &|dir| files.load(dir))
}

#[test]
fn patterns_mean_what_they_mean_to_git() {
    let files: &[(&str, &str)] = &[
        ("", "*.log\n!keep.log\nbuild/\n/top\ndocs/*.pdf\n**/cache/**\n# comment\n\\#hash\n\n*.bak  \n"),
        ("sub", "!*.log\nsecret\n/only-here\n"),
        ("sub/deep", "*.log\n"),
    ];
    let cases = [
        ("a.log", false, true),
        ("x/y/a.log", false, true),
        ("keep.log", false, false),
        ("x/keep.log", false, false),
        ("build", true, true),
        ("build", false, false),
        ("build/x/y", false, true),
        ("x/build/y", false, true),
        ("top", false, true),
        ("x/top", false, false),
        ("docs/a.pdf", false, true),
        ("docs/x/a.pdf", false, false),
        ("x/docs/a.pdf", false, false),
        ("cache", true, false),
        ("cache/a", false, true),
        ("x/cache/a/b", false, true),
        ("#hash", false, true),
        ("# comment", false, false),
        ("a.bak", false, true),
        ("sub/a.log", false, false),
        ("sub/x/a.log", false, false),
        ("sub/deep/a.log", false, true),
        ("sub/secret", false, true),
        ("sub/x/secret/y", false, true),
        ("secret", false, false),
        ("sub/only-here", false, true),
        ("sub/x/only-here", false, false),
        ("subway/secret", false, false),
        (".ferryboxignore", false, false),
    ];
    for (at, is_dir, expected) in cases {
        assert_eq!(ignored(&[], files, at, is_dir).is_some(), expected, "{at}");
    }
}

#[test]
fn h5_a_file_of_patterns_is_never_ignored_by_one() {
    let files: &[(&str, &str)] = &[("", "*\n"), ("sub", ".ferryboxignore\n")];
    assert!(ignored(&[], files, "other", false).is_some());
    assert_eq!(ignored(&[], files, IGNORE_FILE, false), None);
    assert_eq!(ignored(&[], &files[1..], "sub/.ferryboxignore", false), None);
    // What lies in an ignored directory is not looked at; and the person's own configuration is the person's own.
    assert!(ignored(&[], files, "sub/.ferryboxignore", false).is_some());
    assert!(ignored(&["*"], &[], IGNORE_FILE, false).is_some());
    let own = Rules::new(&[]).unwrap().with_own_files(true);
    assert!(own.matched(&path(IGNORE_FILE), false, &|_| Ok(None)).is_some());
    assert!(own.matched(&path("x"), false, &|_| Ok(None)).is_none());
}

#[test]
fn h4_compiled_patterns_have_a_budget() {
    let many = |n: usize, mark: &str| (0..n).map(|i| format!("{mark}-{i}-*\n")).collect::<String>();
    // Equal texts are compiled once, however many there are.
    let rules = Rules::new(&[]).unwrap();
    let text = many(20, "same");
    let same = |dir: &RelPath| Ok((!dir.is_root()).then(|| text.clone()));
    for i in 0..100 {
        assert!(rules.matched(&path(&format!("d{i}/same-1-x")), false, &same).is_some());
    }
    let kept = |rules: &Rules| {
        let cache = rules.cache();
        (cache.cost, cache.compiled.len(), cache.files.len())
    };
    assert_eq!(kept(&rules), (20, 1, 101));
    // Others are dropped, the one that was not asked for for longest first, and take effect all the same.
    let other = |dir: &RelPath| Ok((!dir.is_root()).then(|| many(20, dir.as_str())));
    let rules = Rules::new(&[]).unwrap();
    for i in 0..100 {
        assert!(rules.matched(&path(&format!("d{i}/d{i}-7-x")), false, &other).is_some());
        assert!(rules.cache().cost <= BUDGET);
    }
    let remembers = |dir: &str| rules.cache().files.contains_key(dir);
    assert!(remembers("d99"));
    assert!(!remembers("d0"));
    assert!(rules.matched(&path("d0/d0-7-x"), false, &other).is_some());
    rules.forget_all();
    assert_eq!(kept(&rules), (0, 0, 0));
    // A text that is too long, and a place for which too many hold together: nothing there is synced, and a problem says why.
    let long = |dir: &RelPath| Ok(dir.is_root().then(|| many(MOST_IN_A_FILE + 1, "x")));
    assert!(matches!(rules.matched(&path("any"), false, &long).unwrap().source, Source::Unreadable(..)));
    assert_eq!(rules.problems(&RelPath::root())[0].1.code, "ignore_file");
    let rules = Rules::new(&[]).unwrap();
    let deep = |dir: &RelPath| Ok(Some(many(180, dir.as_str())));
    assert_eq!(rules.matched(&path("a/fine"), false, &deep), None);
    assert!(matches!(rules.matched(&path("a/b/any"), false, &deep).unwrap().source, Source::Unreadable(..)));
    let problems = rules.problems(&path("a/b"));
    assert_eq!((problems[0].0.as_str(), problems[0].1.code.as_str()), ("a/b/.ferryboxignore", "ignore_file"));
    assert_eq!(rules.matched(&path("a/fine"), false, &deep), None);
}

#[test]
fn h4_a_long_pattern_counts_as_many() {
    for (line, expected) in [
        ("", 0),
        ("  ", 0),
        ("# a comment", 0),
        ("*.log", 1),
        (&"x".repeat(31), 1),
        (&"x".repeat(32), 2),
        (&"*?".repeat(1000), 63),
        (&"x".repeat(LONGEST_LINE), 129),
        (&"x".repeat(LONGEST_LINE + 1), 0),
    ] {
        assert_eq!(charge(line), expected, "{} bytes", line.len());
    }
    // Few lines, and more than there is room for.
    let rules = Rules::new(&[]).unwrap();
    let few = format!("{}\n{}\n", "*a".repeat(2000), "?b".repeat(2000));
    let load = |dir: &RelPath| Ok(dir.is_root().then(|| few.clone()));
    assert!(matches!(rules.matched(&path("any"), false, &load).unwrap().source, Source::Unreadable(..)));
    // Others are dropped for a file of few long lines.
    let rules = Rules::new(&[]).unwrap();
    let other = |dir: &RelPath| Ok((!dir.is_root()).then(|| format!("{dir}{}\n", "*x".repeat(1500))));
    for i in 0..20 {
        assert_eq!(rules.matched(&path(&format!("d{i}/fine")), false, &other), None);
        assert!(rules.cache().cost <= BUDGET);
        assert!(rules.cache().compiled.len() <= BUDGET / 94);
    }
}

#[test]
fn h4_a_line_longer_than_any_path_is_left_out_and_told() {
    let rules = Rules::new(&[]).unwrap();
    let text = format!("*.log\n{}\n*.tmp\n", "x".repeat(LONGEST_LINE + 1));
    let load = |dir: &RelPath| Ok(dir.is_root().then(|| text.clone()));
    assert!(rules.matched(&path("a.log"), false, &load).is_some());
    assert!(rules.matched(&path("a.tmp"), false, &load).is_some());
    let problems = rules.problems(&RelPath::root());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].1.text.starts_with("line 2 is not a pattern and is left out: it has 4097 bytes"),
        "{problems:?}"
    );
    // However many bad lines there are, there are not as many problems.
    let rules = Rules::new(&[]).unwrap();
    let bad = |dir: &RelPath| Ok(dir.is_root().then(|| "{a,b\n".repeat(150)));
    assert_eq!(rules.matched(&path("a"), false, &bad), None);
    let problems = rules.problems(&RelPath::root());
    assert_eq!(problems.len(), BAD_LINES + 1, "{problems:?}");
    assert_eq!(problems[BAD_LINES].1.text, "130 more lines are not patterns and are left out");
}

/// Two who ask at once may both compile a text: what is kept is one.
#[test]
fn h4_equal_texts_compiled_at_once_are_kept_once() {
    let rules = Rules::new(&[]).unwrap();
    let inner = |dir: &RelPath| Ok((!dir.is_root()).then(|| "same\n".to_owned()));
    // While the text of `a` is compiled, that of `b` is.
    let (one, two) = (rules.compiled("same\n").unwrap(), rules.compiled("same\n").unwrap());
    assert!(!Arc::ptr_eq(&one, &two));
    let mut cache = rules.cache();
    cache.remember("a", Some(Arc::new(RuleFile::of(path("a"), one))));
    cache.remember("b", Some(Arc::new(RuleFile::of(path("b"), two))));
    let kept = |dir: &str| cache.files[dir].file.as_ref().unwrap().patterns.clone().unwrap();
    assert!(Arc::ptr_eq(&kept("a"), &kept("b")));
    assert_eq!(cache.cost, 1);
    drop(cache);
    assert!(rules.matched(&path("b/same"), false, &inner).is_some());
}

#[test]
fn nothing_below_an_ignored_directory_comes_back() {
    let files: &[(&str, &str)] = &[("", "build/\n!build/keep\n"), ("build", "!*\n")];
    let why = ignored(&[], files, "build/keep", false).unwrap();
    assert_eq!((why.at, why.pattern.as_str(), why.source), (path("build"), "build/", Source::File(RelPath::root())));
}

#[test]
fn who_decides_first() {
    let table: &[(&[&str], &str, &str, Option<&str>)] = &[
        // (configuration, the root's file, path, the pattern that ignores it)
        (&["*.iso"], "", "a/x.iso", Some("*.iso")),
        (&["*.iso"], "!x.iso", "a/x.iso", None),
        (&["!x.iso"], "*.iso", "x.iso", Some("*.iso")),
        (&["/media/raw/"], "", "media/raw/1.cr2", Some("/media/raw/")),
        (&["!desktop.ini", "!.ferrybox"], "!*", "Desktop.ini", Some("desktop.ini")),
        (&["!.ferrybox"], "!*", ".ferrybox/trash/x", Some(".ferrybox")),
        (&["!.ferrybox"], "!*", "a/b/.ferrybox/trash/x", Some(".ferrybox")),
        (&[], "", "a/.ferryboxes", None),
        (&[], "", ".dropbox.cache/x", Some("/.dropbox.cache")),
        (&[], "", "a/.dropbox.cache", None),
        (&[], "", "a/Thumbs.DB", Some("thumbs.db")),
        (&[], "", "a/~$letter.docx", Some("~$*")),
        (&[], "", ".~lock.x.odt#", Some(".~*")),
        (&[], "", ".goutputstream-AB12CD", Some(".goutputstream-*")),
        (&["!.goutputstream-*"], "", ".goutputstream-AB12CD", None),
        (&[], "", "#x#", Some("#*#")),
        (&[], "", "#", None),
        (&[], "", ".x.txt.swp", Some(".*.swp")),
        (&[], "", "x.swp", None),
        (&[], "", "4913", None),
        (&[], "", "a.txt___jb_tmp___", Some("*___jb_tmp___")),
    ];
    for (config, file, at, expected) in table {
        let why = ignored(config, &[("", file)], at, false);
        assert_eq!(why.as_ref().map(|why| why.pattern.as_str()), *expected, "{at} with {config:?} and {file:?}");
    }
}

#[test]
fn a_bad_line_is_a_problem_and_the_others_hold() {
    let rules = Rules::new(&[]).unwrap();
    let load = |dir: &RelPath| Ok(dir.is_root().then(|| "*.log\n{a,b\n*.tmp\n".to_owned()));
    assert!(rules.matched(&path("x.tmp"), false, &load).is_some());
    assert!(rules.matched(&path("x.log"), false, &load).is_some());
    let problems = rules.problems(&RelPath::root());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].0.as_str(), problems[0].1.code.as_str()), (".ferryboxignore", "ignore_file"));
    assert!(problems[0].1.text.starts_with("line 2 "), "{problems:?}");
    let error = Rules::new(&["ok".to_owned(), "{a,b".to_owned()]).unwrap_err();
    assert_eq!(error.pattern, "{a,b");
}

#[test]
fn an_unreadable_file_stops_its_directory_alone() {
    let rules = Rules::new(&[]).unwrap();
    let load =
        |dir: &RelPath| if dir.as_str() == "a" { Err(Failure::retry("io_error", "the disk failed")) } else { Ok(None) };
    assert!(matches!(rules.matched(&path("a/x"), false, &load).unwrap().source, Source::Unreadable(..)));
    assert!(rules.matched(&path("a/.ferryboxignore"), false, &load).is_none());
    assert!(rules.matched(&path("b/x"), false, &load).is_none());
    assert_eq!((rules.problems(&path("a")).len(), rules.problems(&path("b")).len()), (1, 0));
    // It is named, and read again once it is forgotten.
    assert_eq!(rules.unreadable(), [path("a")]);
    let readable = |dir: &RelPath| Ok((dir.as_str() == "a").then(|| "secret\n".to_owned()));
    rules.forget(&path("a"));
    assert!(rules.unreadable().is_empty());
    assert!(rules.matched(&path("a/secret"), false, &readable).is_some());
    assert!(rules.matched(&path("a/x"), false, &readable).is_none());
    assert!(rules.matched(&path("b/secret"), false, &readable).is_none());
    rules.forget_all();
    assert!(rules.matched(&path("b/x"), false, &|_| Err(Failure::retry("io_error", "gone"))).is_some());
}

#[test]
fn each_file_is_loaded_once_until_it_is_forgotten() {
    let rules = Rules::new(&[]).unwrap();
    let text = RefCell::new("*.a\n".to_owned());
    let loads = RefCell::new(Vec::new());
    let load = |dir: &RelPath| {
        loads.borrow_mut().push(dir.to_string());
        Ok((dir.as_str() == "d").then(|| text.borrow().clone()))
    };
    assert!(rules.matched(&path("d/x.a"), false, &load).is_some());
    assert!(rules.matched(&path("e/x.a"), false, &load).is_none());
    assert!(rules.matched(&path("d/y.b"), false, &load).is_none());
    assert_eq!(*loads.borrow(), ["", "d", "e"]);
    *text.borrow_mut() = "*.b\n".to_owned();
    rules.forget(&path("d"));
    assert!(rules.matched(&path("d/x.a"), false, &load).is_none());
    assert!(rules.matched(&path("d/y.b"), false, &load).is_some());
    assert_eq!(*loads.borrow(), ["", "d", "e", "d"]);
}

fn some_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab.~#]{1,3}", 1..5).prop_filter_map("dots", |parts| {
        let text = parts.join("/");
        RelPath::parse(&text).is_ok().then_some(text)
    })
}

proptest! {
    /// Whatever the patterns: below an ignored directory everything is ignored, for the same reason, whoever is asked first.
    #[test]
    fn an_ignored_parent_has_ignored_children(
        lines in proptest::collection::vec("!?/?[ab*.~#?]{1,4}(/[ab*]{1,2})?/?", 0..6),
        config in proptest::collection::vec("!?[ab*]{1,3}/?", 0..3),
        at in some_path(),
        child in some_path(),
        is_dir in any::<bool>(),
        file_in in some_path(),
    ) {
        let text = lines.join("\n");
        let load = |dir: &RelPath| Ok((dir.is_root() || dir.as_str() == file_in).then(|| text.clone()));
        let Ok(rules) = Rules::new(&config) else { return Ok(()) };
        let (parent, child) = (path(&at), path(&format!("{at}/{child}")));
        let warm = rules.matched(&child, is_dir, &load);
        if let Some(why) = rules.matched(&parent, true, &load) {
            assert_eq!(warm.as_ref(), Some(&why));
        }
        let cold = Rules::new(&config).unwrap().matched(&child, is_dir, &load);
        assert_eq!(warm, cold);
    }
}
