//! One layer at a time: a file or the environment, read alone and held against the list of keys.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::{ConfigError, Map, Source, Value, ValueKind};
use etcetera::BaseStrategy;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::schema::{self, Key, Kind};
use super::{LoadOptions, schema::join};

const DEFAULTS: &str = include_str!("../../config/defaults.toml");
/// Where a value of the lowest layer was set.
pub(super) const BUILT_IN: &str = "the built-in defaults";
/// Before the section of an environment variable.
const PREFIX: &str = "FERRYBOX__";
/// A configuration of a thousand folders has some 100 KiB.
const LARGEST: u64 = 4 << 20;

/// What a load sees of the world around it, as values, so that tests need no process of their own.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// For `~`.
    pub home: PathBuf,
    /// The system's file.
    pub system_file: PathBuf,
    /// The user's file.
    pub user_file: PathBuf,
    /// `daemon.state_dir`, unless a layer sets it.
    pub state_dir: PathBuf,
    /// `daemon.socket`, unless a layer sets it; `None`: in the state directory.
    pub socket: Option<PathBuf>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
        let variables: BTreeMap<_, _> =
            std::env::vars_os().filter_map(text).filter(|(key, _)| key.starts_with(PREFIX)).collect();
        let system_file = PathBuf::from("/etc/ferrybox/config.toml");
        let Ok(dirs) = etcetera::base_strategy::Xdg::new() else {
            // No home: everything has to be said in the configuration.
            return Self { system_file, variables, ..Self::default() };
        };
        let home = dirs.home_dir().to_owned();
        let state_dir = dirs.state_dir().unwrap_or_else(|| home.join(".local/state")).join("ferrybox");
        let runtime = dirs.runtime_dir().or_else(|| {
            let usual = PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw()));
            usual.is_dir().then_some(usual)
        });
        Self {
            system_file,
            user_file: dirs.config_dir().join("ferrybox/config.toml"),
            socket: runtime.map(|dir| dir.join("ferrybox/ferrybox.sock")),
            home,
            state_dir,
            variables,
        }
    }
}

/// A checked layer. Values know where they were set: the crate `config` carries that along.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The file it came from.
    pub(super) file: Option<PathBuf>,
    values: Map<String, Value>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}

/// Lays each over the one before.
pub(super) fn merge(layers: Vec<Layer>) -> Map<String, Value> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    match builder.build().map(|merged| merged.cache.kind) {
        Ok(ValueKind::Table(table)) => table,
        // Our sources never fail, and the root is a table.
        _ => Map::new(),
    }
}

/// Every layer, from the lowest up. What is wrong goes to `problems`; the rest of the layer is still used.
pub(super) fn all(options: &LoadOptions, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let around = &options.surroundings;
    let mut layers = vec![text(DEFAULTS, BUILT_IN, None, problems), computed(options)];
    match &options.file {
        Some(file) => layers.extend(read(file, true, problems)),
        None => {
            for file in [&around.system_file, &around.user_file] {
                layers.extend(read(file, false, problems));
            }
        }
    }
    layers.extend(environment(&around.variables, problems));
    if let Some(level) = &options.log_level {
        layers.push(single("log", "level", level, "option --log"));
    }
    layers
}

/// The defaults that depend on the user.
fn computed(options: &LoadOptions) -> Layer {
    let around = &options.surroundings;
    let socket = around.socket.clone().unwrap_or_else(|| around.state_dir.join("ferrybox.sock"));
    let mut daemon = single("daemon", "state_dir", &around.state_dir.to_string_lossy(), BUILT_IN);
    let with = single("daemon", "socket", &socket.to_string_lossy(), BUILT_IN);
    if let (Some(ValueKind::Table(ours)), Some(ValueKind::Table(more))) =
        (daemon.values.get_mut("daemon").map(|v| &mut v.kind), with.values.get("daemon").map(|v| v.kind.clone()))
    {
        ours.extend(more);
    }
    daemon
}

fn single(section: &str, key: &str, value: &str, origin: &str) -> Layer {
    let value = Value::new(Some(&origin.to_owned()), value.to_owned());
    let table = Map::from_iter([(key.to_owned(), value)]);
    let values = Map::from_iter([(section.to_owned(), Value::new(Some(&origin.to_owned()), ValueKind::Table(table)))]);
    Layer { file: None, values }
}

/// `None`: there is no such file, and there need not be.
fn read(path: &Path, must_exist: bool, problems: &mut Vec<Problem>) -> Option<Layer> {
    let shown = path.display().to_string();
    let mut wrong = |text: String| problems.push(Problem::new("", shown.as_str(), text));
    // A pipe in its place is seen to be one, and not waited for.
    let not_waiting = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match fs::OpenOptions::new().read(true).custom_flags(not_waiting).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            wrong("there is no such file".to_owned());
            return None;
        }
        Err(error) => {
            wrong(format!("cannot be opened: {error}"));
            return None;
        }
    };
    match file.metadata() {
        Ok(meta) if !meta.is_file() => {
            wrong("is not a file".to_owned());
            return None;
        }
        Ok(meta) => {
            let me = rustix::process::geteuid().as_raw();
            if meta.uid() != me && meta.uid() != 0 {
                wrong(format!("belongs to user {}, who could change what is synced: make it yours", meta.uid()));
            } else if meta.mode() & 0o022 != 0 {
                let mode = meta.mode() & 0o777;
                wrong(format!("can be written by other users (mode {mode:04o}): run `chmod go-w` on it"));
            }
        }
        Err(error) => wrong(format!("cannot be looked at: {error}")),
    }
    let mut bytes = Vec::new();
    if let Err(error) = file.take(LARGEST + 1).read_to_end(&mut bytes) {
        wrong(format!("cannot be read: {error}"));
        return None;
    }
    if bytes.len() as u64 > LARGEST {
        wrong("is larger than 4 MiB, which no configuration is".to_owned());
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(content) => Some(text(&content, &shown, Some(path.to_owned()), problems)),
        Err(error) => {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            problems.push(Problem::new("", format!("{shown} line {line}"), "is not UTF-8 text"));
            None
        }
    }
}

/// Parses one document and holds it against the list of keys.
fn text(content: &str, name: &str, file: Option<PathBuf>, problems: &mut Vec<Problem>) -> Layer {
    let document = match DeTable::parse(content) {
        Ok(document) => document.into_inner(),
        Err(error) => {
            let (line, column) = position(content, error.span().map_or(0, |s| s.start));
            let message = error.message().trim().replace('\n', ", ");
            let place = format!("{name} line {line}, column {column}");
            problems.push(Problem::new("", place, format!("this is not TOML: {message}")));
            DeTable::new()
        }
    };
    let mut walk = Walk { content, name, problems };
    Layer { file, values: walk.table(&document, schema::ROOT, "") }
}

fn position(content: &str, offset: usize) -> (usize, usize) {
    let before = content.get(..offset).unwrap_or(content);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.matches('\n').count() + 1;
    (line, before.get(start..).map_or(0, |text| text.chars().count()) + 1)
}

struct Walk<'a> {
    content: &'a str,
    name: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn origin(&self, offset: usize) -> String {
        if self.name == BUILT_IN {
            return BUILT_IN.to_owned();
        }
        format!("{} line {}", self.name, position(self.content, offset).0)
    }

    fn table(&mut self, table: &DeTable<'_>, keys: &'static [Key], prefix: &str) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, value) in table {
            let full = join(prefix, name.get_ref());
            let origin = self.origin(name.span().start);
            let Some(key) = schema::find(keys, name.get_ref()) else {
                if let Some(why) = schema::not_asked(prefix, name.get_ref()) {
                    self.problems.push(Problem::new(full, origin, why));
                    continue;
                }
                let near = schema::nearest(keys, prefix, name.get_ref());
                self.problems.push(Problem::new(format!("unknown key {full}"), origin, near.advice("")));
                continue;
            };
            // Nil stands for "was noted already", so that nobody calls it missing.
            let kind = self.value(value, key.kind, &full, &origin).unwrap_or(ValueKind::Nil);
            values.insert(key.name.to_owned(), Value::new(Some(&origin), kind));
        }
        values
    }

    /// `None`: of the wrong type, and said so.
    fn value(&mut self, value: &Spanned<DeValue<'_>>, kind: Kind, full: &str, origin: &str) -> Option<ValueKind> {
        match (kind, value.get_ref()) {
            (Kind::Text(_) | Kind::TextOrCount(_), DeValue::String(text)) => {
                return Some(ValueKind::String(text.to_string()));
            }
            (Kind::Flag, DeValue::Boolean(flag)) => return Some(ValueKind::Boolean(*flag)),
            (Kind::Count | Kind::TextOrCount(_), DeValue::Integer(digits)) => {
                if let Ok(count) = u64::from_str_radix(digits.as_str().trim_start_matches('+'), digits.radix()) {
                    return Some(ValueKind::U64(count));
                }
                let text = format!("{} where {} is expected", digits.as_str(), kind.expected());
                self.problems.push(Problem::new(full, origin, text));
                return None;
            }
            (Kind::Table(keys), DeValue::Table(table)) => {
                return Some(ValueKind::Table(self.table(table, keys, full)));
            }
            (Kind::Tables(keys), DeValue::Array(list)) if list.iter().all(|v| v.get_ref().is_table()) => {
                let element = |v: &Spanned<DeValue<'_>>| {
                    let origin = self.origin(v.span().start);
                    let table = v.get_ref().as_table().map(|t| self.table(t, keys, full)).unwrap_or_default();
                    Value::new(Some(&origin), ValueKind::Table(table))
                };
                return Some(ValueKind::Array(list.iter().map(element).collect()));
            }
            (Kind::Texts, DeValue::Array(list)) if list.iter().all(|v| v.get_ref().is_str()) => {
                let element = |v: &Spanned<DeValue<'_>>| {
                    let text = v.get_ref().as_str().unwrap_or_default().to_owned();
                    Value::new(Some(&self.origin(v.span().start)), text)
                };
                return Some(ValueKind::Array(list.iter().map(element).collect()));
            }
            _ => {}
        }
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a decimal point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let text = format!("{found} where {} is expected", kind.expected());
        self.problems.push(Problem::new(full, origin, text));
        None
    }
}

/// `FERRYBOX__UPLOAD__WORKERS=4`: one layer a variable.
fn environment(variables: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let origin = format!("environment variable {variable}");
        let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let full = parts.join(".");
        if parts.first().is_some_and(|p| p == "account") {
            let advice = "accounts and their folders are set in a file";
            problems.push(Problem::new(full, origin, advice));
            continue;
        }
        let section = parts.first().and_then(|p| schema::find(schema::ROOT, p));
        let below = match section.map(|s| s.kind) {
            Some(Kind::Table(keys)) => keys,
            _ => schema::ROOT,
        };
        let known = match (section, parts.as_slice()) {
            (Some(section), [_, name]) => schema::find(below, name).map(|key| (section, key)),
            _ => None,
        };
        let Some((section, key)) = known else {
            let (prefix, name) = full.split_once('.').unwrap_or(("", full.as_str()));
            if let Some(why) = schema::not_asked(prefix, name) {
                problems.push(Problem::new(full, origin, why));
                continue;
            }
            let near = match section {
                Some(_) => schema::nearest(below, prefix, name),
                None => schema::nearest(schema::ROOT, "", &full),
            };
            let written = format!(", which is {PREFIX}{}", near.key.to_uppercase().replace('.', "__"));
            let advice = near.advice(&written);
            problems.push(Problem::new(format!("unknown key {full}"), origin, advice));
            continue;
        };
        let value = match key.kind {
            Kind::Count => text.trim().parse().ok().map(ValueKind::U64),
            Kind::Flag => text.trim().parse().ok().map(ValueKind::Boolean),
            _ => Some(ValueKind::String(text.clone())),
        };
        let Some(value) = value else {
            let wrong = format!("{text:?} where {} is expected", key.kind.expected());
            problems.push(Problem::new(full, origin, wrong));
            continue;
        };
        let table = Map::from_iter([(key.name.to_owned(), Value::new(Some(&origin), value))]);
        let values = Map::from_iter([(section.name.to_owned(), Value::new(Some(&origin), ValueKind::Table(table)))]);
        layers.push(Layer { file: None, values });
    }
    layers
}
