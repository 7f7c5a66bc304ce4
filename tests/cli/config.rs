//! Wrong configurations, through the program itself: each is refused with one exact sentence that names key, file and line, and exit
//! code 64. T1 and T2 of docs/faults.md.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A home with a few directories, and the program in it.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["docs", "docs/inner", "photos", "ca"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("file"), "x").unwrap();
        symlink(dir.path().join("docs/inner"), dir.path().join("shortcut")).unwrap();
        fs::write(dir.path().join("token"), "{}").unwrap();
        fs::set_permissions(dir.path().join("token"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink(dir.path().join("token"), dir.path().join("token-link")).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("ferrybox"));
        command.env_clear().env("HOME", self.path()).env("XDG_RUNTIME_DIR", self.path().join("run"));
        command.current_dir(self.path());
        command
    }

    /// Writes `toml` (with `@` for the home) as the configuration.
    fn write(&self, toml: &str) {
        let file = self.path().join("c.toml");
        fs::write(&file, toml.replace('@', self.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn check(&self) -> Output {
        self.command().args(["--config", "c.toml", "config", "check"]).output().unwrap()
    }

    /// What is said, with the home as `@` and without the program's name.
    fn sentences(&self, output: &Output) -> Vec<String> {
        let text = String::from_utf8(output.stderr.clone()).unwrap().replace(self.path().to_str().unwrap(), "@");
        text.lines().map(|l| l.strip_prefix("ferrybox: ").unwrap().to_owned()).collect()
    }
}

/// One account with one folder, and room for more keys of each.
fn account(keys: &str, folder: &str) -> String {
    format!("[[account]]\nname = \"a\"\n{keys}\n[[account.folder]]\nlocal = \"@/docs\"\nremote = \"/d\"\n{folder}\n")
}

#[test]
fn t2_every_mistake_is_one_sentence_with_key_file_and_line() {
    let second = |local: &str, remote: &str| {
        account("", &format!("[[account.folder]]\nlocal = \"{local}\"\nremote = \"{remote}\""))
    };
    let folder =
        |local: &str| format!("[[account]]\nname = \"a\"\n[[account.folder]]\nlocal = {local}\nremote = \"/d\"");
    let table: &[(String, &str)] = &[
        // Keys.
        ("\n[upload]\nworker = 4".into(), "unknown key upload.worker in c.toml line 3: did you mean upload.workers?"),
        ("[uplaod]\nworkers = 4".into(), "unknown key uplaod in c.toml line 1: did you mean upload?"),
        (
            "[upload]\nmax_entries = 4".into(),
            "unknown key upload.max_entries in c.toml line 2: did you mean commit.max_entries?",
        ),
        (
            account("", "colour = []"),
            "unknown key account.folder.colour in c.toml line 7: did you mean account.folder.exclude? The keys here are local, remote, mode, ignore, exclude, ignore_files, symlinks, listing",
        ),
        (
            account("", "exclude = [\"/\"]"),
            "account.folder.exclude in c.toml line 7: `/` is the whole folder: remove the folder, or name something in it",
        ),
        (
            account("", "symlinks = \"follow\""),
            "account.folder.symlinks in c.toml line 7: `follow` is no policy for symlinks: write report or ignore",
        ),
        (account("apikey = \"x\"", ""), "unknown key account.apikey in c.toml line 3: did you mean account.app_key?"),
        (
            "verbose = true".into(),
            "unknown key verbose in c.toml line 1: did you mean daemon? The keys here are daemon, account, upload, commit, watch, listing, safety, log",
        ),
        // Types.
        (
            "[upload]\nworkers = \"8\"".into(),
            "upload.workers in c.toml line 2: a string where a whole number such as 8 is expected",
        ),
        (
            "[upload]\nworkers = -1".into(),
            "upload.workers in c.toml line 2: -1 where a whole number such as 8 is expected",
        ),
        (
            "[upload]\nworkers = 1.5".into(),
            "upload.workers in c.toml line 2: a number with a decimal point where a whole number such as 8 is expected",
        ),
        (
            "[watch]\nsettle = 1".into(),
            "watch.settle in c.toml line 2: a whole number where a duration such as \"30s\" is expected",
        ),
        ("[log]\npaths = \"yes\"".into(), "log.paths in c.toml line 2: a string where true or false is expected"),
        ("upload = 3".into(), "upload in c.toml line 1: a whole number where a table is expected"),
        (
            "[account]\nname = \"a\"".into(),
            "account in c.toml line 1: a table where a list of tables, each under its own [[...]] line is expected",
        ),
        (
            account("", "ignore = [1]"),
            "account.folder.ignore in c.toml line 7: a list where a list of strings such as [\"*.tmp\"] is expected",
        ),
        (folder("5"), "account.folder.local in c.toml line 4: a whole number where a path in quotes is expected"),
        // Folders.
        (
            folder("\"docs\""),
            "account.folder.local in c.toml line 4: docs is relative: write the whole path, from / or ~",
        ),
        (
            folder("\"\""),
            "account.folder.local in c.toml line 4: is empty: write a whole path such as /home/me/Documents",
        ),
        (
            folder("\"~other/docs\""),
            "account.folder.local in c.toml line 4: ~other/docs: only ~ itself is known, not another user's ~name",
        ),
        (
            folder("\"~/gone\""),
            "account.folder.local in c.toml line 4: @/gone does not exist: make it, or mount the disk that holds it",
        ),
        (folder("\"@/file\""), "account.folder.local in c.toml line 4: @/file is not a directory"),
        (folder("\"/\""), "account.folder.local in c.toml line 4: / is the whole disk: name a folder below it"),
        (
            folder("\"@/docs\"\nmode = \"sync\""),
            "account.folder.mode in c.toml line 5: `sync` is not a mode: write backup, mirror, two-way or download",
        ),
        (
            "[[account]]\nname = \"a\"\n[[account.folder]]\nremote = \"/d\"".into(),
            "account.folder.local in c.toml line 3: is missing: write local = \"/home/me/Documents\"",
        ),
        (
            "[[account]]\nname = \"a\"\n[[account.folder]]\nlocal = \"@/docs\"".into(),
            "account.folder.remote in c.toml line 3: is missing: write remote = \"/Documents\"",
        ),
        (
            second("@/docs/inner", "/e"),
            "account.folder.local in c.toml line 8: @/docs/inner lies inside @/docs, which is a folder of its own in c.toml line 5",
        ),
        (
            second("@/shortcut", "/e"),
            "account.folder.local in c.toml line 8: @/shortcut lies inside @/docs, which is a folder of its own in c.toml line 5",
        ),
        (
            second("@/photos/../docs", "/e"),
            "account.folder.local in c.toml line 8: @/photos/../docs is the same folder as @/docs in c.toml line 5",
        ),
        (
            format!(
                "{}[[account]]\nname = \"b\"\n[[account.folder]]\nlocal = \"@/docs/inner\"\nremote = \"/d\"",
                account("", "")
            ),
            "account.folder.local in c.toml line 11: @/docs/inner lies inside @/docs, which is a folder of its own in c.toml line 5",
        ),
        (
            second("@/photos", "/D"),
            "account.folder.remote in c.toml line 9: /D is the same remote folder as in c.toml line 6",
        ),
        (
            second("@/photos", "/d/x/"),
            "account.folder.remote in c.toml line 9: /d/x lies inside /d, which is a folder of its own in c.toml line 6",
        ),
        (
            second("@/photos", "/"),
            "account.folder.remote in c.toml line 6: /d lies inside /, which is a folder of its own in c.toml line 9",
        ),
        (
            second("@/photos", "e"),
            "account.folder.remote in c.toml line 9: `e` is not a remote path: a remote path that does not begin with `/`",
        ),
        (
            second("@/photos", "/e/../f"),
            "account.folder.remote in c.toml line 9: `/e/../f` is not a remote path: a path component `.` or `..`",
        ),
        (
            account("", "ignore = [\"a\", \"[z-a]\"]"),
            "account.folder.ignore in c.toml line 7: `[z-a]` is not a pattern as in .gitignore: error parsing glob '[z-a]': invalid range; 'z' > 'a'",
        ),
        (account("", "ignore = [\" \"]"), "account.folder.ignore in c.toml line 7: a pattern is empty"),
        // The state directory.
        (
            format!("[daemon]\nstate_dir = \"@/docs/state\"\n{}", account("", "")),
            "account.folder.local in c.toml line 7: the state directory @/docs/state lies inside @/docs: set daemon.state_dir elsewhere",
        ),
        (
            format!("[daemon]\nstate_dir = \"@\"\n{}", account("", "")),
            "account.folder.local in c.toml line 7: @/docs lies inside the state directory @: choose another folder",
        ),
        (
            "[daemon]\nstate_dir = \"state\"".into(),
            "daemon.state_dir in c.toml line 2: state is relative: write the whole path, from / or ~",
        ),
        // Accounts.
        (
            "[[account]]\ncredentials = \"keyring\"".into(),
            "account.name in c.toml line 1: is missing: write name = \"personal\"",
        ),
        (
            "[[account]]\nname = \"a/b\"".into(),
            "account.name in c.toml line 2: `a/b` is not a name: use letters, digits, `.`, `_` and `-`, a letter or digit first",
        ),
        (
            "[[account]]\nname = \"..\"".into(),
            "account.name in c.toml line 2: `..` is not a name: use letters, digits, `.`, `_` and `-`, a letter or digit first",
        ),
        ("[[account]]\nname = \"\"".into(), "account.name in c.toml line 2: an account's name has 1 to 64 characters"),
        (
            "[[account]]\nname = \"a\"\n[[account]]\nname = \"A\"".into(),
            "account.name in c.toml line 4: the account `A` is there already, in c.toml line 2",
        ),
        (
            account("path_root = \"team\"", ""),
            "account.path_root in c.toml line 3: `team` is unknown: write home, root or a namespace id (digits)",
        ),
        (
            account("data_transport_budget = 0", ""),
            "account.data_transport_budget in c.toml line 3: 0 is not from 1 to 18446744073709551615",
        ),
        (
            account("credentials = \"sl.secret\"", ""),
            "account.credentials in c.toml line 3: this is not a place for credentials: write keyring, file:PATH, systemd:NAME or env:NAME",
        ),
        (
            account("credentials = \"file:token\"", ""),
            "account.credentials in c.toml line 3: token is relative: write the whole path, from / or ~",
        ),
        (
            account("credentials = \"file:~/token\"", ""),
            "account.credentials in c.toml line 3: @/token can be read by other users (mode 0640): run `chmod 600` on it",
        ),
        (
            account("credentials = \"file:@/token-link\"", ""),
            "account.credentials in c.toml line 3: @/token-link is a symbolic link: name the file itself",
        ),
        (
            account("credentials = \"env:\"", ""),
            "account.credentials in c.toml line 3: env: is followed by a variable's name, such as env:DROPBOX_CREDENTIALS",
        ),
        (
            account("endpoints.api = \"http://example.com\"", ""),
            "account.endpoints.api in c.toml line 3: http://example.com would send tokens unencrypted: write https (http only to this very host)",
        ),
        (
            account("endpoints.web = \"ftp://example.com\"", ""),
            "account.endpoints.web in c.toml line 3: ftp://example.com is neither https nor, to this very host, http",
        ),
        (
            account("endpoints.api = \"dropbox\"", ""),
            "account.endpoints.api in c.toml line 3: `dropbox` is not an address: relative URL without a base",
        ),
        (
            account("endpoints.ca_file = \"@/ca/none.pem\"", ""),
            "account.endpoints.ca_file in c.toml line 3: @/ca/none.pem does not exist",
        ),
        // Values.
        ("[upload]\nworkers = 0".into(), "upload.workers in c.toml line 2: 0 is not from 1 to 256"),
        (
            "[upload]\nchunk_size = \"0\"".into(),
            "upload.chunk_size in c.toml line 2: 0 is not a multiple of 4 MiB from 4 MiB to 128 MiB",
        ),
        (
            "[upload]\nchunk_size = \"6 MiB\"".into(),
            "upload.chunk_size in c.toml line 2: 6 MiB is not a multiple of 4 MiB from 4 MiB to 128 MiB",
        ),
        (
            "[upload]\nchunk_size = \"132 MiB\"".into(),
            "upload.chunk_size in c.toml line 2: 132 MiB is not a multiple of 4 MiB from 4 MiB to 128 MiB",
        ),
        (
            "[upload]\nchunk_size = \"8 QiB\"".into(),
            "upload.chunk_size in c.toml line 2: `8 QiB` is not a size: write a number and a unit, such as \"16 MiB\"",
        ),
        (
            "[upload]\nbandwidth = \"fast\"".into(),
            "upload.bandwidth in c.toml line 2: `fast` is not a rate: write \"unlimited\" or a rate such as \"2 MiB/s\"",
        ),
        (
            "[upload]\nbandwidth = \"08:00,1M 18:00,off\"".into(),
            "upload.bandwidth in c.toml line 2: timetables are not in this version; write \"unlimited\" or a rate such as \"2 MiB/s\"",
        ),
        (
            "[upload]\nsession_lifetime = \"soon\"".into(),
            "upload.session_lifetime in c.toml line 2: `soon` is not a duration: write a number and one of ms, s, m, h, such as \"30s\"",
        ),
        ("[watch]\nrescan = \"0s\"".into(), "watch.rescan in c.toml line 2: 0s is too short: at least 1s"),
        ("[commit]\nmax_entries = 1001".into(), "commit.max_entries in c.toml line 2: 1001 is not from 1 to 1000"),
        (
            "[commit]\nroute = \"finish\"".into(),
            "commit.route in c.toml line 2: `finish` is unknown: write finish_batch or finish_batch_v2",
        ),
        (
            "[commit]\nlone_file = \"v2\"".into(),
            "commit.lone_file in c.toml line 2: `v2` is unknown: write batch or finish",
        ),
        (
            "[safety]\nmax_deletion_share = \"120%\"".into(),
            "safety.max_deletion_share in c.toml line 2: `120%` is not a percentage from 0% to 100%, such as \"25%\"",
        ),
        (
            "[log]\nlevel = \"loud\"".into(),
            "log.level in c.toml line 2: `loud` is not a level: write error, warn, info, debug or trace, or such as \"info,ferrybox=debug\"",
        ),
        // Not TOML at all.
        (
            "[upload]\nworkers = ".into(),
            "c.toml line 2, column 11: this is not TOML: string values must be quoted, expected literal string",
        ),
    ];
    let home = Home::new();
    let mut wrong = Vec::new();
    for (toml, expected) in table {
        home.write(toml);
        let output = home.check();
        let said = home.sentences(&output);
        if said != [*expected] || output.status.code() != Some(64) {
            wrong.push(format!("{toml}\n  expected: {expected}\n  said:     {}\n", said.join("\n            ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_listed_at_once_in_the_order_of_lines() {
    let home = Home::new();
    home.write("[upload]\nworkers = 0\nchunk = 3\n[watch]\nsettle = \"x\"\n[[account]]\n[[account.folder]]\nlocal = \"d\"\nremote = \"/\"");
    let output = home.check();
    assert_eq!(output.status.code(), Some(64));
    let keys: Vec<String> = home.sentences(&output).iter().map(|s| s.split_once(':').unwrap().0.to_owned()).collect();
    assert_eq!(
        keys,
        [
            "upload.workers in c.toml line 2",
            "unknown key upload.chunk in c.toml line 3",
            "watch.settle in c.toml line 5",
            "account.name in c.toml line 6",
            "account.folder.local in c.toml line 8",
        ]
    );
}

#[test]
fn the_home_directory_itself_is_refused() {
    let home = Home::new();
    home.write("[daemon]\nstate_dir = \"/var/tmp/ferrybox-test-state\"\n[[account]]\nname = \"a\"\n[[account.folder]]\nlocal = \"~\"\nremote = \"/d\"");
    assert_eq!(
        home.sentences(&home.check()),
        [
            "account.folder.local in c.toml line 6: @ is your home directory, with keys and caches in it: name a folder below it"
        ]
    );
}

#[test]
fn t1_a_configuration_that_others_can_write_is_refused() {
    let home = Home::new();
    for mode in [0o622, 0o602, 0o666] {
        home.write("");
        fs::set_permissions(home.path().join("c.toml"), fs::Permissions::from_mode(mode)).unwrap();
        let output = home.check();
        assert_eq!(output.status.code(), Some(64));
        let expected = format!("c.toml: can be written by other users (mode {mode:04o}): run `chmod go-w` on it");
        assert_eq!(home.sentences(&output), [expected]);
    }
}

#[test]
fn variables_are_a_layer_and_are_checked_as_one() {
    let home = Home::new();
    home.write("[upload]\nworkers = 2");
    let run = |name: &str, value: &str| {
        let mut command = home.command();
        command.env(name, value).args(["--config", "c.toml", "config", "show", "--json"]).output().unwrap()
    };
    let output = run("FERRYBOX__UPLOAD__WORKERS", "3");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let workers = shown.as_array().unwrap().iter().find(|s| s["key"] == "upload.workers").unwrap();
    assert_eq!(workers["value"], 3);
    assert_eq!(workers["set_in"], "environment variable FERRYBOX__UPLOAD__WORKERS");
    for (name, value, expected) in [
        (
            "FERRYBOX__UPLOAD__WORKER",
            "3",
            "unknown key upload.worker in environment variable FERRYBOX__UPLOAD__WORKER: did you mean upload.workers, \
             which is FERRYBOX__UPLOAD__WORKERS?",
        ),
        (
            "FERRYBOX__UPLOAD__WORKERS",
            "many",
            "upload.workers in environment variable FERRYBOX__UPLOAD__WORKERS: \"many\" where a whole number such as 8 is expected",
        ),
        (
            "FERRYBOX__UPLOAD__WORKERS",
            "0",
            "upload.workers in environment variable FERRYBOX__UPLOAD__WORKERS: 0 is not from 1 to 256",
        ),
        (
            "FERRYBOX__ACCOUNT__0__NAME",
            "x",
            "account.0.name in environment variable FERRYBOX__ACCOUNT__0__NAME: accounts and their folders are set in a file",
        ),
    ] {
        let output = run(name, value);
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(home.sentences(&output), [expected]);
    }
}

#[test]
fn every_value_shows_where_it_was_set() {
    let home = Home::new();
    fs::create_dir_all(home.path().join(".config/ferrybox")).unwrap();
    fs::write(home.path().join(".config/ferrybox/config.toml"), "[watch]\nsettle = \"2s\"\n").unwrap();
    let output = home.command().args(["--log", "debug", "config", "show"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap_or_default().to_owned();
    let file = home.path().join(".config/ferrybox/config.toml");
    assert!(line("watch.settle = \"2s\"").ends_with(&format!("# {} line 2", file.display())), "{text}");
    assert!(line("watch.rescan = \"1h\"").ends_with("# the built-in defaults"), "{text}");
    assert!(line("log.level = \"debug\"").ends_with("# option --log"), "{text}");
    let socket = home.path().join("run/ferrybox/ferrybox.sock");
    assert!(line("daemon.socket").contains(socket.to_str().unwrap()), "{text}");
}

#[test]
fn the_example_loads_and_names_every_key_with_its_default() {
    let home = Home::new();
    fs::create_dir(home.path().join("Documents")).unwrap();
    let example = include_str!("../../config/example.toml");
    home.write(example);
    let output = home.check();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    // The same with every commented key switched on: each is known and its value is right.
    let is_key =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '`']));
    let lines = example.lines().map(|line| match line.strip_prefix("# ") {
        Some(code) if is_key(code) && !code.starts_with("ca_file") => code,
        _ => line,
    });
    let whole: String = lines.map(|l| format!("{l}\n")).collect();
    home.write(&whole);
    let output = home.command().args(["--config", "c.toml", "config", "show", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for setting in &shown {
        assert_ne!(setting["set_in"], "the built-in defaults", "{setting} is not in the example");
    }
    // And what the example calls a default is the default.
    home.write("");
    let output = home.command().args(["--config", "c.toml", "config", "show", "--json"]).output().unwrap();
    let defaults: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for default in defaults.iter().filter(|d| !d["key"].as_str().unwrap().starts_with("daemon.")) {
        let in_example = shown.iter().find(|s| s["key"] == default["key"]).unwrap();
        assert_eq!(in_example["value"], default["value"], "{}", default["key"]);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let home = Home::new();
    let run = |file: &str| home.command().args(["--config", file, "config", "check"]).output().unwrap();
    let output = run("none.toml");
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(home.sentences(&output), ["none.toml: there is no such file"]);
    assert_eq!(home.sentences(&run("docs")), ["docs: is not a file"]);
    fs::write(home.path().join("c.toml"), b"\n\xff").unwrap();
    assert_eq!(home.sentences(&home.check()), ["c.toml line 2: is not UTF-8 text"]);
}

/// S8, T5: nothing from a file steers the terminal.
#[test]
fn control_characters_are_escaped() {
    let home = Home::new();
    home.write("\"a\\u001b[2J\\nb\" = 1");
    let said = home.sentences(&home.check());
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("unknown key a\\u{1b}[2J\\nb in c.toml line 1: did you mean "), "{said:?}");
}
