//! No `async` code of the daemon asks a disk by itself: a mount that hangs would hold up the runtime's thread, and with it whatever else runs there.
//!
//! A function blocks if it makes a call of the system itself, or calls one that does. Calls are told apart by their names, as far as names go: of a
//! method's name, all that have it must block, unless what stands before the dot says whose it is. So this sees what one would see by reading, and
//! not more.

use std::collections::BTreeMap;
use std::path::Path;

/// Rooms whose code runs on the runtime of the daemon.
const ROOMS: &[&str] = &["daemon", "api", "engine", "env", "control", "dropbox"];
/// Their arguments run on threads that may block.
const APART: &[&str] = &[
    "apart",
    "answered",
    "block_in_place",
    "blocks",
    "blocking",
    "on_the_disk",
    "on_the_disk_unless_silent",
    "spawn",
    "spawn_blocking",
];
/// What stands before a dot, and whose method is called.
const OWNERS: &[(&str, &str)] = &[("folder", "Folder"), ("root", "Root"), ("pin", "Root"), ("seen", "Root")];
/// Methods of the standard library that ask the disk.
const METHODS: &[&str] =
    &["canonicalize", "exists", "set_len", "symlink_metadata", "sync_all", "sync_data", "try_exists"];
/// Names that mean too many things without their owner.
const VAGUE: &[&str] = &[
    "claim", "clear", "close", "contains", "count", "default", "entry", "find", "forget", "get", "has", "hash",
    "insert", "is_empty", "iter", "len", "list", "load", "new", "next", "of", "open", "read", "remove", "renew",
    "replace", "retain", "run", "seen", "set", "settle", "step", "store", "take", "upload", "verify", "wait", "write",
];
/// Blocks all the same, and why that is right.
const MAY: &[(&str, &str, &str)] = &[
    (
        "daemon/open.rs",
        "all",
        "the state directory is made, locked and tidied before any task runs, and nothing goes without it",
    ),
    ("daemon/open.rs", "one", "the same of an account's own directory, and its certificates are read"),
    ("daemon.rs", "one_life", "the state directory: nothing goes without it"),
    ("daemon/notify.rs", "feed", "a file that only tests of the watchdog name"),
    ("dropbox/auth/pkce.rs", "exchange", "certificates, in a command"),
    ("daemon/open.rs", "try_again", "a note beside the database that cannot be opened"),
    ("engine/gate/identify.rs", "relinked", "the certificates that were read at the start, beside the state"),
    ("api/offline.rs", "one", "certificates, in a command that serves nobody else"),
    ("api/cache_reader.rs", "list_online", "certificates, in a command that serves nobody else"),
];

#[derive(Debug, Clone)]
struct Call {
    at: usize,
    apart: bool,
    in_async: bool,
    owner: Option<String>,
    method: bool,
    /// What comes back is awaited: it is no function that blocks which is meant.
    awaited: bool,
    name: String,
}

#[derive(Debug, Default)]
struct Function {
    file: String,
    name: String,
    owner: Option<String>,
    is_async: bool,
    body: (usize, usize),
    calls: Vec<Call>,
    /// The first call that blocks, if one does.
    blocks: Option<String>,
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

/// The code without comments, strings and characters, each byte at its place.
fn bare(code: &str) -> String {
    let bytes = code.as_bytes();
    let mut out = bytes.to_vec();
    let mut blank = |from: usize, to: usize| {
        (from..to.min(bytes.len())).filter(|i| bytes[*i] != b'\n').for_each(|i| out[i] = b' ');
    };
    let find = |from: usize, what: &str| code[from..].find(what).map_or(bytes.len(), |at| from + at);
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = if rest.starts_with(b"//") {
            find(i, "\n")
        } else if rest[0] == b'r'
            && (rest.starts_with(b"r\"") || rest.starts_with(b"r#"))
            && !(i > 0 && is_word(bytes[i - 1]))
        {
            let hashes = rest[1..].iter().take_while(|c| **c == b'#').count();
            let close = format!("\"{}", "#".repeat(hashes));
            if rest.get(1 + hashes) == Some(&b'"') { find(i + 2 + hashes, &close) + close.len() } else { i + 1 }
        } else if rest[0] == b'"' {
            let mut end = i + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        } else if rest[0] == b'\'' && rest.get(1) == Some(&b'\\') {
            find(i + 3, "'") + 1
        } else if rest[0] == b'\'' && code.is_char_boundary(i + 1) {
            let c = code[i + 1..].chars().next().map_or(1, char::len_utf8);
            if bytes.get(i + 1 + c) == Some(&b'\'') { i + c + 2 } else { i }
        } else {
            i
        };
        if end > i + 1 {
            blank(i, end);
            i = end;
        } else {
            i += 1;
        }
    }
    String::from_utf8(out.into_iter().map(|c| if c.is_ascii() { c } else { b'_' }).collect()).unwrap()
}

/// Where what opens at `from` closes.
fn closing(code: &[u8], from: usize) -> usize {
    let (open, close) = (
        code[from],
        match code[from] {
            b'(' => b')',
            b'[' => b']',
            _ => b'}',
        },
    );
    let mut deep = 0;
    for (i, c) in code.iter().enumerate().skip(from) {
        if *c == open {
            deep += 1;
        } else if *c == close {
            deep -= 1;
            if deep == 0 {
                return i;
            }
        }
    }
    code.len()
}

/// The words of the code with their places.
fn words(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        if is_word(bytes[i]) {
            let len = bytes[i..].iter().take_while(|c| is_word(**c)).count();
            found.push((i, &code[i..i + len]));
            i += len;
        } else {
            i += 1;
        }
    }
    found
}

/// Whose method follows: the type that an `impl` at this place is of.
fn implemented(header: &str) -> Option<String> {
    let header = header.split(" where ").next()?;
    let of = match header.split_once(" for ") {
        Some((_, of)) => of,
        None => {
            let rest = header.strip_prefix("impl")?;
            if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest }
        }
    };
    let path = of.trim().trim_start_matches('&').split(['<', ' ', '{']).next()?;
    path.rsplit("::").next().map(str::to_owned)
}

fn functions(file: &str, source: &str) -> Vec<Function> {
    let code = bare(source);
    let bytes = code.as_bytes();
    let words = words(&code);
    let opens = |after: usize| {
        let mut deep = 0;
        for (i, c) in bytes.iter().enumerate().skip(after) {
            match c {
                b'(' | b'[' => deep += 1,
                b')' | b']' => deep -= 1,
                b'{' if deep == 0 => return Some(i),
                b';' if deep == 0 => return None,
                _ => {}
            }
        }
        None
    };
    let (mut impls, mut found, mut apart, mut asyncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut imported: Vec<&str> = Vec::new();
    for (n, (at, word)) in words.iter().enumerate() {
        let next = words.get(n + 1);
        let before = n.checked_sub(1).and_then(|n| words.get(n));
        let after = at + word.len();
        match *word {
            "impl" if *at == 0 || bytes[at - 1] == b'\n' => {
                if let Some(open) = opens(after) {
                    impls.push((*at, closing(bytes, open), implemented(code[*at..open].trim())));
                }
            }
            "fn" => {
                let (Some((_, name)), Some(open)) = (next, opens(after)) else { continue };
                let owner =
                    impls.iter().find(|(from, to, _)| from < at && at < to).and_then(|(.., owner)| owner.clone());
                found.push(Function {
                    file: file.to_owned(),
                    name: (*name).to_owned(),
                    owner,
                    is_async: before.is_some_and(|(_, word)| *word == "async"),
                    body: (open, closing(bytes, open)),
                    ..Function::default()
                });
            }
            "async" => {
                let rest = code[after..].trim_start();
                let rest = rest.strip_prefix("move").unwrap_or(rest).trim_start();
                if rest.starts_with('{') {
                    let open = code.len() - rest.len();
                    asyncs.push((open, closing(bytes, open)));
                }
            }
            "fs" if code[after..].starts_with("::")
                && code[..*at].rsplit('\n').next().is_some_and(|l| l.contains("use ")) =>
            {
                let end = code[after..].find(';').map_or(code.len(), |len| after + len);
                imported.extend(words_of(&code[after..end]));
            }
            name if APART.contains(&name)
                && bytes.get(after) == Some(&b'(')
                && before.is_none_or(|(_, w)| *w != "fn")
                && (name != "spawn" || before.is_some_and(|(_, w)| *w == "thread")) =>
            {
                apart.push((*at, closing(bytes, after)));
            }
            _ => {}
        }
    }
    let inside = |places: &[(usize, usize)], from: usize, at: usize| {
        places.iter().filter(|(open, close)| from < *open && *open < at && at < *close).map(|(open, _)| *open).max()
    };
    for (n, (at, word)) in words.iter().enumerate() {
        let after = at + word.len();
        let turbofish = code[after..].strip_prefix("::<").and_then(|rest| rest.find(">(")).is_some_and(|len| len < 60);
        if bytes.get(after) != Some(&b'(') && !turbofish {
            continue;
        }
        let Some(of) = found.iter_mut().filter(|f| f.body.0 < *at && *at < f.body.1).max_by_key(|f| f.body.0) else {
            continue;
        };
        let leads = code[..*at].trim_end();
        let (method, path) = (leads.ends_with('.'), leads.ends_with("::"));
        let owner = match n.checked_sub(1).and_then(|n| words.get(n)) {
            Some((_, before)) if path => Some((*before).to_owned()),
            Some((place, before)) if method => {
                let gap = code[place + before.len()..*at].chars().filter(|c| !c.is_whitespace()).collect::<String>();
                let named = OWNERS.iter().find(|(name, _)| name == before && matches!(gap.as_str(), "." | "()."));
                named.map(|(_, owner)| (*owner).to_owned())
            }
            _ => None,
        };
        let (apart, is_async) = (inside(&apart, of.body.0, *at), inside(&asyncs, of.body.0, *at));
        let call = Call {
            at: code[..*at].matches('\n').count() + 1,
            apart: apart.is_some() && apart >= is_async,
            in_async: is_async.is_some() || of.is_async,
            method,
            awaited: {
                let open = code[after..].find('(').map_or(after, |len| after + len);
                code.get(closing(bytes, open) + 1..).is_some_and(|rest| rest.trim_start().starts_with(".await"))
            },
            name: (*word).to_owned(),
            owner,
        };
        let system = match &call.owner {
            Some(owner) if path => {
                let tokio = leads.trim_end_matches(':').trim_end_matches("fs").ends_with("tokio::");
                owner == "fs" && !tokio
                    || owner == "File" && ["open", "create"].contains(word)
                    || owner == "thread" && *word == "sleep"
            }
            _ if method => METHODS.contains(word),
            _ => imported.contains(word),
        };
        let call = if system { Call { owner: Some("the system".to_owned()), ..call } } else { call };
        of.calls.push(call);
    }
    found
}

fn words_of(code: &str) -> Vec<&str> {
    words(code).into_iter().map(|(_, word)| word).filter(|word| word.starts_with(|c: char| c.is_lowercase())).collect()
}

fn stem(file: &str) -> &str {
    Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Which functions a call may mean.
fn meant<'a>(
    by_name: &BTreeMap<String, Vec<usize>>,
    all: &'a [Function],
    from: &Function,
    call: &Call,
) -> Vec<(usize, &'a Function)> {
    let Some(named) = by_name.get(&call.name) else { return Vec::new() };
    let room = |file: &str| file.split(['/', '.']).next().unwrap_or_default().to_owned();
    let fits = |f: &Function| match (&call.owner, call.method) {
        (Some(owner), _) if owner == "Self" => f.owner == from.owner,
        (Some(owner), true) => f.owner.as_ref() == Some(owner),
        (Some(owner), false) if owner.starts_with(char::is_uppercase) => f.owner.as_ref() == Some(owner),
        (Some(owner), false) => {
            f.owner.is_none() && (stem(&f.file) == owner || ["super", "crate", "self"].contains(&owner.as_str()))
        }
        (None, true) => f.owner.is_some(),
        (None, false) => f.owner.is_none() && room(&f.file) == room(&from.file),
    };
    if call.method && call.owner.is_none() && VAGUE.contains(&call.name.as_str()) {
        return Vec::new();
    }
    let found: Vec<_> = named.iter().map(|i| (*i, &all[*i])).filter(|(_, f)| fits(f)).collect();
    let here: Vec<_> = found.iter().copied().filter(|(_, f)| f.file == from.file).collect();
    let is_free = call.owner.is_none() && !call.method;
    if is_free && !here.is_empty() { here } else { found }
}

/// Each place in async code of these rooms where a disk is asked: file, line, function, and what is called.
fn found(sources: &[(String, String)]) -> Vec<(String, usize, String, String)> {
    let mut all: Vec<Function> = sources.iter().flat_map(|(file, code)| functions(file, code)).collect();
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, f) in all.iter().enumerate() {
        by_name.entry(f.name.clone()).or_default().push(i);
    }
    let is_system = |call: &Call| call.owner.as_deref() == Some("the system");
    let blocks = |all: &[Function], from: &Function, call: &Call| {
        let meant = meant(&by_name, all, from, call);
        is_system(call)
            || !call.awaited
                && meant.iter().any(|(_, f)| !f.is_async)
                && meant.iter().all(|(_, f)| f.is_async || f.blocks.is_some())
    };
    loop {
        let news: Vec<(usize, String)> = all
            .iter()
            .enumerate()
            .filter(|(_, f)| !f.is_async && f.blocks.is_none())
            .filter_map(|(i, f)| {
                let call = f.calls.iter().find(|call| !call.apart && !call.in_async && blocks(&all, f, call));
                let named = (f.name.ends_with("_blocking") && !APART.contains(&f.name.as_str()))
                    .then(|| "it says so".to_owned());
                Some((i, named.or_else(|| call.map(|call| call.name.clone()))?))
            })
            .collect();
        if news.is_empty() {
            break;
        }
        news.into_iter().for_each(|(i, why)| all[i].blocks = Some(why));
    }
    // What is awaited on such threads only may block although it is async.
    let mut callers: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    for (i, f) in all.iter().enumerate() {
        for call in &f.calls {
            for (of, _) in meant(&by_name, &all, f, call).iter().filter(|(_, f)| f.is_async) {
                callers.entry(*of).or_default().push((i, call.apart));
            }
        }
    }
    let mut apart: Vec<bool> = (0..all.len()).map(|i| all[i].is_async && callers.contains_key(&i)).collect();
    loop {
        let still = |i: usize| callers[&i].iter().all(|(from, is_apart)| *is_apart || apart[*from] && *from != i);
        let Some(not) = (0..all.len()).find(|i| apart[*i] && !still(*i)) else { break };
        apart[not] = false;
    }
    let mut places = Vec::new();
    for (_, f) in
        all.iter().enumerate().filter(|(i, f)| !apart[*i] && ROOMS.iter().any(|room| f.file.starts_with(room)))
    {
        for call in f.calls.iter().filter(|call| call.in_async && !call.apart && blocks(&all, f, call)) {
            places.push((f.file.clone(), call.at, f.name.clone(), call.name.clone()));
        }
    }
    places
}

#[test]
fn v11_no_async_code_of_the_daemon_asks_a_disk_by_itself() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    super::files(&src, &mut paths);
    let sources: Vec<(String, String)> = paths
        .iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.components().any(|c| c.as_os_str() == "tests"))
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("\nmod tests {").next().unwrap().to_owned();
            (path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), code)
        })
        .collect();
    let found = found(&sources);
    let may = |file: &str, function: &str| MAY.iter().any(|(f, name, _)| *f == file && *name == function);
    let wrong: Vec<String> = found
        .iter()
        .filter(|(file, _, function, _)| !may(file, function))
        .map(|(file, line, function, call)| {
            format!("{file}:{line}: {function} calls {call}, which may hang: `blocking`, `on_the_disk`")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (file, function, why) in MAY {
        let is_there = found.iter().any(|(f, _, name, _)| f == file && name == function);
        assert!(is_there, "{file}, {function} ({why}) does not block any more: take it out of the list");
    }
}

/// The reader itself: a check that cannot fail would be worth nothing.
#[test]
fn the_reader_of_blocking_calls_sees_them() {
    let file = |name: &str, code: &str| (name.to_owned(), code.to_owned());
    let disk = "use rustix::fs::{openat, Mode};\nimpl Root {\n pub fn look(&self) { self.deeper(); }\n fn deeper(&self) { openat(1); }\n fn pure(&self) {}\n}\n";
    let code = "\
async fn bad(root: &Root) {
    root.look();
    let text = \"root.look()\"; // root.look()
    root.pure();
}
async fn good(root: Root) {
    blocking(move || root.look()).await;
    tokio::fs::read(1).await;
}
async fn worse() { helper() }
fn helper() { std::fs::read(1); }
fn later() -> impl Future { async move { std::fs::read(1) } }
async fn reached() { std::fs::read(1); }
async fn reaches(handle: Handle) { on_the_disk(move || handle.block_on(reached())).await }
";
    let seen: Vec<(usize, String)> = found(&[file("local/root.rs", disk), file("daemon/x.rs", code)])
        .into_iter()
        .map(|(_, line, _, call)| (line, call))
        .collect();
    let expected = [(2, "look"), (10, "helper"), (12, "read")].map(|(line, call)| (line, call.to_owned()));
    assert_eq!(seen, expected);
}
