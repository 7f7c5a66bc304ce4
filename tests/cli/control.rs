//! The socket as any local program sees it. Group S of docs/faults.md.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ferrybox::control::{self, ControlError, Entries, Page, Request};
use ferrybox::model::api::PauseAnswer;
use ferrybox::model::status::{
    AccountState, AccountStatus, Active, Commit, DataTransport, FolderState, FolderStatus, Health, Pending, Problem,
    Rate, RemoteCache, Space, Status, SyncAnswer,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A socket with somebody behind it who answers.
struct Served {
    dir: TempDir,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    /// How many clients wait for the end of a sync.
    waiting: watch::Receiver<usize>,
}

impl Served {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let cancel = CancellationToken::new();
        let (tx, mut rx) = mpsc::channel(8);
        let (told, waiting) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(control::serve(&dir.path().join("run/f.sock"), tx, cancel.clone()).unwrap());
        tasks.spawn(async move {
            let mut kept = Vec::new();
            while let Some(request) = rx.recv().await {
                match request {
                    Request::Status(reply) => drop(reply.send(status())),
                    Request::Health(reply) => {
                        drop(reply.send(Health {
                            ok: false,
                            reason: Some("personal: offline".to_owned()),
                            problems: 0,
                        }));
                    }
                    Request::Sync { wait: true, reply, .. } => {
                        kept.push(reply);
                        told.send_replace(kept.len());
                    }
                    Request::Sync { path: Some(path), reply, .. } => {
                        drop(reply.send(Err(format!("no folder holds {}", path.display()))));
                    }
                    Request::Sync { reply, .. } => {
                        let answer =
                            SyncAnswer { outcome: "accepted".to_owned(), problems: 0, reason: None, sent_again: 0 };
                        drop(reply.send(Ok(answer)));
                    }
                    Request::Entries { what, reply } => {
                        let next = what.limit.map(|limit| format!("/{limit}"));
                        drop(reply.send(Ok(Entries { items: Vec::new(), next, complete: true })));
                    }
                    Request::Problems { offset, limit, reply } => {
                        drop(reply.send(Page { items: vec![problem(limit)], offset, total: 7 }));
                    }
                    Request::Pause { account: Some(name), reply, .. } => {
                        drop(reply.send(Err(format!("there is no account {name}"))));
                    }
                    Request::Pause { account: None, time, reply } => {
                        let until = time.map(|time| time.as_secs().to_string());
                        let account = "personal".to_owned();
                        drop(reply.send(Ok(vec![PauseAnswer { account, paused: true, until, changed: true }])));
                    }
                    _ => {}
                }
            }
        });
        Self { dir, cancel, tasks, waiting }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/f.sock")
    }

    /// Sends these bytes and reads what comes back, off the runtime's threads.
    async fn raw(&self, bytes: Vec<u8>) -> String {
        let socket = self.socket();
        tokio::task::spawn_blocking(move || exchange(&socket, &bytes)).await.unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String, serde_json::Value) {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let reply = self.raw(request.into_bytes()).await;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|l| l.strip_prefix("content-type: ")).unwrap_or_default().to_owned();
        (code, kind, serde_json::from_str(body).unwrap_or_default())
    }
}

fn exchange(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The daemon may hang up while we still send.
    drop(stream.write_all(bytes));
    let mut reply = Vec::new();
    drop(stream.read_to_end(&mut reply));
    String::from_utf8_lossy(&reply).into_owned()
}

fn problem(attempts: u64) -> Problem {
    Problem {
        folder: "/home/a/Documents".to_owned(),
        path: "a\u{1b}.txt".to_owned(),
        code: "unreadable".to_owned(),
        text: "cannot be read: run chmod u+r on it".to_owned(),
        since: "2026-11-21T12:00:00Z".to_owned(),
        next_try: None,
        attempts: u32::try_from(attempts).unwrap(),
    }
}

fn status() -> Status {
    let folder = FolderStatus {
        local: "/home/a/Documents".to_owned(),
        remote: "/Documents".to_owned(),
        mode: "backup".to_owned(),
        state: FolderState::RootMissing,
        reason: Some("mount it".to_owned()),
        files: 1,
        bytes: 2,
        last_synced_at: None,
        pending: Pending::default(),
        rate: Rate::default(),
        eta_s: None,
        active: vec![Active { path: "a.txt".to_owned(), direction: "up".to_owned(), done: 0, total: 9 }],
        problems: 0,
        conflicts: 0,
        ignored: 0,
        held: None,
    };
    let account = AccountStatus {
        name: "personal".to_owned(),
        state: AccountState::RateLimited,
        reason: Some("Dropbox asks to wait".to_owned()),
        account_id: Some("dbid:x".to_owned()),
        email: Some("a@example.com".to_owned()),
        space: Some(Space { used: 1, allocated: 2 }),
        rate_limited_until: Some("2026-11-21T12:00:00Z".to_owned()),
        data_transport: DataTransport { month: "2026-11".to_owned(), calls: 7, budget: None },
        remote: RemoteCache { cursor_age_s: Some(1), ..RemoteCache::default() },
        commit: Commit { state: "idle".to_owned(), entries: 0, job_id: None, since: None, reason: None },
        folders: vec![folder],
    };
    Status { version: "0.1.0".to_owned(), pid: 1, uptime_s: 12, accounts: vec![account] }
}

#[tokio::test]
async fn status_has_the_names_of_the_interface() {
    let served = Served::start();
    let (code, kind, body) = served.call("GET", "/v1/status", "").await;
    assert_eq!((code, kind.as_str()), (200, "application/json"));
    insta::assert_json_snapshot!(body, @r#"
    {
      "accounts": [
        {
          "account_id": "dbid:x",
          "commit": {
            "entries": 0,
            "job_id": null,
            "reason": null,
            "since": null,
            "state": "idle"
          },
          "data_transport": {
            "budget": null,
            "calls": 7,
            "month": "2026-11"
          },
          "email": "a@example.com",
          "folders": [
            {
              "active": [
                {
                  "direction": "up",
                  "done": 0,
                  "path": "a.txt",
                  "total": 9
                }
              ],
              "bytes": 2,
              "conflicts": 0,
              "eta_s": null,
              "files": 1,
              "held": null,
              "ignored": 0,
              "last_synced_at": null,
              "local": "/home/a/Documents",
              "mode": "backup",
              "pending": {
                "bytes": 0,
                "comparing": 0,
                "downloads": 0,
                "local_changes": 0,
                "remote_changes": 0,
                "uploads": 0
              },
              "problems": 0,
              "rate": {
                "down_bytes_s": 0,
                "files_s": 0.0,
                "up_bytes_s": 0
              },
              "reason": "mount it",
              "remote": "/Documents",
              "state": "root_missing"
            }
          ],
          "name": "personal",
          "rate_limited_until": "2026-11-21T12:00:00Z",
          "reason": "Dropbox asks to wait",
          "remote": {
            "cursor_age_s": 1,
            "entries": 0,
            "held": null,
            "listed": 0,
            "listing": false,
            "pages": 0,
            "problems": 0,
            "reason": null,
            "unknown": 0,
            "unmounted": 0
          },
          "space": {
            "allocated": 2,
            "used": 1
          },
          "state": "rate_limited"
        }
      ],
      "pid": 1,
      "uptime_s": 12,
      "version": "0.1.0"
    }
    "#);
}

#[tokio::test]
async fn health_problems_and_sync_answer() {
    let served = Served::start();
    let (code, _, body) = served.call("GET", "/v1/health", "").await;
    assert_eq!((code, &body["reason"]), (503, &"personal: offline".into()));
    let (code, _, body) = served.call("GET", "/v1/problems?offset=3&limit=5000", "").await;
    assert_eq!((code, &body["total"], &body["offset"]), (200, &7.into(), &3.into()));
    assert_eq!(body["items"][0]["attempts"], 1000, "a page is capped");
    assert_eq!(served.call("GET", "/v1/problems?limit=many", "").await.0, 400);
    for body in ["", "{}", "{\"path\": null, \"wait\": false}"] {
        let (code, _, answer) = served.call("POST", "/v1/sync", body).await;
        assert_eq!((code, &answer["outcome"]), (200, &"accepted".into()), "{body}");
    }
    let (code, kind, body) = served.call("POST", "/v1/sync", "{\"path\": \"/x\"}").await;
    assert_eq!((code, kind.as_str(), &body["detail"]), (404, "application/problem+json", &"no folder holds /x".into()));
    assert_eq!(served.call("POST", "/v1/sync", "{\"path\": \"x\"}").await.0, 400);
}

#[tokio::test]
async fn pause_takes_an_account_and_a_time_or_neither() {
    let served = Served::start();
    let (code, _, body) = served.call("POST", "/v1/pause", "{\"for_s\": 90}").await;
    assert_eq!((code, &body[0]["until"], &body[0]["paused"]), (200, &"90".into(), &true.into()));
    assert_eq!(served.call("POST", "/v1/pause", "").await.2[0]["until"], serde_json::Value::Null);
    let (code, _, body) = served.call("POST", "/v1/pause", "{\"account\": \"work\"}").await;
    assert_eq!((code, &body["detail"]), (404, &"there is no account work".into()));
    for bad in ["{\"for_s\": 0}", "{\"for_s\": -1}", "{\"for\": 1}"] {
        assert_eq!(served.call("POST", "/v1/pause", bad).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn questions_about_a_path_need_a_whole_one() {
    let served = Served::start();
    for bad in ["explain", "explain?path=a", "plan?path=a", "history?path=a", "plan?limit=x", "history?since=1"] {
        let (code, _, body) = served.call("GET", &format!("/v1/{bad}"), "").await;
        assert_eq!(code, 400, "{bad}: {body}");
        assert!(!body["detail"].as_str().unwrap().is_empty(), "{bad}");
    }
}

#[tokio::test]
async fn unknown_routes_name_the_known_ones() {
    let served = Served::start();
    let (code, kind, body) = served.call("GET", "/v2/status", "").await;
    assert_eq!((code, kind.as_str()), (404, "application/problem+json"));
    assert_eq!(body["status"], 404);
    assert!(body["routes"].as_array().unwrap().contains(&"GET /v1/status".into()));
    assert_eq!(served.call("DELETE", "/v1/status", "").await.0, 405);
}

/// S1.
#[tokio::test]
async fn s1_directory_and_socket_are_private() {
    let served = Served::start();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&served.dir.path().join("run")), 0o700);
    assert_eq!(mode(&served.socket()), 0o600);
}

/// S3.
#[tokio::test]
async fn s3_garbage_and_floods_get_an_error_and_harm_nobody() {
    let served = Served::start();
    assert_eq!(served.call("POST", "/v1/sync", "\u{1}\u{2}").await.0, 400);
    assert_eq!(served.call("POST", "/v1/sync", &"[".repeat(60_000)).await.0, 400);
    assert_eq!(served.call("POST", "/v1/sync", &format!("{{\"path\": \"{}\"}}", "a".repeat(70_000))).await.0, 413);
    assert!(served.raw(b"\xff\xfe\0\0garbage\r\n\r\n".to_vec()).await.starts_with("HTTP/1.1 400"));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    let reply = served.raw(long.into_bytes()).await;
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{reply}");
    // Chunked, without a length.
    let mut endless = b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        endless.extend_from_slice(b"1000\r\n");
        endless.extend(std::iter::repeat_n(b'a', 0x1000));
        endless.extend_from_slice(b"\r\n");
    }
    let reply = served.raw(endless).await;
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert_eq!(served.call("GET", "/v1/status", "").await.0, 200);
}

/// S2: clients that connect and say nothing are hung up on, and others get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn s2_silent_clients_keep_nobody_out_for_long() {
    let served = Served::start();
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(served.socket()).unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(served.call("GET", "/v1/status", "").await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(15));
    drop(silent);
}

/// S6.
#[tokio::test]
async fn s6_what_is_in_the_way_is_refused_unless_it_is_our_own_dead_socket() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("f.sock");
    let open = || {
        let (tx, _rx) = mpsc::channel(1);
        control::serve(&path, tx, CancellationToken::new()).map(drop)
    };
    fs::write(&path, "precious").unwrap();
    assert!(matches!(open(), Err(ControlError::Occupied(..))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(), Err(ControlError::Occupied(..))));
    fs::remove_dir(&path).unwrap();
    symlink("/nowhere", &path).unwrap();
    assert!(matches!(open(), Err(ControlError::Occupied(..))));
    fs::remove_file(&path).unwrap();

    let living = UnixListener::bind(&path).unwrap();
    assert!(matches!(open(), Err(ControlError::InUse(_))));
    drop(living);
    open().unwrap();
    assert!(!path.try_exists().unwrap(), "taken away when dropped");

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(open(), Err(ControlError::Directory(..))));
    let (tx, _rx) = mpsc::channel(1);
    let long = dir.path().join("a".repeat(120));
    let error = control::serve(&long, tx, CancellationToken::new()).map(drop).unwrap_err();
    assert!(error.to_string().contains("set daemon.socket to a shorter one"), "{error}");
}

/// A waiting client is told when the daemon stops, and the stop takes no longer than the drain.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_every_connection_and_takes_the_socket_away() {
    let mut served = Served::start();
    let socket = served.socket();
    let mut clients = JoinSet::new();
    let waiting = socket.clone();
    clients.spawn_blocking(move || {
        let body = "{\"wait\": true}";
        exchange(&waiting, format!("POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{body}").as_bytes())
    });
    let silent = UnixStream::connect(&socket).unwrap();
    served.waiting.wait_for(|n| *n == 1).await.unwrap();
    // Who connects after the silent one is let in after it.
    assert_eq!(served.call("GET", "/v1/status", "").await.0, 200);
    let begun = Instant::now();
    served.cancel.cancel();
    while served.tasks.join_next().await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(!socket.try_exists().unwrap());
    let reply = clients.join_next().await.unwrap().unwrap();
    assert!(reply.starts_with("HTTP/1.1 503") && reply.contains("the daemon is stopping"), "{reply}");
    drop(silent);
}
