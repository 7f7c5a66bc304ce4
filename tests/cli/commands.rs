//! The commands as people and scripts meet them: help, exit codes, edits that keep comments, and the daemon at the other end of the socket.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use axum::routing::{get, post};
use ferrybox::control::{self, Page, Request};
use ferrybox::model::status::{
    AccountState, AccountStatus, Active, FolderState, FolderStatus, Pending, Problem, Rate, Status, SyncAnswer,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["docs", "photos"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join(".config/ferrybox/config.toml")
    }

    fn write(&self, toml: &str) {
        fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        fs::write(self.config(), toml.replace('@', self.path().to_str().unwrap())).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("ferrybox"));
        command.env_clear().env("HOME", self.path()).env("XDG_RUNTIME_DIR", self.path().join("run"));
        command.current_dir(self.path());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(&self.command().args(args).output().unwrap(), self.path())
    }

    /// As [`Self::run`], while this test answers on the socket.
    async fn ask(&self, args: &[&str]) -> Said {
        let mut command = self.command();
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        said(&output, self.path())
    }

    /// As [`Self::ask`], with this on standard input.
    async fn typed(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command();
        command.args(args).write_stdin(input.to_owned());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        said(&output, self.path())
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn said(output: &Output, home: &Path) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(home.to_str().unwrap(), "@");
    Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

const COMMANDS: [&[&str]; 19] = [
    &["run"],
    &["status"],
    &["sync"],
    &["pause"],
    &["resume"],
    &["problems"],
    &["conflicts"],
    &["history"],
    &["explain"],
    &["plan"],
    &["add"],
    &["remove"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["link"],
    &["unlink"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let said = home.run(&[command, &[flag]].concat());
            assert_eq!(said.code, 0, "{command:?}");
            assert!(said.out.contains("Example:\n  ferrybox "), "{command:?}: {}", said.out);
            assert!(said.out.contains("Exit codes") || command == ["config"], "{command:?}: {}", said.out);
        }
    }
    let said = home.run(&["--help"]);
    for part in ["Example:", "Exit codes:", "--config", "--log", "--quiet", "--version"] {
        assert!(said.out.contains(part), "{part}");
    }
    assert_eq!(home.run(&["--version"]).out, format!("ferrybox {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_on_the_command_line_are_64() {
    let home = Home::new();
    for args in [
        &[][..],
        &["fly"],
        &["add"],
        &["add", "docs"],
        &["status", "--loud"],
        &["config"],
        &["add", "docs", "/d", "--mode", "sync"],
    ] {
        let said = home.run(args);
        assert_eq!(said.code, 64, "{args:?}");
        assert!(said.out.is_empty() && !said.err.is_empty(), "{args:?}");
    }
    assert_eq!(home.run(&["--log", "loud", "config", "check"]).code, 64);
}

#[test]
fn without_a_daemon_status_says_how_to_start_it() {
    let home = Home::new();
    for args in
        [&["status"][..], &["status", "--json"], &["sync"], &["pause"], &["resume"], &["problems"], &["conflicts"]]
    {
        let said = home.run(args);
        assert_eq!(said.code, 4, "{args:?}");
        let expected = "ferrybox: no daemon runs (nothing answers at @/run/ferrybox/ferrybox.sock): start it with `ferrybox run`\n";
        assert_eq!((said.err.as_str(), said.out.as_str()), (expected, ""));
    }
    // A missing disk does not hide the status.
    home.write("[[account]]\nname = \"a\"\n[[account.folder]]\nlocal = \"@/gone\"\nremote = \"/d\"");
    assert_eq!(home.run(&["status"]).code, 4);
    assert_eq!(home.run(&["run"]).code, 64);
}

#[test]
fn run_without_anything_to_do_says_what_to_do() {
    let home = Home::new();
    let said = home.run(&["run", "--once"]);
    assert_eq!((said.code, said.err.as_str()), (64, "ferrybox: no account is configured: run `ferrybox link`\n"));
    home.write("[[account]]\nname = \"a\"\n");
    let said = home.run(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (64, "ferrybox: no folder is configured: run `ferrybox add LOCAL REMOTE`\n")
    );
}

const COMMENTED: &str = "# mine, do not touch
[[account]] # the only one
name = \"home\"   # short

# papers
[[account.folder]]
local = \"@/docs\" # here
remote = \"/Docs\"

[upload]
workers = 4 # slow line
";

#[test]
fn add_and_remove_keep_everything_else() {
    let home = Home::new();
    home.write(COMMENTED);
    fs::set_permissions(home.config(), fs::Permissions::from_mode(0o640)).unwrap();
    let said = home.run(&["add", "photos", "/Photos", "--mode", "mirror"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("No daemon runs; the next one"), "{}", said.out);
    let text = fs::read_to_string(home.config()).unwrap().replace(home.path().to_str().unwrap(), "@");
    insta::assert_snapshot!(text, @r#"
    # mine, do not touch
    [[account]] # the only one
    name = "home"   # short

    # papers
    [[account.folder]]
    local = "@/docs" # here
    remote = "/Docs"

    [[account.folder]]
    local = "@/photos"
    remote = "/Photos"
    mode = "mirror"

    [upload]
    workers = 4 # slow line
    "#);
    assert_eq!(fs::symlink_metadata(home.config()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(home.run(&["config", "check"]).code, 0);

    // By another way to the same place.
    symlink(home.path().join("photos"), home.path().join("link")).unwrap();
    assert_eq!(home.run(&["remove", "link"]).code, 0);
    let text = fs::read_to_string(home.config()).unwrap().replace(home.path().to_str().unwrap(), "@");
    assert_eq!(text, COMMENTED);
    let said = home.run(&["remove", "photos"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (64, "ferrybox: @/photos is no folder in @/.config/ferrybox/config.toml\n")
    );
    // Nothing is left behind beside it.
    assert_eq!(fs::read_dir(home.config().parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn add_makes_the_file_and_refuses_what_would_not_load() {
    let home = Home::new();
    let said = home.run(&["add", "docs", "/Docs"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("run `ferrybox link personal`"), "{}", said.out);
    assert_eq!(fs::symlink_metadata(home.config()).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read_to_string(home.config()).unwrap();
    // V13: nothing says where a token is before there is one.
    assert!(!before.contains("credentials"), "{before}");
    let said = home.run(&["config", "check"]);
    assert!(!said.out.contains("is right"), "{}", said.out);
    assert!(said.out.contains("account `personal`"), "{}", said.out);
    for (args, sentence) in [
        (&["add", "gone", "/Gone"][..], "@/gone does not exist"),
        (&["add", "/etc", "/Etc"], "/etc is a directory of the system"),
        (&["add", "docs", "/Other"], "@/docs is the same folder as @/docs"),
        (&["add", "photos", "/docs/below"], "/docs/below lies inside /Docs"),
        (&["add", ".", "/Everything"], "is your home directory"),
        (&["add", "photos", "Photos"], "Photos is not a path in Dropbox"),
        (&["add", "photos", "/Photos", "--account", "work"], "there is no account `work`"),
    ] {
        let said = home.run(args);
        assert_eq!(said.code, 64, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(sentence), "{args:?}: {}", said.err);
        assert!(!said.err.contains(".config.toml."), "{args:?}: {}", said.err);
        // V13: what was never written is on no line of the file.
        assert!(
            !said.err.contains("config.toml line") || said.err.contains(" in @/.config/ferrybox/config.toml line"),
            "{}",
            said.err
        );
    }
    assert_eq!(fs::read_to_string(home.config()).unwrap(), before);
    // A folder whose disk is gone can still be taken out.
    fs::remove_dir(home.path().join("docs")).unwrap();
    assert_eq!(home.run(&["remove", "docs"]).code, 0);
    let said = home.run(&["--config", "new/c.toml", "add", "photos", "/Photos"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(home.run(&["--config", "new/c.toml", "config", "check"]).code, 0);
}

#[test]
fn completions_and_manual_pages() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = home.run(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("ferrybox"), "{shell}");
    }
    assert!(home.run(&["man"]).out.contains(".TH ferrybox 1"));
    fs::create_dir(home.path().join("man")).unwrap();
    assert_eq!(home.run(&["man", "--dir", "man"]).code, 0);
    assert!(home.path().join("man/ferrybox-run.1").try_exists().unwrap());
}

/// Answers on the home's socket until it is dropped.
fn daemon(home: &Home) -> JoinSet<()> {
    let (tx, mut rx) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    let socket = home.path().join("run/ferrybox/ferrybox.sock");
    tasks.spawn(control::serve(&socket, tx, CancellationToken::new()).unwrap());
    let docs = home.path().join("docs").to_str().unwrap().to_owned();
    tasks.spawn(async move {
        while let Some(request) = rx.recv().await {
            match request {
                Request::Status(reply) => drop(reply.send(status(&docs))),
                Request::Sync { path, wait, reply, .. } => {
                    let outcome = match (wait, path.as_deref().and_then(Path::file_name).and_then(|n| n.to_str())) {
                        (false, _) => "accepted",
                        (true, Some("bad")) => "problems",
                        (true, Some("far")) => "unfinished",
                        (true, _) => "in_sync",
                    };
                    let reason = (outcome == "unfinished").then(|| "offline".to_owned());
                    let answer = SyncAnswer { outcome: outcome.to_owned(), problems: 2, reason, sent_again: 0 };
                    drop(reply.send(Ok(answer)));
                }
                Request::Problems { offset, reply, .. } => {
                    // Two pages.
                    let items = if offset < 2 { vec![problem(offset)] } else { Vec::new() };
                    drop(reply.send(Page { items, offset, total: 2 }));
                }
                _ => {}
            }
        }
    });
    tasks
}

fn problem(number: u64) -> Problem {
    Problem {
        folder: "/d".to_owned(),
        path: format!("{number}\u{1b}[2J"),
        code: "unreadable".to_owned(),
        text: "cannot be read".to_owned(),
        since: "2000-01-01T00:00:00Z".to_owned(),
        next_try: None,
        attempts: 1,
    }
}

fn status(docs: &str) -> Status {
    let folder = FolderStatus {
        local: docs.to_owned(),
        remote: "/Docs".to_owned(),
        mode: "backup".to_owned(),
        state: FolderState::Syncing,
        files: 1234,
        bytes: 3 << 20,
        pending: Pending { uploads: 2, bytes: 1 << 20, ..Pending::default() },
        rate: Rate { up_bytes_s: 1 << 19, ..Rate::default() },
        eta_s: Some(2),
        active: vec![Active { path: "a\u{1b}[2J\nb".to_owned(), direction: "up".to_owned(), done: 1, total: 4 }],
        problems: 1,
        ..FolderStatus::default()
    };
    let account = AccountStatus {
        name: "home".to_owned(),
        state: AccountState::Offline,
        reason: Some("Dropbox cannot be reached: look at the network".to_owned()),
        folders: vec![folder],
        ..AccountStatus::default()
    };
    Status { version: "0.1.0".to_owned(), pid: 7, uptime_s: 62, accounts: vec![account] }
}

#[tokio::test]
async fn status_is_plain_and_escaped_where_no_terminal_is() {
    let home = Home::new();
    let _daemon = daemon(&home);
    let said = home.ask(&["status"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out, @r#"
    ferrybox 0.1.0, running for 1m 2s (pid 7)

    home  offline
      why           Dropbox cannot be reached: look at the network
      @/docs -> /Docs (backup)
        state       syncing
        in sync     1,234 files, 3.0 MiB
        to do       2 files to upload, 1.0 MiB, 512.0 KiB/s up, 2s left
        uploading   a\u{1b}[2J\nb 25% of 4 B
        problems    1 path: `ferrybox problems` lists them
    "#);
    let said = home.ask(&["status", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["accounts"][0]["folders"][0]["pending"]["uploads"], 2);
}

#[tokio::test]
async fn problems_come_in_pages_and_are_escaped() {
    let home = Home::new();
    let _daemon = daemon(&home);
    let said = home.ask(&["problems"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("/d/0\\u{1b}[2J") && said.out.contains("/d/1\\u{1b}[2J"), "{}", said.out);
    assert!(!said.out.contains('\u{1b}'));
    let said = home.ask(&["problems", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["items"].as_array().unwrap().len(), 2);
    assert_eq!(json["total"], 2);
}

#[tokio::test]
async fn sync_tells_the_outcome_by_its_code() {
    let home = Home::new();
    home.write("[[account]]\nname = \"home\"\n[[account.folder]]\nlocal = \"@/docs\"\nremote = \"/Docs\"\n");
    symlink(home.path().join("docs"), home.path().join("way")).unwrap();
    let _daemon = daemon(&home);
    for (args, code, text) in [
        (&["sync"][..], 0, "the daemon looks again\n"),
        (&["sync", "--wait"], 0, "in sync\n"),
        (&["sync", "docs/x", "--wait"], 0, "in sync\n"),
        (&["sync", "docs/bad", "--wait"], 3, "ferrybox: finished, but 2 paths have problems (`ferrybox problems`)\n"),
        (&["sync", "way/far", "--wait"], 4, "ferrybox: could not finish: offline\n"),
        (&["sync", "photos/x"], 64, "ferrybox: photos/x lies in no synced folder (they are: @/docs)\n"),
        (&["sync", "docs/../photos/x"], 64, "ferrybox: docs/../photos/x lies in no synced folder (they are: @/docs)\n"),
        (&["--quiet", "sync"], 0, ""),
    ] {
        let said = home.ask(args).await;
        assert_eq!((said.code, format!("{}{}", said.out, said.err)), (code, text.to_owned()), "{args:?}");
    }
}

/// Dropbox as far as linking needs it.
async fn dropbox() -> (JoinSet<()>, String) {
    let token = post(|body: String| async move {
        let good = body.contains("grant_type=authorization_code")
            && body.contains("code=the-code")
            && body.contains("code_verifier=");
        let reply = if good {
            serde_json::json!({"access_token": "canary-access", "refresh_token": "canary-refresh", "expires_in": 14400,
                "account_id": "dbid:x", "token_type": "bearer", "scope": "account_info.read files.content.write"})
        } else {
            serde_json::json!({"error": "invalid_grant", "error_description": "code doesn't exist or has expired"})
        };
        let code = if good { axum::http::StatusCode::OK } else { axum::http::StatusCode::BAD_REQUEST };
        (code, axum::Json(reply))
    });
    let account = post(|| async {
        axum::Json(
            serde_json::json!({"account_id": "dbid:x", "email": "ann@example.com", "name": {"display_name": "Ann"},
            "root_info": {".tag": "user", "root_namespace_id": "1", "home_namespace_id": "1"}}),
        )
    });
    let revoke = post(|| async { "null" });
    let app = axum::Router::new()
        .route("/oauth2/token", token)
        .route("/2/users/get_current_account", account)
        .route("/2/auth/token/revoke", revoke)
        .route("/", get(|| async { "" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (tasks, address)
}

#[tokio::test]
async fn link_shows_whose_account_it_is_and_hides_the_token() {
    let home = Home::new();
    let (_dropbox, address) = dropbox().await;
    let endpoints: String = ["api", "content", "notify", "web"].map(|e| format!("{e} = \"{address}\"\n")).concat();
    home.write(&format!("[[account]]\nname = \"home\" # keep\n[account.endpoints]\n{endpoints}"));
    let said = home.ask(&["link"]).await;
    assert_eq!(said.code, 64);
    assert!(said.err.contains("--app-key KEY"), "{}", said.err);

    // V12: a code is good only for the process, or the link, that showed the address.
    let said = home.ask(&["link", "--app-key", "key", "--code", "the-code"]).await;
    assert_eq!(said.code, 64);
    assert!(said.err.contains("no link of `home` was begun"), "{}", said.err);
    let said = home.typed(&["link", "--app-key", "key"], "").await;
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("`ferrybox link home --code CODE`"), "{}", said.err);
    let said = home.ask(&["link", "--code", "wrong"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did not accept that code") && !said.err.contains("any more"), "{}", said.err);

    let said = home.typed(&["link", "--app-key", "key"], "mistyped\nthe-code\n").await;
    assert!(said.err.contains("did not accept that code (invalid_grant"), "{}", said.err);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains(&format!("{address}/oauth2/authorize?client_id=key&")), "{}", said.out);
    assert!(said.out.contains("Linked home to the account of Ann <ann@example.com>.\n"), "{}", said.out);
    assert!(
        said.err.contains("the app lacks files.metadata.read, files.metadata.write, files.content.read"),
        "{}",
        said.err
    );
    assert!(!said.out.contains("canary") && !said.err.contains("canary"));
    // There is no keyring here, so the token is in a file, and the configuration says so.
    let token = home.path().join(".local/state/ferrybox/home/credentials.json");
    assert_eq!(fs::symlink_metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&token).unwrap().contains("canary-refresh"));
    let config = fs::read_to_string(home.config()).unwrap();
    assert!(config.contains("name = \"home\" # keep\n"), "{config}");
    assert!(config.contains("app_key = \"key\"") && config.contains("credentials = \"file:"), "{config}");
    assert!(!config.contains("canary"));
    assert!(!home.ask(&["config", "show"]).await.out.contains("canary"));

    let said = home.ask(&["unlink", "work"]).await;
    assert_eq!((said.code, said.err.as_str()), (64, "ferrybox: there is no account `work` (there is home)\n"));
    let said = home.ask(&["unlink", "home", "--forget"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!token.try_exists().unwrap());
}
