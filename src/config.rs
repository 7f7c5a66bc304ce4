//! Files and environment become one checked, typed [`Config`]; every error names its key and where it was set.
//!
//! Layers, each over the one before: `config/defaults.toml` (compiled in), `/etc/ferrybox/config.toml`,
//! `~/.config/ferrybox/config.toml` (or `--config FILE` in place of both), `FERRYBOX__SECTION__KEY`, options.
//! Three steps: [`layer`] reads each of them alone against the list of keys in [`schema`], so that a wrong type or an unknown key
//! is found with its line; the crate `config` lays them over one another and carries every value's origin along;
//! [`check`] reads the result into types and looks at what only makes sense as a whole.
//!
//! Tables merge key by key; a list (`account`, and with it its folders) replaces the list below it.

mod check;
mod edit;
mod folders;
mod layer;
mod problem;
mod schema;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use crate::model::listing::Question;
use crate::model::{Mode, RemotePath};

pub use check::check_name;
pub use edit::{Edit, EditError};
pub use layer::Surroundings;
pub use problem::{ConfigErrors, Problem};
pub use values::{parse_duration, parse_size};

/// Everything that is configured, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[daemon]`.
    pub daemon: Daemon,
    /// `[[account]]`, in the file's order. May be empty: before the first `ferrybox link`.
    pub accounts: Vec<Account>,
    /// `[upload]`.
    pub upload: Upload,
    /// `[commit]`.
    pub commit: Commit,
    /// `[watch]`.
    pub watch: Watch,
    /// `[listing]`.
    pub listing: Listing,
    /// `[safety]`.
    pub safety: Safety,
    /// `[log]`.
    pub log: Log,
}

/// `[daemon]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Where the databases are, one directory an account. Absolute; need not exist yet.
    pub state_dir: PathBuf,
    /// The control socket. Absolute; need not exist yet.
    pub socket: PathBuf,
    /// How many rows the log of what was done keeps, an account.
    pub history: u64,
}

/// `[[account]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Letters, digits, `.`, `_` and `-`; also the name of its directory in the state directory.
    pub name: String,
    /// The app's key. `None`: the credentials carry one, or an access token needs none.
    pub app_key: Option<String>,
    /// `keyring`, `file:PATH` (absolute, `~` expanded), `systemd:NAME` or `env:NAME`. Never the secret itself.
    pub credentials: String,
    /// Which tree the remote paths are in.
    pub path_root: PathRoot,
    /// `Dropbox-API-Select-User`.
    pub select_user: Option<String>,
    /// `Dropbox-API-Select-Admin`.
    pub select_admin: Option<String>,
    /// Data-transport calls a month.
    pub data_transport_budget: Option<u64>,
    /// Where Dropbox is.
    pub endpoints: Endpoints,
    /// What its listings ask for: `[listing]`, and over it `[account.listing]`.
    pub question: Question,
    /// `[[account.folder]]`.
    pub folders: Vec<Folder>,
}

/// The tree that remote paths are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRoot {
    /// The member's own folder.
    Home,
    /// The team's space (for an account without a team: the same as home).
    Root,
    /// This namespace.
    Namespace(String),
}

/// `[account.endpoints]`: origins without a trailing slash. `https`, or `http` to this very host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Remote procedure calls.
    pub api: String,
    /// Uploads and downloads.
    pub content: String,
    /// Long polls.
    pub notify: String,
    /// The authorisation page.
    pub web: String,
    /// One more certificate authority (PEM).
    pub ca_file: Option<PathBuf>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            api: "https://api.dropboxapi.com".to_owned(),
            content: "https://content.dropboxapi.com".to_owned(),
            notify: "https://notify.dropboxapi.com".to_owned(),
            web: "https://www.dropbox.com".to_owned(),
            ca_file: None,
        }
    }
}

/// `[[account.folder]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The local directory: absolute, `~` expanded, symlinks as written.
    pub local: PathBuf,
    /// The remote folder.
    pub remote: RemotePath,
    /// What is passed on.
    pub mode: Mode,
    /// Patterns as in `.gitignore`.
    pub ignore: Vec<String>,
    /// Remote folders and files, from the folder's own remote path on, that are not synced.
    pub exclude: Vec<RemotePath>,
    /// Whether each `.ferryboxignore` is this device's own: not sent, and none of Dropbox's comes down.
    pub own_ignore_files: bool,
    /// Whether symlinks are told as problems; else they are left alone without a word.
    pub report_symlinks: bool,
    /// What its listing asks for: the account's question, and over it `[account.folder.listing]`.
    pub question: Question,
}

/// `[upload]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Uploads at a time, at least 1.
    pub workers: usize,
    /// Bytes of a part: a multiple of 4 MiB, at most 128 MiB.
    pub chunk_size: u64,
    /// Bytes a second; `None`: unlimited.
    pub bandwidth: Option<u64>,
    /// How long a session may be continued after its start.
    pub session_lifetime: Duration,
    /// Larger files are a problem of their own and are not tried.
    pub max_file_size: u64,
}

/// `[commit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// How a batch of files is committed.
    pub route: Route,
    /// Entries of a batch, 1 to 1000.
    pub max_entries: usize,
    /// How long an uploaded file may wait for company.
    pub max_age: Duration,
    /// How a file without company is committed.
    pub lone_file: LoneFile,
    /// A job that is not over by then is given up, and its entries are looked up one by one.
    pub job_deadline: Duration,
}

/// `commit.route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `finish_batch`: a job that is polled.
    FinishBatch,
    /// `finish_batch_v2`: answers at once.
    FinishBatchV2,
}

/// `commit.lone_file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoneFile {
    /// As a batch of one.
    Batch,
    /// With `upload_session/finish`.
    Finish,
}

/// `[watch]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Quiet time before a changed file is read.
    pub settle: Duration,
    /// Time between two full scans.
    pub rescan: Duration,
    /// A file that has not rested for this long is sent from a copy of one moment.
    pub restless: Duration,
    /// Time between two such copies of one file.
    pub snapshot_every: Duration,
}

/// `[listing]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whether the whole account is listed; else only what the folders need.
    pub whole: bool,
    /// The arguments of `list_folder`.
    pub question: Question,
    /// How long one longpoll waits.
    pub longpoll: Duration,
    /// How long paths that were never in sync wait for the first listing, so that what Dropbox has already is not sent again.
    pub patience: Duration,
}

/// `[safety]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Safety {
    /// More deletions than this at once are held.
    pub max_deletions: u64,
    /// A larger share of a folder's entries than this is held: 0.0 to 1.0.
    pub max_deletion_share: f64,
    /// Days that trash is kept.
    pub trash_days: u32,
    /// Bytes that a folder's trash holds at most; the oldest go first.
    pub trash_size: u64,
    /// Bytes that downloads leave free on the disk.
    pub disk_reserve: u64,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,ferrybox::daemon=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
    /// Whether file names may stand in lines above debug.
    pub paths: bool,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal if standard error is the journal, else text.
    Auto,
    /// Lines for people.
    Text,
    /// One object a line.
    Json,
    /// The journal's own protocol.
    Journald,
}

/// What a load starts from.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// `--config FILE`, in place of the system's and the user's file.
    pub file: Option<PathBuf>,
    /// `--log LEVEL`.
    pub log_level: Option<String>,
    /// Home, directories and variables.
    pub surroundings: Surroundings,
    /// Whether to look at folders, token files and certificates on the disk. Commands that only need the socket do not.
    pub look_at_disk: bool,
    /// Whether a folder's directory may be missing: the daemon waits for one that it has met before, and itself refuses one that it has not.
    pub folders_may_be_missing: bool,
}

/// A configuration and where each of its values was set.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Each value with its origin, in the file's order of sections: `upload.workers`, `account[0].folder[0].local`.
    pub settings: Vec<Setting>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

/// One value of the effective configuration. Values are never secrets: the configuration holds none.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Setting {
    /// `upload.workers`.
    pub key: String,
    /// As written, before units are read.
    pub value: serde_json::Value,
    /// `/home/a/.config/ferrybox/config.toml line 12`, `the built-in defaults`, `environment variable ...`, `option --log`.
    pub set_in: String,
}

impl Config {
    /// Reads every layer.
    ///
    /// # Errors
    /// Every problem that was found, in the order of the layers.
    pub fn load(options: &LoadOptions) -> Result<Loaded, ConfigErrors> {
        let mut problems = Vec::new();
        let layers = layer::all(options, &mut problems);
        let files = layers.iter().filter_map(|l| l.file.clone()).collect();
        let merged = layer::merge(layers);
        let (config, settings) = check::read(&merged, options, &mut problems);
        if problems.is_empty() {
            return Ok(Loaded { config, settings, files });
        }
        problem::sort(&mut problems);
        Err(ConfigErrors(problems))
    }
}

/// Checks a place for credentials as `account.credentials` would be, `~` expanded.
///
/// # Errors
/// A sentence's end: what is wrong with it.
pub fn credentials_source(text: &str, options: &LoadOptions) -> Result<String, String> {
    folders::credentials(text, &options.surroundings.home, true)
}
