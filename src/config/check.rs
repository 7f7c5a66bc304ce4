//! Reads the merged layers into types. Whatever is wrong is noted with its key and origin, and reading goes on.

mod accounts;
mod listing;

use std::path::PathBuf;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::layer::BUILT_IN;
use super::problem::Problem;
use super::values::{parse_bandwidth, parse_duration, parse_level, parse_share, parse_size};
use super::{
    Commit, Config, Daemon, LoadOptions, Log, LogFormat, LoneFile, Route, Safety, Setting, Upload, Watch, folders,
};
use crate::model::BLOCK_SIZE;

const LARGEST_CHUNK: u64 = 128 << 20;
/// Dropbox's own limit for one batch.
const LARGEST_BATCH: u64 = 1000;
/// Looking into the log reads all of it.
const LONGEST_HISTORY: u64 = 10_000_000;
/// Nothing here is waited for longer than a year; and sums of times must not overflow.
const LONGEST_TIME: Duration = Duration::from_hours(366 * 24);
/// Dropbox forgets upload sessions after seven days.
const LONGEST_SESSION: Duration = Duration::from_hours(7 * 24);
/// More would only wait for each other.
const MOST_WORKERS: u64 = 256;

/// A table, with its name for people (`account.folder`), its place in the whole (`account[0].folder[1]`) and where it was opened.
struct Section<'a> {
    key: String,
    path: String,
    place: String,
    table: Option<&'a Map<String, Value>>,
}

/// A local directory of the configuration, with where it was set.
pub(super) struct Placed<T> {
    pub(super) place: String,
    pub(super) value: T,
}

struct Reader<'a> {
    options: &'a LoadOptions,
    problems: &'a mut Vec<Problem>,
    settings: Vec<Setting>,
    locals: Vec<Placed<PathBuf>>,
}

pub(super) fn read(
    merged: &Map<String, Value>,
    options: &LoadOptions,
    problems: &mut Vec<Problem>,
) -> (Config, Vec<Setting>) {
    let mut reader = Reader { options, problems, settings: Vec::new(), locals: Vec::new() };
    let section = |name: &str| Section {
        key: name.to_owned(),
        path: name.to_owned(),
        place: origin(merged.get(name)),
        table: merged.get(name).and_then(as_table),
    };
    let listing = reader.listing(&section("listing"));
    let config = Config {
        daemon: reader.daemon(&section("daemon")),
        accounts: reader.accounts(merged.get("account"), &listing.question),
        upload: reader.upload(&section("upload")),
        commit: reader.commit(&section("commit")),
        watch: reader.watch(&section("watch")),
        listing,
        safety: reader.safety(&section("safety")),
        log: reader.log(&section("log")),
    };
    let Reader { problems, settings, locals, .. } = reader;
    let state = Placed {
        place: settings.iter().find(|s| s.key == "daemon.state_dir").map(|s| s.set_in.clone()).unwrap_or_default(),
        value: config.daemon.state_dir.clone(),
    };
    folders::check(&locals, &state, options, problems);
    (config, settings)
}

fn origin(value: Option<&Value>) -> String {
    value.and_then(Value::origin).unwrap_or(BUILT_IN).to_owned()
}

fn as_table(value: &Value) -> Option<&Map<String, Value>> {
    if let ValueKind::Table(table) = &value.kind { Some(table) } else { None }
}

fn elements(value: Option<&Value>) -> &[Value] {
    if let Some(ValueKind::Array(list)) = value.map(|v| &v.kind) { list } else { &[] }
}

fn text(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => text.clone(),
        ValueKind::U64(count) => count.to_string(),
        _ => String::new(),
    }
}

fn json(kind: &ValueKind) -> serde_json::Value {
    match kind {
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::U64(count) => (*count).into(),
        ValueKind::Array(list) => list.iter().map(|v| json(&v.kind)).collect(),
        other => text(other).into(),
    }
}

fn one_of<T: Copy>(given: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == given).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("`{given}` is unknown: write {}", names.join(" or "))
    })
}

fn count_within(count: u64, least: u64, most: u64) -> Result<u64, String> {
    if (least..=most).contains(&count) { Ok(count) } else { Err(format!("{count} is not from {least} to {most}")) }
}

impl Reader<'_> {
    /// The value if it is there and right. A value of the wrong type was noted before and stands here as nil.
    fn field<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl FnOnce(&ValueKind) -> Result<T, String>,
    ) -> Option<T> {
        let value = section.table?.get(name).filter(|v| !matches!(v.kind, ValueKind::Nil))?;
        let set_in = origin(Some(value));
        self.settings.push(Setting {
            key: format!("{}.{name}", section.path),
            value: json(&value.kind),
            set_in: set_in.clone(),
        });
        parse(&value.kind)
            .map_err(|text| self.problems.push(Problem::new(format!("{}.{name}", section.key), set_in, text)))
            .ok()
    }

    fn text<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.field(section, name, |kind| parse(&text(kind)))
    }

    /// A text with a default that depends on nothing.
    fn text_or<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if section.table.is_some_and(|t| t.contains_key(name)) {
            return self.text(section, name, parse);
        }
        self.settings.push(Setting {
            key: format!("{}.{name}", section.path),
            value: default.into(),
            set_in: BUILT_IN.to_owned(),
        });
        parse(default).ok()
    }

    fn required<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if section.table.is_some_and(|t| t.contains_key(name)) {
            return self.text(section, name, parse);
        }
        let key = format!("{}.{name}", section.key);
        self.problems.push(Problem::new(key, section.place.as_str(), format!("is missing: write {name} = {example}")));
        None
    }

    fn count(&mut self, section: &Section<'_>, name: &str, least: u64, most: u64) -> u64 {
        let parse = |kind: &ValueKind| match kind {
            ValueKind::U64(count) => count_within(*count, least, most),
            _ => Ok(least),
        };
        self.field(section, name, parse).unwrap_or(least)
    }

    fn time(&mut self, section: &Section<'_>, name: &str, least: Duration) -> Duration {
        self.time_within(section, name, least, LONGEST_TIME)
    }

    fn time_within(&mut self, section: &Section<'_>, name: &str, least: Duration, most: Duration) -> Duration {
        let parse = |text: &str| {
            let time = parse_duration(text)?;
            if time < least {
                return Err(format!("{text} is too short: at least {least:?}"));
            }
            if time > most {
                return Err(format!("{text} is too long: at most {}h", most.as_secs() / 3600));
            }
            Ok(time)
        };
        self.text(section, name, parse).unwrap_or_default()
    }

    fn path(&self, given: &str) -> Result<PathBuf, String> {
        let home = &self.options.surroundings.home;
        let path = match given.strip_prefix('~') {
            Some("") => home.clone(),
            Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
            Some(_) => return Err(format!("{given}: only ~ itself is known, not another user's ~name")),
            None => PathBuf::from(given),
        };
        if given.contains('\0') {
            return Err("a path cannot hold a NUL byte".to_owned());
        }
        if path.is_absolute() {
            return Ok(path);
        }
        if given.is_empty() {
            return Err("is empty: write a whole path such as /home/me/Documents".to_owned());
        }
        Err(format!("{given} is relative: write the whole path, from / or ~"))
    }

    fn daemon(&mut self, section: &Section<'_>) -> Daemon {
        let state_dir = self.text(section, "state_dir", |t| Ok(t.to_owned()));
        let state_dir = self.keep_path(section, "state_dir", state_dir);
        let socket = self.text(section, "socket", |t| Ok(t.to_owned()));
        let socket = self.keep_path(section, "socket", socket);
        let history = self.count(section, "history", 0, LONGEST_HISTORY);
        Daemon { state_dir: state_dir.unwrap_or_default(), socket: socket.unwrap_or_default(), history }
    }

    /// Expands a path that was read; the closure of [`Self::text`] cannot, since it would have to borrow the reader twice.
    fn keep_path(&mut self, section: &Section<'_>, name: &str, given: Option<String>) -> Option<PathBuf> {
        match self.path(&given?) {
            Ok(path) => Some(path),
            Err(text) => {
                let place = origin(section.table.and_then(|t| t.get(name)));
                self.problems.push(Problem::new(format!("{}.{name}", section.key), place, text));
                None
            }
        }
    }

    fn upload(&mut self, section: &Section<'_>) -> Upload {
        let chunk = |text: &str| {
            let size = parse_size(text)?;
            if size == 0 || size > LARGEST_CHUNK || !size.is_multiple_of(BLOCK_SIZE) {
                return Err(format!("{text} is not a multiple of 4 MiB from 4 MiB to 128 MiB"));
            }
            Ok(size)
        };
        let largest = |text: &str| match parse_size(text)? {
            0 => Err("0 would leave every file out; the default is \"350 GB\"".to_owned()),
            size => Ok(size),
        };
        Upload {
            workers: usize::try_from(self.count(section, "workers", 1, MOST_WORKERS)).unwrap_or(1),
            chunk_size: self.text(section, "chunk_size", chunk).unwrap_or(BLOCK_SIZE),
            bandwidth: self.text(section, "bandwidth", parse_bandwidth).flatten(),
            session_lifetime: self.time_within(section, "session_lifetime", Duration::from_secs(60), LONGEST_SESSION),
            max_file_size: self.text(section, "max_file_size", largest).unwrap_or(1),
        }
    }

    fn commit(&mut self, section: &Section<'_>) -> Commit {
        let routes = [("finish_batch", Route::FinishBatch), ("finish_batch_v2", Route::FinishBatchV2)];
        let lone = [("batch", LoneFile::Batch), ("finish", LoneFile::Finish)];
        Commit {
            route: self.text(section, "route", |t| one_of(t, &routes)).unwrap_or(Route::FinishBatch),
            max_entries: usize::try_from(self.count(section, "max_entries", 1, LARGEST_BATCH)).unwrap_or(1),
            max_age: self.time(section, "max_age", Duration::ZERO),
            lone_file: self.text(section, "lone_file", |t| one_of(t, &lone)).unwrap_or(LoneFile::Batch),
            job_deadline: self.time(section, "job_deadline", Duration::from_secs(1)),
        }
    }

    fn watch(&mut self, section: &Section<'_>) -> Watch {
        Watch {
            settle: self.time(section, "settle", Duration::ZERO),
            rescan: self.time(section, "rescan", Duration::from_secs(1)),
            restless: self.time(section, "restless", Duration::from_secs(1)),
            snapshot_every: self.time(section, "snapshot_every", Duration::from_secs(1)),
        }
    }

    fn safety(&mut self, section: &Section<'_>) -> Safety {
        Safety {
            max_deletions: self.count(section, "max_deletions", 0, u64::MAX),
            max_deletion_share: self.text(section, "max_deletion_share", parse_share).unwrap_or_default(),
            trash_days: u32::try_from(self.count(section, "trash_days", 0, 36_500)).unwrap_or_default(),
            trash_size: self.text(section, "trash_size", parse_size).unwrap_or_default(),
            disk_reserve: self.text(section, "disk_reserve", parse_size).unwrap_or_default(),
        }
    }

    fn log(&mut self, section: &Section<'_>) -> Log {
        let formats = [
            ("auto", LogFormat::Auto),
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
            ("journald", LogFormat::Journald),
        ];
        let paths = |kind: &ValueKind| Ok(matches!(kind, ValueKind::Boolean(true)));
        Log {
            level: self.text(section, "level", parse_level).unwrap_or_default(),
            format: self.text(section, "format", |t| one_of(t, &formats)).unwrap_or(LogFormat::Auto),
            paths: self.field(section, "paths", paths).unwrap_or_default(),
        }
    }
}

/// Checks an account's name, which is a directory's name too.
///
/// # Errors
/// A sentence: what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 {
        return Err("an account's name has 1 to 64 characters".to_owned());
    }
    if !name.chars().all(fine) || name.starts_with(['.', '-']) {
        return Err(format!("`{name}` is not a name: use letters, digits, `.`, `_` and `-`, a letter or digit first"));
    }
    Ok(())
}
