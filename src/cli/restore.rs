//! `ferrybox restore`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

use super::client::Client;
use super::place::{asking, in_a_folder};
use super::render::{ago, bytes, counted, escape};
use super::{Common, OK, PROBLEMS, block_on, print};
use crate::env;
use crate::model::api::{Restored, Version, Versions};

/// Put an earlier version back, from the folder's trash or from Dropbox's revisions
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox restore ~/Documents/report.odt --list
  ferrybox restore ~/Documents/report.odt
  ferrybox restore ~/Documents/report.odt --rev 015f3a2b9c1d0000000012345678

Without --rev, the newest version in the trash comes back; of a directory, every file that went to the trash and is not
there any more, or, if the trash has none, every file that was deleted there, from Dropbox's revisions. If the trash has
nothing of a file, the only revision that Dropbox has comes back; of several, the list is shown, and nothing is done. What stands at the path
goes to the trash first; a directory there stays, and the file gets a name beside it. A restored file is synced as if it
had just been saved.

Exit codes: 0 restored, or listed; 3 nothing was restored because there is a choice (the list is shown), or not
everything could be; 4 no daemon runs, or not now; 64 there is no such version, the path is in no synced folder, or the
configuration is wrong")]
pub(super) struct Restore {
    /// A file or directory in a synced folder; it may be gone
    path: PathBuf,
    /// Which version: a revision of Dropbox's, or a time of the trash, as --list shows them
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    /// Only list what can be put back
    #[arg(long, short, conflicts_with = "rev")]
    list: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<&'a str>,
}

impl Restore {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::new(&loaded.config.daemon);
        if self.list || self.rev.is_none() {
            let route = asking("/v1/versions", Some(&self.path), &loaded.config)?;
            let found: Versions = block_on(client.get(&route))?;
            let in_trash = found.trashed_below || found.items.iter().any(|item| item.from == "trash");
            // A single candidate, or all that went from below a directory, needs no choice.
            let choice = found.items.iter().filter(|item| !item.current).count() > 1;
            if self.list || (!in_trash && found.deleted_below == 0 && choice) {
                if self.json {
                    print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?;
                } else {
                    print(&listed(&found, env::timestamp()))?;
                }
                if self.list {
                    return Ok(OK);
                }
                anstream::eprintln!("ferrybox: the trash has none: choose one of Dropbox's revisions with --rev");
                return Ok(PROBLEMS);
            }
        }
        let body = Body { path: in_a_folder(&self.path, &loaded.config)?, rev: self.rev.as_deref() };
        // A large file takes as long as it takes to come down.
        let restored: Restored = block_on(client.post("/v1/restore", &body, true))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&restored)?))?;
        } else if !common.quiet {
            print(&told(&restored))?;
        }
        for failed in &restored.failed {
            anstream::eprintln!("ferrybox: not restored: {}", escape(failed));
        }
        Ok(if restored.failed.is_empty() { OK } else { PROBLEMS })
    }
}

fn told(restored: &Restored) -> String {
    let place = format!("{}/{}", restored.folder.trim_end_matches('/'), restored.place);
    let mut text = match &restored.version {
        Some(version) => format!("restored {} ({}, {})", escape(&place), escape(version), bytes(restored.bytes)),
        None => {
            let files = counted(restored.files, "file", "files");
            format!("restored {files} below {} ({})", escape(&place), bytes(restored.bytes))
        }
    };
    if restored.replaced {
        text.push_str("; what stood there is in the trash");
    }
    if restored.place != restored.path && restored.version.is_some() {
        text.push_str("; a directory has its own name");
    }
    text.push('\n');
    text
}

fn listed(found: &Versions, now: Timestamp) -> String {
    let path = format!("{}/{}", found.folder.trim_end_matches('/'), found.path);
    let mut out = String::new();
    if found.items.is_empty() && !found.trashed_below && found.deleted_below == 0 {
        let _ = writeln!(out, "Nothing of {} can be restored.", escape(&path));
    }
    if !found.items.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["FROM", "WHEN", "SIZE", "--rev"]);
        for item in &found.items {
            table.add_row([from(item), when(item, now), bytes(item.size), escape(&item.version)]);
        }
        let _ = writeln!(out, "{}", table.trim_fmt());
    }
    if found.trashed_below {
        let _ = writeln!(out, "Files that were below {} are in the trash, too.", escape(&path));
    }
    if found.deleted_below > 0 {
        let files = counted(found.deleted_below, "file that was", "files that were");
        let _ = writeln!(out, "{files} below {} can come back from Dropbox's revisions.", escape(&path));
    }
    if let Some(note) = &found.note {
        let _ = writeln!(out, "Dropbox's revisions are not shown: {}", escape(note));
    }
    out
}

fn from(item: &Version) -> String {
    if item.current { format!("{}, now", item.from) } else { item.from.clone() }
}

fn when(item: &Version, now: Timestamp) -> String {
    item.at.as_deref().map(|at| ago(at, now)).unwrap_or_default()
}
