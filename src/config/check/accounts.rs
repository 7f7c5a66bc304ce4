//! `[[account]]`, `[account.endpoints]` and `[[account.folder]]`.

use std::collections::HashMap;

use config::{Value, ValueKind};

use super::{Placed, Reader, Section, as_table, check_name, elements, origin, text};
use crate::config::problem::Problem;
use crate::config::{Account, Endpoints, Folder, PathRoot, folders};
use crate::model::listing::Question;
use crate::model::{Mode, RemotePath};

impl Reader<'_> {
    pub(super) fn accounts(&mut self, list: Option<&Value>, usual: &Question) -> Vec<Account> {
        let mut names: HashMap<String, String> = HashMap::new();
        let mut accounts = Vec::new();
        for (i, value) in elements(list).iter().enumerate() {
            let section = Section {
                key: "account".to_owned(),
                path: format!("account[{i}]"),
                place: origin(Some(value)),
                table: as_table(value),
            };
            let account = self.account(&section, usual);
            let place = origin(section.table.and_then(|t| t.get("name")));
            // The name is a directory's name too, and some disks do not tell letters' case.
            if !account.name.is_empty()
                && let Some(first) = names.insert(account.name.to_lowercase(), place.clone())
            {
                let text = format!("the account `{}` is there already, in {first}", account.name);
                self.problems.push(Problem::new("account.name", place, text));
            }
            accounts.push(account);
        }
        accounts
    }

    /// The table `listing` in another one, over `usual`.
    fn question_in(&mut self, section: &Section<'_>, usual: &Question) -> Question {
        let table = section.table.and_then(|t| t.get("listing"));
        let section = Section {
            key: format!("{}.listing", section.key),
            path: format!("{}.listing", section.path),
            place: origin(table),
            table: table.and_then(as_table),
        };
        self.question(&section, usual)
    }

    fn account(&mut self, section: &Section<'_>, usual: &Question) -> Account {
        let name = self.required(section, "name", "\"personal\"", |t| check_name(t).map(|()| t.to_owned()));
        let filled = |t: &str| if t.is_empty() { Err("is empty".to_owned()) } else { Ok(t.to_owned()) };
        let app_key = self.text(section, "app_key", filled);
        let home = self.options.surroundings.home.clone();
        let look = self.options.look_at_disk;
        let credentials = self.text_or(section, "credentials", "keyring", |t| folders::credentials(t, &home, look));
        let path_root = self.text_or(section, "path_root", "home", |t| match t {
            "home" => Ok(PathRoot::Home),
            "root" => Ok(PathRoot::Root),
            id if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) => Ok(PathRoot::Namespace(id.to_owned())),
            other => Err(format!("`{other}` is unknown: write home, root or a namespace id (digits)")),
        });
        let select_user = self.text(section, "select_user", filled);
        let select_admin = self.text(section, "select_admin", filled);
        let budget = section.table.is_some_and(|t| t.contains_key("data_transport_budget"));
        let budget = budget.then(|| self.count(section, "data_transport_budget", 1, u64::MAX));
        let endpoints = section.table.and_then(|t| t.get("endpoints"));
        let endpoints = self.endpoints(&Section {
            key: format!("{}.endpoints", section.key),
            path: format!("{}.endpoints", section.path),
            place: origin(endpoints),
            table: endpoints.and_then(as_table),
        });
        let question = self.question_in(section, usual);
        let mut remotes = Vec::new();
        let mut found = Vec::new();
        for (i, value) in elements(section.table.and_then(|t| t.get("folder"))).iter().enumerate() {
            let section = Section {
                key: format!("{}.folder", section.key),
                path: format!("{}.folder[{i}]", section.path),
                place: origin(Some(value)),
                table: as_table(value),
            };
            found.extend(self.folder(&section, &mut remotes, &question));
        }
        folders::check_remotes(&remotes, self.problems);
        Account {
            name: name.unwrap_or_default(),
            app_key,
            credentials: credentials.unwrap_or_default(),
            path_root: path_root.unwrap_or(PathRoot::Home),
            select_user,
            select_admin,
            data_transport_budget: budget,
            endpoints,
            question,
            folders: found,
        }
    }

    fn endpoints(&mut self, section: &Section<'_>) -> Endpoints {
        let usual = Endpoints::default();
        let mut one =
            |name: &str, usual: &str| self.text_or(section, name, usual, folders::endpoint).unwrap_or_default();
        let (api, content) = (one("api", &usual.api), one("content", &usual.content));
        let (notify, web) = (one("notify", &usual.notify), one("web", &usual.web));
        let given = self.text(section, "ca_file", |t| Ok(t.to_owned()));
        let ca_file = self.keep_path(section, "ca_file", given);
        if let Some(path) = &ca_file
            && self.options.look_at_disk
            && let Err(text) = folders::readable_file(path)
        {
            let place = origin(section.table.and_then(|t| t.get("ca_file")));
            self.problems.push(Problem::new("account.endpoints.ca_file", place, text));
        }
        Endpoints { api, content, notify, web, ca_file }
    }

    fn folder(
        &mut self,
        section: &Section<'_>,
        remotes: &mut Vec<Placed<RemotePath>>,
        usual: &Question,
    ) -> Option<Folder> {
        let question = self.question_in(section, usual);
        let place = |name: &str| origin(section.table.and_then(|t| t.get(name)));
        let local = self.required(section, "local", "\"/home/me/Documents\"", |t| Ok(t.to_owned()));
        let local = self.keep_path(section, "local", local);
        if let Some(path) = &local {
            self.locals.push(Placed { place: place("local"), value: path.clone() });
        }
        let remote = self.required(section, "remote", "\"/Documents\"", |t| {
            RemotePath::parse(t).map_err(|error| format!("`{t}` is not a remote path: {error}"))
        });
        if let Some(path) = &remote {
            remotes.push(Placed { place: place("remote"), value: path.clone() });
        }
        let mode = self.text_or(section, "mode", "two-way", |t| {
            t.parse::<Mode>().map_err(|_| format!("`{t}` is not a mode: write backup, mirror, two-way or download"))
        });
        let ignore = self.field(section, "ignore", |kind| {
            let ValueKind::Array(list) = kind else { return Ok(Vec::new()) };
            list.iter().map(|v| text(&v.kind)).map(|p| folders::pattern(&p).map(|()| p)).collect()
        });
        let exclude = self.field(section, "exclude", |kind| {
            let ValueKind::Array(list) = kind else { return Ok(Vec::new()) };
            list.iter().map(|v| text(&v.kind)).map(|path| folders::excluded(&path)).collect()
        });
        let own_files = self.text_or(section, "ignore_files", "synced", |t| match t {
            "synced" => Ok(false),
            "local" => Ok(true),
            _ => Err(format!("`{t}` is nothing that becomes of .ferryboxignore files: write synced or local")),
        });
        let symlinks = self.text_or(section, "symlinks", "report", |t| match t {
            "report" => Ok(true),
            "ignore" => Ok(false),
            _ => Err(format!("`{t}` is no policy for symlinks: write report or ignore")),
        });
        Some(Folder {
            local: local?,
            remote: remote?,
            mode: mode?,
            ignore: ignore.unwrap_or_default(),
            exclude: exclude.unwrap_or_default(),
            own_ignore_files: own_files.unwrap_or_default(),
            report_symlinks: symlinks.unwrap_or(true),
            question,
        })
    }
}
