//! What is not synced: built-in names, patterns of the configuration, and `.ferryboxignore` files, read as git reads its own.
//!
//! Who decides, first to last: names that Dropbox or ferrybox itself cannot sync (nothing overrides them); the `.ferryboxignore` files
//! from the deepest directory up to the root, the last fitting line of each; the configuration; the editors' temporary names. A line
//! that begins with `!` takes a path back in, except below an ignored directory: what lies there is not even looked at. A `.ferryboxignore` is
//! ignored by none of them, itself included: what mends one must be able to come down.
//!
//! A compiled pattern takes some 3 KiB, a long one as much for every 32 bytes, and anybody who may write in a shared folder can send them: equal
//! texts are compiled once, what was not needed for longest is dropped beyond a budget, and a directory for which more hold than that is not
//! synced, with a problem that says so.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::{ContentHash, ContentHasher, Failure, RelPath, RemotePath};
use crate::plan::listing::key_of;
use crate::plan::name::allowed::{DROPBOX_UNSYNCED, OWN_DIR, has_form};

/// The file of patterns that a directory may hold. It is synced like any file.
pub const IGNORE_FILE: &str = ".ferryboxignore";

/// Names that programs give to files that live for a moment while they save. At most one `*`. A `!` line takes them back in.
///
/// Left out on purpose: `4913` (vim's write test) and `*.swp` without a leading dot, since people have files of those names and the quiet time
/// before an upload outlives vim's own.
const TEMPORARY: [(&str, &str); 12] = [
    (".goutputstream-*", "GLib's g_file_replace: gedit and other GNOME programs"),
    (".#*", "Emacs: lock link"),
    ("#*#", "Emacs: auto-save"),
    (".*.swp", "Vim: swap file"),
    (".*.swo", "Vim: second swap file"),
    (".*.swx", "Vim: probe for a swap file"),
    (".*.swpx", "Vim: probe for a swap file"),
    (".*.kate-swp", "Kate: swap file"),
    ("*___jb_tmp___", "JetBrains: safe write"),
    ("*___jb_old___", "JetBrains: safe write"),
    (".fuse_hidden*", "FUSE: deleted while open"),
    (".nfs0000*", "NFS: deleted while open"),
];

/// How many directories without a file of patterns are remembered, and how many with one.
const MAX_REMEMBERED: usize = 8192;
/// More patterns than one file may have; a long one counts as several, see [`charge`].
const MOST_IN_A_FILE: usize = if cfg!(test) { 200 } else { 10_000 };
/// Patterns that are kept compiled for one folder, and that may hold for one directory, counted likewise.
const BUDGET: usize = if cfg!(test) { 400 } else { 20_000 };
/// A longer line is no pattern: no path is that long.
const LONGEST_LINE: usize = 4096;
/// So many bytes of a line count as one more pattern.
const BYTES_OF_ONE: usize = 32;
/// So many bad lines of one file are told one by one.
const BAD_LINES: usize = 20;

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Dropbox does not sync such names.
    Dropbox,
    /// Ferrybox keeps its own things there.
    Ferrybox,
    /// A name that a program uses while it saves; the text says which.
    Temporary(&'static str),
    /// `ignore` in the configuration.
    Config,
    /// `exclude` in the configuration.
    Excluded,
    /// The `.ferryboxignore` file of this directory.
    File(RelPath),
    /// The `.ferryboxignore` file of this directory cannot be read: nothing of the directory is sent until it can.
    Unreadable(RelPath, Failure),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |dir: &RelPath| if dir.is_root() { IGNORE_FILE.to_owned() } else { format!("{dir}/{IGNORE_FILE}") };
        match self {
            Self::Dropbox => f.write_str("Dropbox does not sync such names"),
            Self::Ferrybox => f.write_str("ferrybox keeps its own files there"),
            Self::Temporary(whose) => write!(f, "a temporary name ({whose})"),
            Self::Config => f.write_str("the configuration"),
            Self::Excluded => f.write_str("`exclude` in the configuration"),
            Self::File(dir) => f.write_str(&file(dir)),
            Self::Unreadable(dir, failure) => write!(f, "{} cannot be read ({failure})", file(dir)),
        }
    }
}

/// Why a path is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The path itself, or the directory above it that is ignored.
    pub at: RelPath,
    /// The pattern as it was written.
    pub pattern: String,
    /// Who says so.
    pub source: Source,
}

/// A pattern of the configuration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ignore pattern `{}` cannot be read: {}", self.pattern, self.problem)
    }
}

impl std::error::Error for PatternError {}

/// The word of a failure that is not the file's: somebody else syncs the directory.
pub const NESTED: &str = "nested";

/// Gives the text of a directory's `.ferryboxignore`: `Ok(None)` if there is none. Called once a directory, until it is forgotten.
pub type Load<'a> = &'a dyn Fn(&RelPath) -> Result<Option<String>, Failure>;

/// One text of patterns, compiled: wherever the same text stands.
#[derive(Debug)]
struct Compiled {
    hash: ContentHash,
    patterns: Gitignore,
    /// What they take, as [`charge`] counts.
    cost: usize,
    problems: Vec<String>,
}

/// The patterns of one `.ferryboxignore`.
#[derive(Debug)]
struct RuleFile {
    dir: RelPath,
    patterns: Result<Arc<Compiled>, Failure>,
    problems: Vec<String>,
}

fn hash(text: &str) -> ContentHash {
    let mut hasher = ContentHasher::new();
    hasher.update(text.as_bytes());
    hasher.finish()
}

/// What a line takes when it is compiled, in patterns of ordinary length. What takes no effect takes nothing.
fn charge(line: &str) -> usize {
    let nothing = line.trim().is_empty() || line.starts_with('#') || line.len() > LONGEST_LINE;
    if nothing { 0 } else { 1 + line.len() / BYTES_OF_ONE }
}

impl Compiled {
    fn of(text: &str) -> Result<Self, Failure> {
        let cost = text.lines().map(charge).sum();
        if cost > MOST_IN_A_FILE {
            return Err(Failure::wedge(
                "ignore_file",
                format!(
                    "its patterns count as {cost} (a long one as one for every {BYTES_OF_ONE} bytes), and ferrybox reads {MOST_IN_A_FILE} at most: \
                     nothing of its directory is synced; shorten it, or delete it"
                ),
            ));
        }
        let mut problems = Vec::new();
        let mut bad = 0_usize;
        let mut leave_out = |number: usize, why: &dyn fmt::Display| {
            bad += 1;
            if bad <= BAD_LINES {
                problems.push(format!("line {number} is not a pattern and is left out: {why}"));
            }
        };
        let mut builder = GitignoreBuilder::new("");
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if line.len() > LONGEST_LINE && !line.starts_with('#') && !line.trim().is_empty() {
                let why = format!("it has {} bytes, and a pattern has {LONGEST_LINE} at most", line.len());
                leave_out(number, &why);
            } else if let Err(error) = builder.add_line(None, line) {
                leave_out(number, &error);
            }
        }
        if bad > BAD_LINES {
            problems.push(format!("{} more lines are not patterns and are left out", bad - BAD_LINES));
        }
        let patterns = builder.build().unwrap_or_else(|error| {
            problems.push(format!("no line takes effect: {error}"));
            Gitignore::empty()
        });
        Ok(Self { hash: hash(text), patterns, cost, problems })
    }
}

impl RuleFile {
    fn of(dir: RelPath, compiled: Arc<Compiled>) -> Self {
        Self { dir, problems: compiled.problems.clone(), patterns: Ok(compiled) }
    }

    fn cost(&self) -> usize {
        self.patterns.as_ref().map_or(0, |compiled| compiled.cost)
    }

    fn unreadable(dir: RelPath, failure: Failure) -> Self {
        let problems = match failure.code.as_str() {
            NESTED | "ignore_file" => vec![failure.text.clone()],
            _ => vec![format!("it cannot be read, so nothing of its directory is synced: {failure}")],
        };
        Self { dir, patterns: Err(failure), problems }
    }

    /// `path` lies below this file's directory. `Some(None)`: taken back in.
    fn judge(&self, path: &str, is_dir: bool) -> Option<Option<Why>> {
        let below = if self.dir.is_root() { path } else { path.get(self.dir.as_str().len() + 1..)? };
        match &self.patterns {
            Ok(compiled) => judge(&compiled.patterns, below, path, is_dir, || Source::File(self.dir.clone())),
            // The file itself is still looked at, so that its trouble is told.
            Err(_) if below == IGNORE_FILE => None,
            Err(failure) => Some(why(path, "*", Source::Unreadable(self.dir.clone(), failure.clone()))),
        }
    }
}

fn why(path: &str, pattern: &str, source: Source) -> Option<Why> {
    Some(Why { at: RelPath::parse(path).unwrap_or_default(), pattern: pattern.to_owned(), source })
}

fn judge(
    patterns: &Gitignore,
    below: &str,
    path: &str,
    is_dir: bool,
    source: impl FnOnce() -> Source,
) -> Option<Option<Why>> {
    match patterns.matched(Path::new(below), is_dir) {
        Match::None => None,
        Match::Whitelist(_) => Some(None),
        Match::Ignore(glob) => Some(why(path, glob.original(), source())),
    }
}

/// What is known of the directory that was asked about last: its children come in a row.
#[derive(Debug, Clone)]
struct Known {
    dir: String,
    ignored: Option<Why>,
    files: Arc<[Arc<RuleFile>]>,
}

#[derive(Debug, Default)]
struct Cache {
    files: HashMap<String, Remembered>,
    without: usize,
    /// Each text once, with how many of `files` have it.
    compiled: HashMap<ContentHash, (Weak<Compiled>, usize)>,
    /// What the patterns of all of them take.
    cost: usize,
    /// Counts what is asked for.
    asked: u64,
    last: Option<Known>,
    /// Counts what was forgotten, so that a text loaded before is not remembered after.
    era: u64,
}

/// A directory's file of patterns, or that it has none.
#[derive(Debug)]
struct Remembered {
    file: Option<Arc<RuleFile>>,
    /// When it was last asked for.
    asked: u64,
}

impl Cache {
    fn get(&mut self, dir: &str) -> Option<Option<Arc<RuleFile>>> {
        self.asked += 1;
        let found = self.files.get_mut(dir)?;
        found.asked = self.asked;
        Some(found.file.clone())
    }

    fn remember(&mut self, dir: &str, file: Option<Arc<RuleFile>>) {
        self.forget(dir);
        let file = file.map(|file| self.shared(file));
        match file.as_ref().map(|file| &file.patterns) {
            None => {
                if self.without >= MAX_REMEMBERED {
                    self.files.retain(|_, remembered| remembered.file.is_some());
                    self.without = 0;
                }
                self.without += 1;
            }
            Some(Ok(compiled)) => {
                let (shared, users) = self.compiled.entry(compiled.hash).or_default();
                if *users == 0 {
                    self.cost += compiled.cost;
                    *shared = Arc::downgrade(compiled);
                }
                *users += 1;
            }
            Some(Err(_)) => {}
        }
        self.files.insert(dir.to_owned(), Remembered { file, asked: self.asked });
        self.make_room(dir);
    }

    /// The same file with the patterns that are kept already, if somebody compiled an equal text at the same time.
    fn shared(&self, file: Arc<RuleFile>) -> Arc<RuleFile> {
        let Ok(compiled) = &file.patterns else { return file };
        match self.compiled.get(&compiled.hash).and_then(|(shared, _)| shared.upgrade()) {
            Some(known) if !Arc::ptr_eq(&known, compiled) => Arc::new(RuleFile::of(file.dir.clone(), known)),
            _ => file,
        }
    }

    fn forget(&mut self, dir: &str) {
        let Some(gone) = self.files.remove(dir) else { return };
        let Some(file) = gone.file else {
            self.without -= 1;
            return;
        };
        let Ok(compiled) = &file.patterns else { return };
        if let Some((_, users)) = self.compiled.get_mut(&compiled.hash) {
            *users -= 1;
            if *users == 0 {
                self.compiled.remove(&compiled.hash);
                self.cost -= compiled.cost;
            }
        }
    }

    /// Beyond the budget, what was not asked for for longest goes: a quarter more than need be, so that it is not done each time.
    fn make_room(&mut self, but: &str) {
        let is_over = |cache: &Self, of: usize| {
            cache.cost > BUDGET / 4 * of || cache.files.len() - cache.without > MAX_REMEMBERED / 4 * of
        };
        if !is_over(self, 4) {
            return;
        }
        let with = self
            .files
            .iter()
            .filter(|(dir, kept)| kept.file.as_ref().is_some_and(|f| f.patterns.is_ok()) && *dir != but);
        let mut oldest: Vec<_> = with.map(|(dir, kept)| (kept.asked, dir.clone())).collect();
        oldest.sort_unstable();
        for (_, dir) in oldest {
            if !is_over(self, 3) {
                break;
            }
            self.forget(&dir);
        }
    }
}

/// All rules of one folder. Shared by reference: the files of patterns are remembered inside.
#[derive(Debug)]
pub struct Rules {
    config: Gitignore,
    /// The keys of remote paths below the folder's own.
    excluded: Vec<String>,
    /// Files of patterns are not synced: each is this device's own.
    own_files: bool,
    cache: Mutex<Cache>,
}

impl Rules {
    /// The built-in rules and the configuration's patterns, which count from the folder's root.
    ///
    /// # Errors
    /// The first pattern that is not one.
    pub fn new(config_patterns: &[String]) -> Result<Self, PatternError> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in config_patterns {
            builder
                .add_line(None, pattern)
                .map_err(|error| PatternError { pattern: pattern.clone(), problem: error.to_string() })?;
        }
        let config = builder
            .build()
            .map_err(|error| PatternError { pattern: config_patterns.join(" "), problem: error.to_string() })?;
        Ok(Self { config, excluded: Vec::new(), own_files: false, cache: Mutex::default() })
    }

    /// Leaves these remote paths out, which count from the folder's own remote path, in any letters that Dropbox takes for the same; and nothing
    /// takes them back in.
    #[must_use]
    pub fn excluding(self, paths: &[RemotePath]) -> Self {
        Self { excluded: paths.iter().map(|path| key_of(path.as_str())).collect(), ..self }
    }

    /// Whether the files of patterns are this device's own: not sent, and none of Dropbox's comes down.
    #[must_use]
    pub fn with_own_files(self, own_files: bool) -> Self {
        Self { own_files, ..self }
    }

    /// Whether they are.
    pub fn has_own_files(&self) -> bool {
        self.own_files
    }

    /// Why `path` is not synced; `None` if it is. A path below an ignored directory is ignored.
    pub fn matched(&self, path: &RelPath, is_dir: bool, load: Load<'_>) -> Option<Why> {
        let path = path.as_str();
        if path.is_empty() {
            return None;
        }
        let parent = self.known(path.rsplit_once('/').map_or("", |(parent, _)| parent), load);
        parent.ignored.or_else(|| self.judge_one(path, is_dir, &parent.files))
    }

    /// The directory's `.ferryboxignore` may have changed: it is loaded again when it is next needed.
    pub fn forget(&self, dir: &RelPath) {
        let mut cache = self.cache();
        cache.era += 1;
        cache.last = None;
        cache.forget(dir.as_str());
    }

    /// Everything may have changed unseen: all is loaded again when it is next needed.
    pub fn forget_all(&self) {
        let mut cache = self.cache();
        *cache = Cache { era: cache.era + 1, ..Cache::default() };
    }

    /// Directories whose file cannot be read, so that nothing in them is synced: to be looked at again, since its trouble may be over unseen.
    pub fn unreadable(&self) -> Vec<RelPath> {
        let cache = self.cache();
        let unreadable =
            cache.files.values().filter_map(|kept| kept.file.as_ref()).filter(|file| file.patterns.is_err());
        let mut dirs: Vec<_> = unreadable.map(|file| file.dir.clone()).collect();
        dirs.sort();
        dirs
    }

    /// What is wrong with a directory's file, if it was met: lines that are no patterns, or that it cannot be read. With the path to show.
    pub fn problems(&self, dir: &RelPath) -> Vec<(String, Failure)> {
        let file = self.cache().files.get(dir.as_str()).and_then(|kept| kept.file.clone());
        let Some(file) = file else { return Vec::new() };
        let nested = matches!(&file.patterns, Err(failure) if failure.code == NESTED);
        let (code, at) = if nested { (NESTED, Ok(dir.clone())) } else { ("ignore_file", dir.child(IGNORE_FILE)) };
        let at = at.map_or_else(|_| dir.to_string(), String::from);
        file.problems.iter().map(|problem| (at.clone(), Failure::wedge(code, problem.clone()))).collect()
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, dir: &str, load: Load<'_>) -> Known {
        let era = {
            let cache = self.cache();
            if let Some(last) = cache.last.as_ref().filter(|last| last.dir == dir) {
                return last.clone();
            }
            cache.era
        };
        // From the root down: a directory's files are loaded only if it is not ignored itself.
        let mut files: Vec<Arc<RuleFile>> = Vec::new();
        let mut ignored = None;
        let mut patterns = 0;
        for end in std::iter::once(0).filter(|_| !dir.is_empty()).chain(ends(dir)) {
            let Some(at) = dir.get(..end) else { continue };
            if !at.is_empty() {
                ignored = self.judge_one(at, true, &files);
            }
            if ignored.is_some() {
                break;
            }
            let Some(mut file) = self.file(at, era, load) else { continue };
            patterns += file.cost();
            if patterns > BUDGET && file.patterns.is_ok() {
                file = self.one_too_many(&file, patterns, era);
            }
            files.push(file);
        }
        let known = Known { dir: dir.to_owned(), ignored, files: files.into() };
        let mut cache = self.cache();
        if cache.era == era {
            cache.last = Some(known.clone());
        }
        known
    }

    /// With this file, more patterns hold for its directory than there is memory for: nothing of it is synced.
    fn one_too_many(&self, file: &RuleFile, patterns: usize, era: u64) -> Arc<RuleFile> {
        let failure = Failure::wedge(
            "ignore_file",
            format!(
                "with it and the {IGNORE_FILE} files above it, what counts as {patterns} patterns holds for this directory (a long one counts as \
                 one for every {BYTES_OF_ONE} bytes), and ferrybox keeps {BUDGET} at most: nothing of the directory is synced; shorten one of them, or delete it"
            ),
        );
        let refused = Arc::new(RuleFile::unreadable(file.dir.clone(), failure));
        let mut cache = self.cache();
        if cache.era == era {
            cache.remember(file.dir.as_str(), Some(Arc::clone(&refused)));
        }
        refused
    }

    /// The text, compiled, unless it is already.
    fn compiled(&self, text: &str) -> Result<Arc<Compiled>, Failure> {
        let known = self.cache().compiled.get(&hash(text)).and_then(|(shared, _)| shared.upgrade());
        known.map_or_else(|| Compiled::of(text).map(Arc::new), Ok)
    }

    fn file(&self, dir: &str, era: u64, load: Load<'_>) -> Option<Arc<RuleFile>> {
        if let Some(file) = self.cache().get(dir) {
            return file;
        }
        let path = RelPath::parse(dir).ok()?;
        // The lock is not held here: a disk that hangs must not hang those who ask about other directories.
        let file = match load(&path) {
            Ok(None) => None,
            Ok(Some(text)) => Some(Arc::new(match self.compiled(&text) {
                Ok(compiled) => RuleFile::of(path, compiled),
                Err(failure) => RuleFile::unreadable(path, failure),
            })),
            Err(failure) => Some(Arc::new(RuleFile::unreadable(path, failure))),
        };
        let mut cache = self.cache();
        if cache.era == era {
            cache.remember(dir, file.clone());
        }
        file
    }

    /// `path` alone, with none of its ancestors ignored and `files` from the root down.
    fn judge_one(&self, path: &str, is_dir: bool, files: &[Arc<RuleFile>]) -> Option<Why> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        if let Some(pattern) = DROPBOX_UNSYNCED.iter().find(|pattern| has_form(name, pattern, true)) {
            return why(path, pattern, Source::Dropbox);
        }
        if !self.excluded.is_empty() {
            let key = key_of(&format!("/{path}"));
            if self.excluded.contains(&key) {
                return why(path, &key, Source::Excluded);
            }
        }
        // At any depth: a directory that was a folder of its own once keeps its marker and its trash.
        if name == OWN_DIR {
            return why(path, OWN_DIR, Source::Ferrybox);
        }
        if path == ".dropbox.cache" {
            return why(path, "/.dropbox.cache", Source::Dropbox);
        }
        let own = name == IGNORE_FILE && !is_dir;
        if own && self.own_files {
            return why(path, "ignore_files = \"local\"", Source::Config);
        }
        // None of them hides what may mend it.
        let files = if own { &[] } else { files };
        files
            .iter()
            .rev()
            .find_map(|file| file.judge(path, is_dir))
            .or_else(|| judge(&self.config, path, path, is_dir, || Source::Config))
            .unwrap_or_else(|| {
                let (pattern, whose) = TEMPORARY.iter().find(|(pattern, _)| has_form(name, pattern, false))?;
                why(path, pattern, Source::Temporary(whose))
            })
    }
}

/// Where each ancestor of `dir`, and `dir` itself, ends: for `a/b`, 1 and 3.
fn ends(dir: &str) -> impl Iterator<Item = usize> {
    dir.match_indices('/').map(|(at, _)| at).chain(std::iter::once(dir.len()))
}

#[cfg(test)]
mod tests;
