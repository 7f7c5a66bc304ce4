//! What can be set on a stand-in. Every default is the figure of the specification, or of docs/dropbox-api.md where it is silent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether the bytes of files are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Bytes are kept and can be downloaded.
    Keep,
    /// Only sizes and block digests are kept: uploads of any size cost next to no memory, and nothing uploaded can be downloaded.
    HashOnly,
}

/// How long a batch takes to be committed: `per_batch + entries * per_entry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Once for each batch.
    pub per_batch: Duration,
    /// For each of its entries.
    pub per_entry: Duration,
}

impl Pace {
    /// The whole duration for a batch of `entries`.
    #[must_use]
    pub fn of(&self, entries: usize) -> Duration {
        self.per_batch + self.per_entry * u32::try_from(entries).unwrap_or(u32::MAX)
    }
}

/// What a second finish of a session answers after the first one succeeded. The specification is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedFinish {
    /// It commits again; by `WriteMode` rule (c) nothing is written when the content is the same (docs/dropbox-api.md, "Idempotence").
    CommitsAgain,
    /// `lookup_failed/not_found`.
    NotFound,
}

/// What a batch gets that overlaps another commit of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Its entries are committed; only the violation tells.
    Succeeds,
    /// Its entries fail with `too_many_write_operations`, as when another holds the lock.
    Fails,
}

/// How `path_lower` is made. Neither the specification nor anybody else says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Folding {
    /// One character at a time; one whose lower case is several stays as it is.
    OneByOne,
    /// As a service that has simple mappings of an older Unicode (5.2): `İ` is `i`, Σ is σ wherever it stands, and capitals that came later stay.
    Service,
}

/// All settings. Build one with `Settings { page_size: 10, ..Settings::default() }`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Whether file contents are kept.
    pub contents: Contents,
    /// The largest sum of header names and values, in bytes (envoy's default; a guess of docs/dropbox-api.md).
    pub header_cap: usize,
    /// The status of a request over that cap: 431, 413 or 400.
    pub header_refusal: u16,
    /// The largest page of a listing, in entries, whatever `limit` says.
    pub page_size: usize,
    /// Every n-th page of a listing is empty with `has_more` true; 0 = never.
    pub empty_page_every: u64,
    /// Delay before each request is processed.
    pub latency: Duration,
    /// How long each page of a listing takes.
    pub listing_time: Duration,
    /// How long after a change cursors tell of it; a new listing shows it at once.
    pub listing_lag: Duration,
    /// Bytes a second of each connection, in each direction.
    pub bandwidth: Option<u64>,
    /// How long batches take to commit.
    pub commit: Pace,
    /// How long a single commit (`upload`, `upload_session/finish`, `delete_v2`, ...) takes.
    pub single_commit: Duration,
    /// Batch routes answer `complete` instead of `async_job_id`.
    pub complete_at_once: bool,
    /// `finish_batch_v2` may overlap other commits without a violation (its text drops the sentence about serial execution).
    pub parallel_v2: bool,
    /// How long an upload session lives after its start.
    pub session_life: Duration,
    /// How long an access token lives.
    pub token_life: Duration,
    /// The most entries of `start_batch`, `finish_batch`, `delete_batch`, `move_batch_v2` and `copy_batch_v2`.
    pub max_entries: usize,
    /// The most entries of `append_batch`.
    pub max_append_entries: usize,
    /// The largest body of one upload request, in bytes.
    pub max_body: u64,
    /// The largest file, in bytes.
    pub max_file_size: u64,
    /// The most files and folders that one move, copy or delete may touch.
    pub max_tree: usize,
    /// Space of an account, in bytes.
    pub quota: u64,
    /// Names that are refused with `disallowed_name`, in any case; a `*` at either end stands for anything.
    pub disallowed_names: Vec<String>,
    /// Folders (path_lower) below which nothing may be written.
    pub read_only: Vec<String>,
    /// How case is folded.
    pub folding: Folding,
    /// Overrides of the case folding: this character becomes that text in `path_lower`.
    pub fold: Vec<(char, String)>,
    /// `path_display` is right in its last component only; the parents are shown in lower case.
    pub sloppy_display: bool,
    /// Recursive listings have no entry for a folder that something is in.
    pub parents_unlisted: bool,
    /// `continue` answers `reset` after this many pages of each first listing.
    pub listing_breaks_after: Option<u64>,
    /// Recursive listings of folders with more than this below them fail with 500, as the specification warns they may.
    pub recursive_most: Option<usize>,
    /// Data transport calls that each account may make; more get 403.
    pub transport_limit: Option<u64>,
    /// The language of that 403: `en`, `de`, `fr` or `ja`.
    pub transport_locale: String,
    /// How long a new folder at the top refuses what is written in it with `no_write_permission`, as team spaces do.
    pub top_folders_settle: Duration,
    /// The app has a folder of its own, which is all that it sees: no `Dropbox-API-Path-Root` but `home` is permitted to it.
    pub app_folder: bool,
    /// What a batch gets that overlaps another one.
    pub overlap: Overlap,
    /// What a repeated finish does.
    pub repeated_finish: RepeatedFinish,
    /// The longest that a longpoll really waits, whatever `timeout` says; `None` waits as asked.
    pub longpoll_limit: Option<Duration>,
    /// Extra waiting of a longpoll that times out (the specification allows up to 90 s).
    pub longpoll_jitter: Duration,
    /// A different call of a route that arrives this soon after a 429 was on its way already, and is no violation.
    pub retry_grace: Duration,
    /// Routes that this server does not know (any more), such as `files/upload_session/finish_batch`.
    pub unknown_routes: Vec<String>,
    /// An access token that is valid from the start and never expires, for scripts.
    pub token: Option<String>,
    /// Scopes of tokens that are issued without asking for any.
    pub scopes: Vec<String>,
    /// Seed of every name and probability.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let strings = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Self {
            port: 0,
            contents: Contents::Keep,
            header_cap: 60 * 1024,
            header_refusal: 431,
            // files.stone, ListFolderArg.limit: max_value=2000.
            page_size: 2000,
            empty_page_every: 0,
            latency: Duration::ZERO,
            listing_time: Duration::ZERO,
            listing_lag: Duration::ZERO,
            bandwidth: None,
            commit: Pace::default(),
            single_commit: Duration::ZERO,
            complete_at_once: false,
            parallel_v2: false,
            // files.stone, upload_session/start: "a maximum of 7 days".
            session_life: Duration::from_secs(7 * 24 * 3600),
            token_life: Duration::from_secs(14_400),
            max_entries: 1000,
            max_append_entries: 1000,
            max_body: 150 * 1024 * 1024,
            max_file_size: (1 << 41) - (1 << 22),
            max_tree: 10_000,
            quota: 3 << 40,
            disallowed_names: strings(&[
                "desktop.ini",
                "thumbs.db",
                ".ds_store",
                "icon\r",
                ".dropbox",
                ".dropbox.attr",
            ]),
            read_only: Vec::new(),
            folding: Folding::OneByOne,
            fold: Vec::new(),
            sloppy_display: false,
            parents_unlisted: false,
            listing_breaks_after: None,
            recursive_most: None,
            top_folders_settle: Duration::ZERO,
            app_folder: false,
            transport_limit: None,
            transport_locale: "en".to_owned(),
            overlap: Overlap::Fails,
            repeated_finish: RepeatedFinish::NotFound,
            longpoll_limit: None,
            longpoll_jitter: Duration::ZERO,
            // Ours and the client's time to read on a busy machine; a Retry-After is a second at least.
            retry_grace: Duration::from_millis(200),
            unknown_routes: Vec::new(),
            token: None,
            scopes: strings(&[
                "account_info.read",
                "files.metadata.read",
                "files.metadata.write",
                "files.content.read",
                "files.content.write",
            ]),
            seed: 1,
        }
    }
}
