//! Every key there is, and what its value looks like on paper. The list decides which keys are unknown and what a wrong type is told.

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A string; the text says what it should hold.
    Text(&'static str),
    /// A string or a whole number.
    TextOrCount(&'static str),
    /// A whole number that is not negative.
    Count,
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    Texts,
    /// A table.
    Table(&'static [Key]),
    /// A list of tables.
    Tables(&'static [Key]),
}

impl Kind {
    /// For "where ... is expected".
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text(what) | Self::TextOrCount(what) => what,
            Self::Count => "a whole number such as 8",
            Self::Flag => "true or false",
            Self::Texts => "a list of strings such as [\"*.tmp\"]",
            Self::Table(_) => "a table",
            Self::Tables(_) => "a list of tables, each under its own [[...]] line",
        }
    }
}

/// A key and its value's form.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

const PATH: Kind = Kind::Text("a path in quotes");
const TEXT: Kind = Kind::Text("a string in quotes");
const TIME: Kind = Kind::Text("a duration such as \"30s\"");
const SIZE: Kind = Kind::TextOrCount("a size such as \"16 MiB\"");
const URL: Kind = Kind::Text("an address such as \"https://api.dropboxapi.com\"");

/// What a listing asks for, beside the path.
const QUESTION: &[Key] = &[
    key("limit", Kind::Count),
    key("include_has_explicit_shared_members", Kind::Flag),
    key("include_mounted_folders", Kind::Flag),
    key("include_property_groups", Kind::Texts),
    key("include_non_downloadable_files", Kind::Flag),
];

/// Arguments of `list_folder` that are no settings of a listing, and why.
const NOT_ASKED: &[(&str, &str)] = &[
    (
        "include_deleted",
        "ferrybox does not ask for this: the answer would name what was deleted long ago, which is neither kept nor shown. Take the line out; \
         `ferrybox restore` finds what was deleted",
    ),
    (
        "include_media_info",
        "ferrybox does not ask for this: Dropbox has ignored it since December 2019, and such a listing could not wait for changes. Take the line out",
    ),
    (
        "include_restorable_info",
        "ferrybox does not ask for this: it is said of deleted entries only, which are neither kept nor shown. Take the line out",
    ),
];

/// Why there is no such setting, where Dropbox does have an argument of this name.
pub(super) fn not_asked(prefix: &str, name: &str) -> Option<&'static str> {
    let is_listing = prefix.rsplit('.').next() == Some("listing");
    NOT_ASKED.iter().find(|(key, _)| is_listing && *key == name).map(|(_, why)| *why)
}

const FOLDER: &[Key] = &[
    key("local", PATH),
    key("remote", PATH),
    key("mode", TEXT),
    key("ignore", Kind::Texts),
    key("exclude", Kind::Texts),
    key("ignore_files", TEXT),
    key("symlinks", TEXT),
    key("listing", Kind::Table(QUESTION)),
];

const ENDPOINTS: &[Key] =
    &[key("api", URL), key("content", URL), key("notify", URL), key("web", URL), key("ca_file", PATH)];

const ACCOUNT: &[Key] = &[
    key("name", TEXT),
    key("app_key", TEXT),
    key("credentials", TEXT),
    key("path_root", Kind::TextOrCount("\"home\", \"root\" or a namespace id")),
    key("select_user", TEXT),
    key("select_admin", TEXT),
    key("data_transport_budget", Kind::Count),
    key("endpoints", Kind::Table(ENDPOINTS)),
    key("folder", Kind::Tables(FOLDER)),
    key("listing", Kind::Table(QUESTION)),
];

/// The whole file.
pub(super) const ROOT: &[Key] = &[
    key("daemon", Kind::Table(&[key("state_dir", PATH), key("socket", PATH), key("history", Kind::Count)])),
    key("account", Kind::Tables(ACCOUNT)),
    key(
        "upload",
        Kind::Table(&[
            key("workers", Kind::Count),
            key("chunk_size", SIZE),
            key("bandwidth", Kind::Text("\"unlimited\" or a rate such as \"2 MiB/s\"")),
            key("session_lifetime", TIME),
            key("max_file_size", SIZE),
        ]),
    ),
    key(
        "commit",
        Kind::Table(&[
            key("route", TEXT),
            key("max_entries", Kind::Count),
            key("max_age", TIME),
            key("lone_file", TEXT),
            key("job_deadline", TIME),
        ]),
    ),
    key(
        "watch",
        Kind::Table(&[key("settle", TIME), key("rescan", TIME), key("restless", TIME), key("snapshot_every", TIME)]),
    ),
    key(
        "listing",
        Kind::Table(&[
            key("scope", TEXT),
            key("limit", Kind::Count),
            key("include_has_explicit_shared_members", Kind::Flag),
            key("include_mounted_folders", Kind::Flag),
            key("include_property_groups", Kind::Texts),
            key("include_non_downloadable_files", Kind::Flag),
            key("longpoll", TIME),
            key("patience", TIME),
        ]),
    ),
    key(
        "safety",
        Kind::Table(&[
            key("max_deletions", Kind::Count),
            key("max_deletion_share", Kind::Text("a percentage such as \"25%\"")),
            key("trash_days", Kind::Count),
            key("trash_size", SIZE),
            key("disk_reserve", SIZE),
        ]),
    ),
    key("log", Kind::Table(&[key("level", TEXT), key("format", TEXT), key("paths", Kind::Flag)])),
];

/// The key with this name among `keys`.
pub(super) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|k| k.name == name)
}

/// Every key's full name, tables included.
fn all(keys: &'static [Key], prefix: &str, into: &mut Vec<String>) {
    for key in keys {
        let name = join(prefix, key.name);
        if let Kind::Table(below) | Kind::Tables(below) = key.kind {
            all(below, &name, into);
        }
        into.push(name);
    }
}

/// `prefix.name`.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// What an unknown key was most likely meant to be.
pub(super) struct Guess {
    /// Its full name.
    pub(super) key: String,
    /// Names beside the unknown key, to choose from, when the guess is a poor one.
    pub(super) others: String,
}

impl Guess {
    /// The end of the sentence; `extra` follows the guess.
    pub(super) fn advice(&self, extra: &str) -> String {
        format!("did you mean {}{extra}?{}", self.key, self.others)
    }
}

/// A key beside it with a similar name, else the same name in another table, else the most similar one beside it.
pub(super) fn nearest(keys: &'static [Key], prefix: &str, name: &str) -> Guess {
    let sure = |key: String| Guess { key, others: String::new() };
    let name = name.to_lowercase();
    let beside = keys.iter().map(|k| (strsim::damerau_levenshtein(k.name, &name), k.name)).min();
    if let Some((distance, known)) = beside
        && distance <= (known.len() / 3).max(2)
    {
        return sure(join(prefix, known));
    }
    let mut names = Vec::new();
    all(ROOT, "", &mut names);
    if let Some(same) = names.into_iter().find(|n| n.rsplit('.').next() == Some(name.as_str())) {
        return sure(same);
    }
    let alike = |known: &str| strsim::jaro_winkler(known, &name);
    let best = keys.iter().map(|k| k.name).max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap_or_default();
    let list: Vec<&str> = keys.iter().map(|k| k.name).collect();
    Guess { key: join(prefix, best), others: format!(" The keys here are {}", list.join(", ")) }
}
