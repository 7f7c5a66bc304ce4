//! `ferrybox ls`.

use std::io::{self, BufWriter, Write};

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use secrecy::SecretString;

use super::render::{bytes, escape, seconds};
use super::{Common, OK, UNFINISHED, Usage, block_on};
use crate::api::cache_reader::{Reader, ReaderError, list_online};
use crate::config::{Account, Config};
use crate::dropbox::{CallError, SharedLink};
use crate::model::RemotePath;
use crate::model::key::may_be_one;
use crate::model::listing::Listed;

/// List what Dropbox holds, from the cache that the daemon keeps
///
/// Reads the state database itself: it needs neither a running daemon nor a network, and it changes nothing. What no synced folder covers
/// is asked of Dropbox (--online asks in any case).
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox ls /Photos
  ferrybox ls -R '/Photos/**/*.jpg'
  ferrybox ls -R --json / | jq -r 'select(.size > 1e9) | .path'
  ferrybox ls --link https://www.dropbox.com/scl/fo/abc

Columns: marks (d folder, r read-only, s shared, l symbolic link, x cannot be downloaded, only exported), size, time of the last
change (UTC), path. --json writes one object a line.

Exit codes: 0 listed, 1 there is no such path, 4 nothing is listed yet or Dropbox cannot be asked, 64 the command line or the
configuration is wrong, 74 the state database cannot be used")]
pub(super) struct Ls {
    /// A folder, a file or a pattern (*, ?, {a,b}, and ** for any number of folders), without regard to case; all that is listed if absent
    #[arg(value_name = "REMOTE")]
    remote: Option<String>,
    /// What lies below folders, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Sizes in bytes
    #[arg(long, short)]
    bytes: bool,
    /// Of this account; needed when there are several
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Ask Dropbox itself
    #[arg(long)]
    online: bool,
    /// List what this shared link shows; REMOTE is a path inside it. Its password, if any, is read from FERRYBOX_LINK_PASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "recursive")]
    link: Option<String>,
}

/// Where the lines go.
struct Lines<W: Write> {
    out: W,
    json: bool,
    exact: bool,
    any: bool,
}

impl Ls {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let config = &loaded.config;
        let account = self.account(config)?;
        let out = BufWriter::with_capacity(64 << 10, anstream::stdout().lock());
        let mut lines = Lines { out, json: self.json, exact: self.bytes, any: false };
        let code = match self.list(config, account, common.quiet, &mut lines) {
            Ok(code) => code,
            Err(ReaderError::Out(error)) => return Err(error.into()),
            Err(ReaderError::Usage(text)) => return Err(Usage(text).into()),
            Err(ReaderError::Call(error)) => return Err(super::Unfinished(error.to_string()).into()),
            Err(ReaderError::Store(error)) => return Err(super::State(error.to_string()).into()),
        };
        lines.out.flush()?;
        Ok(code)
    }

    fn account<'a>(&self, config: &'a Config) -> anyhow::Result<&'a Account> {
        let mut all = config.accounts.iter();
        let names = || config.accounts.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        match (&self.account, all.next(), all.next()) {
            (Some(name), ..) => config
                .accounts
                .iter()
                .find(|a| a.name == *name)
                .ok_or_else(|| Usage(format!("there is no account `{name}`; there are: {}", names())).into()),
            (None, Some(only), None) => Ok(only),
            (None, None, _) => Err(Usage("no account is configured: run `ferrybox link`".to_owned()).into()),
            (None, Some(_), Some(_)) => {
                Err(Usage(format!("there are several accounts: say --account with one of {}", names())).into())
            }
        }
    }

    fn list(
        &self,
        config: &Config,
        account: &Account,
        quiet: bool,
        lines: &mut Lines<impl Write>,
    ) -> Result<u8, ReaderError> {
        let wrong = |e: String| ReaderError::Usage(format!("{}: {e}", self.remote.as_deref().unwrap_or_default()));
        if let Some(url) = &self.link {
            let password = std::env::var("FERRYBOX_LINK_PASSWORD").ok().map(SecretString::from);
            let link = SharedLink { url: url.clone(), password };
            let path =
                RemotePath::parse(self.remote.as_deref().unwrap_or_default()).map_err(|e| wrong(e.to_string()))?;
            return self.online(config, account, &path, None, Some(&link), lines);
        }
        let reader = if self.online { None } else { Reader::open(config, account)? };
        let Some(remote) = &self.remote else {
            let Some(reader) = &reader else { return self.nothing(config, account, lines) };
            for scope in reader.scopes() {
                self.cached(reader, &scope, None, quiet, lines)?;
            }
            return Ok(OK);
        };
        let (path, pattern) = split(remote).map_err(wrong)?;
        match &reader {
            Some(reader) if reader.covered(&path).is_some() => {
                self.cached(reader, &path, pattern.as_ref(), quiet, lines)
            }
            _ => self.online(config, account, &path, pattern.as_ref(), None, lines),
        }
    }

    fn nothing(&self, config: &Config, account: &Account, lines: &mut Lines<impl Write>) -> Result<u8, ReaderError> {
        if self.online {
            return self.online(config, account, &RemotePath::default(), None, None, lines);
        }
        anstream::eprintln!("ferrybox: nothing is listed yet: start the daemon with `ferrybox run`, or say --online");
        Ok(UNFINISHED)
    }

    fn cached(
        &self,
        reader: &Reader,
        path: &RemotePath,
        pattern: Option<&GlobMatcher>,
        quiet: bool,
        lines: &mut Lines<impl Write>,
    ) -> Result<u8, ReaderError> {
        let Some(covered) = reader.covered(path) else { return Ok(OK) };
        if !covered.complete && !quiet {
            lines.out.flush()?;
            anstream::eprintln!("ferrybox: the first listing is under way; this is what is known so far");
        } else if covered.age_s > 24 * 3600 && !quiet {
            anstream::eprintln!("ferrybox: the last change came {} ago", seconds(covered.age_s));
        }
        let entry = reader.entry(&covered, path)?;
        let key = match &entry {
            Some(file) if file.kind == "file" => {
                lines.write(file)?;
                return Ok(OK);
            }
            Some(folder) => folder.path_lower.clone(),
            None => reader.key(&covered, path)?,
        };
        // A pattern that looks into folders has to walk into them.
        let deep = self.recursive
            || pattern.is_some_and(|p| p.glob().glob().matches('/').count() > depth(path) + 1)
            || pattern.is_some_and(|p| p.glob().glob().contains("**"));
        let mut inside = String::new();
        for found in reader.walk(&covered, &key, deep) {
            let found = found?;
            let Some(pattern) = pattern else {
                lines.write(&found)?;
                continue;
            };
            let below = self.recursive && !inside.is_empty() && found.path_lower.starts_with(&inside);
            if below || pattern.is_match(&found.path) || pattern.is_match(&found.path_lower) {
                lines.write(&found)?;
                if !below && found.kind == "folder" {
                    inside = format!("{}/", found.path_lower);
                }
            }
        }
        if !lines.any && entry.is_none() && (pattern.is_some() || !reader.scopes().contains(path)) {
            anstream::eprintln!("ferrybox: there is no {} in Dropbox", escape(self.remote.as_deref().unwrap_or("/")));
            return Ok(super::FAILED);
        }
        Ok(OK)
    }

    fn online(
        &self,
        config: &Config,
        account: &Account,
        path: &RemotePath,
        pattern: Option<&GlobMatcher>,
        link: Option<&SharedLink>,
        lines: &mut Lines<impl Write>,
    ) -> Result<u8, ReaderError> {
        let deep = self.recursive || pattern.is_some_and(|p| p.glob().glob().contains("**"));
        let mut each = |listed: Listed| {
            if pattern.is_none_or(|p| p.is_match(&listed.path) || p.is_match(&listed.path_lower)) {
                lines.write(&listed)?;
            }
            Ok(())
        };
        let asked = list_online(config, account, path, deep, link, &mut each);
        // The runtime itself can fail only before anything was asked.
        let done = block_on(async { Ok(asked.await) }).map_err(|e| ReaderError::Usage(e.to_string()))?;
        let Err(ReaderError::Call(error)) = done else { return done.map(|()| OK) };
        // A file has a line in the folder above it.
        if error.is("path/not_folder")
            && pattern.is_none()
            && let Some((above, _)) = path.as_str().rsplit_once('/')
        {
            let above = RemotePath::parse(above).map_err(|e| ReaderError::Usage(e.to_string()))?;
            let mut it =
                |listed: Listed| if may_be_one(&listed.path, path.as_str()) { lines.write(&listed) } else { Ok(()) };
            let asked = list_online(config, account, &above, false, link, &mut it);
            block_on(async { Ok(asked.await) }).map_err(|e| ReaderError::Usage(e.to_string()))??;
            return Ok(OK);
        }
        let Some(why) = nothing_there(&error, path, link.is_some()) else { return Err(ReaderError::Call(error)) };
        anstream::eprintln!("ferrybox: {why}");
        Ok(super::FAILED)
    }
}

/// What is said where Dropbox answers that there is nothing to be seen.
fn nothing_there(error: &CallError, path: &RemotePath, link: bool) -> Option<String> {
    let path = escape(if path.as_str().is_empty() { "/" } else { path.as_str() });
    if error.is("shared_link_not_found") {
        return Some(
            "Dropbox knows no such shared link: it may have been taken back, or is not written as it was given out"
                .to_owned(),
        );
    }
    if error.is("shared_link_access_denied") {
        return Some(
            "Dropbox does not show this shared link: put its password into FERRYBOX_LINK_PASSWORD, or ask its owner for access".to_owned(),
        );
    }
    let place = if link { "behind this shared link" } else { "in Dropbox" };
    (error.is("path/not_found") || error.is("path/not_folder")).then(|| format!("there is no {path} {place}"))
}

/// How many components a path has.
fn depth(path: &RemotePath) -> usize {
    path.as_str().matches('/').count()
}

/// The folder before the first component with a pattern in it, and the pattern.
fn split(remote: &str) -> Result<(RemotePath, Option<GlobMatcher>), String> {
    let absolute = if remote.starts_with('/') { remote.to_owned() } else { format!("/{remote}") };
    let plain = |name: &str| !name.contains(['*', '?', '[', '{']);
    if absolute.split('/').all(plain) {
        return Ok((RemotePath::parse(&absolute).map_err(|e| e.to_string())?, None));
    }
    let folder: Vec<&str> = absolute.split('/').take_while(|name| plain(name)).collect();
    let path = RemotePath::parse(&folder.join("/")).map_err(|e| e.to_string())?;
    let glob = GlobBuilder::new(&absolute)
        .case_insensitive(true)
        .literal_separator(true)
        .build()
        .map_err(|e| format!("not a pattern: {}", e.kind()))?;
    Ok((path, Some(glob.compile_matcher())))
}

impl<W: Write> Lines<W> {
    fn write(&mut self, entry: &Listed) -> io::Result<()> {
        let first = !self.any;
        self.any = true;
        if self.json {
            serde_json::to_writer(&mut self.out, entry)?;
            self.out.write_all(b"\n")?;
        } else {
            let mark = |on: bool, letter: char| if on { letter } else { '-' };
            let marks: String = [
                mark(entry.kind == "folder", 'd'),
                mark(entry.read_only, 'r'),
                mark(entry.shared, 's'),
                mark(entry.symlink, 'l'),
                mark(!entry.is_downloadable, 'x'),
            ]
            .into_iter()
            .collect();
            let size = entry.size.map_or_else(String::new, |n| if self.exact { n.to_string() } else { bytes(n) });
            let time = entry.server_modified.and_then(|t| jiff::Timestamp::from_second(t).ok());
            let time = time.map_or_else(String::new, |t| t.strftime("%Y-%m-%d %H:%M").to_string());
            writeln!(self.out, "{marks} {size:>11} {time:16} {}", escape(&entry.path))?;
        }
        // Whoever waits for the first line sees it at once.
        if first { self.out.flush() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_where_its_first_sign_stands() {
        let (path, pattern) = split("/A/b*/c").unwrap();
        assert_eq!(path.as_str(), "/A");
        let pattern = pattern.unwrap();
        assert!(pattern.is_match("/a/BX/c") && !pattern.is_match("/a/bx/y/c") && !pattern.is_match("/a/x/c"));
        assert_eq!(split("Plain").unwrap().0.as_str(), "/Plain");
        assert!(split("/a/../b*").is_err() && split("/a/[").is_err());
    }
}
