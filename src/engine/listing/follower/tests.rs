//! One listing against the stand-in server over TCP, with no waiting between its steps: thousands of histories in minutes.

mod inbound_guard;
mod unplaced;
mod walk;

use std::collections::BTreeMap;

use ferrybox_standin::{Effect, Fault, Garbage, Settings, Standin, When};

use super::*;
use crate::dropbox::{self, Credentials, Endpoints, Tokens};
use crate::model::RemotePath;
use crate::model::listing::Question;
use crate::store::WalkAt;

const LIMITS: Limits = Limits { max_deletions: 1000, max_share: 0.25 };

/// A small generator with a seed (xorshift), so that a failing history can be told and run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_shr(16) % sides
    }

    fn path(&mut self) -> String {
        let name = |n: u64| ["a", "B", "c.txt", "Dir", "é", "x y"][usize::try_from(n).unwrap()];
        let depth = 1 + self.roll(3);
        let path: String = (0..depth).map(|_| format!("/{}", name(self.roll(6)))).collect();
        if self.roll(4) == 0 { path.to_uppercase() } else { path }
    }
}

fn client(standin: &Standin, account: &ferrybox_standin::Account) -> Dropbox {
    let url = standin.url();
    let settings = dropbox::Settings::new(Endpoints::new(&url, &url, &url, &url).unwrap());
    let refresh_token = account.refresh_token().into();
    Dropbox::new(settings, Tokens::new("t", Credentials::Refresh { refresh_token, app_key: "key".to_owned() })).unwrap()
}

async fn follower(store: &Store, dropbox: Dropbox, scope: &str) -> Follower {
    let listing = store.open_listings(&[scope.to_owned()], "q").await.unwrap().remove(0);
    let lane = Lane::new(listing.id, RemotePath::parse(scope).unwrap(), Question::default(), Vec::new());
    Follower::new(store.clone(), dropbox, Arc::new(lane), LIMITS)
}

/// Until nothing is ready any more; failures are tried again at once.
async fn rest(follower: &mut Follower) -> u32 {
    let mut failures = 0;
    // The changes of the last moment, too.
    while follower.fetch().await.is_err() {
        failures += 1;
    }
    loop {
        match follower.step().await {
            Ok(Stepped::AtRest(_) | Stepped::Missing) => return failures,
            Ok(Stepped::Went(_) | Stepped::Barren | Stepped::Restarted(_)) => {}
            Err(Stuck::Store(error)) => panic!("{error}"),
            Err(_) => failures += 1,
        }
        assert!(failures < 10_000);
    }
}

/// path_lower -> (path, kind, rev, hash)
type Tree = BTreeMap<String, (String, String, String, String)>;

async fn cached(store: &Store, follower: &Follower) -> Tree {
    let mut at = WalkAt { root: String::new(), recursive: true, after: String::new() };
    let mut all = Tree::new();
    loop {
        let page = store.remote_entries(follower.lane.id, at.clone(), 100).await.unwrap();
        let done = page.len() < 100;
        if let Some(last) = page.last() {
            at.after.clone_from(&last.path_lower);
        }
        for e in page {
            let hash = e.content_hash.map(|h| h.to_string()).unwrap_or_default();
            all.insert(e.path_lower, (e.path.to_lowercase(), e.kind, e.rev.unwrap_or_default(), hash));
        }
        if done {
            return all;
        }
    }
}

fn served(account: &ferrybox_standin::Account) -> Tree {
    let files = account.files().into_iter();
    let mut all: Tree = files
        .map(|f| (f.path_lower, (f.path_display.to_lowercase(), "file".to_owned(), f.rev, f.content_hash)))
        .collect();
    for path in account.folders() {
        all.insert(path.to_lowercase(), (path.to_lowercase(), "folder".to_owned(), String::new(), String::new()));
    }
    all
}

fn change(account: &ferrybox_standin::Account, dice: &mut Dice) {
    let (path, other) = (dice.path(), dice.path());
    match dice.roll(13) {
        0..=4 => drop(account.write(&path, format!("{}", dice.roll(1000)))),
        5 | 6 => drop(account.delete(&path)),
        7 => drop(account.make_folder(&path)),
        8 => drop(account.rename(&path, &other)),
        // A file where a folder was, and the other way round.
        9 => {
            account.delete(&path);
            account.write(&path, "swap");
        }
        10 => {
            account.delete(&path);
            account.make_folder(&path);
            account.write(&format!("{path}/inner"), "swap");
        }
        // A folder is shared, or not any more.
        11 => account.reshare(&path, |account| drop(account.write(&other, "between"))),
        // A shared folder is left, and mounted again under another name.
        _ => {
            let target = account.delete(&path).then(|| format!("{other} (1)"));
            if let Some(target) = target {
                account.make_folder(&target);
                account.write(&format!("{target}/shared.txt"), "s");
            }
        }
    }
}

fn plague(standin: &Standin, seed: u64) {
    // One call in five, whatever it is.
    let each = [
        Effect::CursorReset,
        // Without a time to wait: each of those would take a second of the clock's.
        Effect::Status {
            code: 429,
            retry_after: None,
            body: Some(
                r#"{"error_summary": "too_many_requests/", "error": {"reason": {".tag": "too_many_requests"}}}"#
                    .to_owned(),
            ),
        },
        Effect::Status { code: 503, retry_after: None, body: None },
        Effect::Garbage(Garbage::TruncatedJson),
        Effect::Garbage(Garbage::Html),
        Effect::Garbage(Garbage::EmptyObject),
        Effect::CutReply(40),
        Effect::DropAfter,
    ];
    let share = 0.2 / 8.0;
    for (i, what) in each.into_iter().enumerate() {
        let when = When::Probability { p: share, seed: seed.wrapping_mul(31).wrapping_add(i as u64) };
        standin.faults().add(Fault { route: "files/list_folder*".to_owned(), when, what });
    }
}

async fn history(standin: &Standin, store: &Store, seed: u64) -> u32 {
    let account = standin.add_account(ferrybox_standin::AccountSpec::default());
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    standin.faults().clear();
    for _ in 0..dice.roll(25) {
        change(&account, &mut dice);
    }
    plague(standin, seed);
    let scope = if dice.roll(4) == 0 { "/a" } else { "" };
    // Another account's database, as far as listings go.
    store.open_listings(&[], "q").await.unwrap();
    store.set_namespace(&account.root_namespace_id()).await.unwrap();
    let mut follower = follower(store, client(standin, &account), scope).await;
    let mut failures = 0;
    for _ in 0..dice.roll(30) + 5 {
        match dice.roll(3) {
            0 => change(&account, &mut dice),
            // A restart: nothing but the store is left.
            1 if dice.roll(4) == 0 => {
                let lane = Arc::clone(&follower.lane);
                follower = Follower::new(store.clone(), follower.dropbox.clone(), lane, LIMITS);
            }
            _ => match follower.step().await {
                Ok(Stepped::AtRest(_)) => failures += u32::from(follower.fetch().await.is_err()),
                Ok(_) => {}
                Err(_) => failures += 1,
            },
        }
    }
    failures += rest(&mut follower).await;
    let expected: Tree = served(&account)
        .into_iter()
        .filter(|(path, _)| scope.is_empty() || path.starts_with("/a/") || path == "/a")
        .collect();
    let mut found = cached(store, &follower).await;
    let listing = store.listing(follower.lane.id).await.unwrap();
    if !scope.is_empty() && !account.folder("/a") {
        // No such folder (or a file of that name, which cannot be listed): nothing is known, and nothing more is said.
        assert!(found.is_empty() || listing.live.as_ref().is_some_and(|l| l.cursor.is_none()), "seed {seed}");
        return failures;
    }
    // The listed folder's own entry comes with a recursive listing, as far as is known.
    if !scope.is_empty() {
        found.entry("/a".to_owned()).or_insert_with(|| expected["/a"].clone());
    }
    assert_eq!(found, expected, "seed {seed}");
    assert_eq!(listing.next, None, "seed {seed}");
    failures
}

/// Random histories while pages are read, with a fault in one call of five: in the end the cache equals the server.
/// `FERRYBOX_HISTORIES=10000` runs that many; `FERRYBOX_SEED` is the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e1_e2_e3_e7_random_histories_end_equal_to_the_server() {
    histories(120, || Settings { page_size: 3, empty_page_every: 7, ..Settings::default() }).await;
}

/// The same where nothing of any size is listed as a whole: walks, with changes, restarts, resets and faults between any two of their calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_random_histories_of_walks_end_equal_to_the_server() {
    histories(50, || Settings { page_size: 3, recursive_most: Some(1), ..Settings::default() }).await;
}

async fn histories(usual: u64, settings: fn() -> Settings) {
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (histories, first) = (number("FERRYBOX_HISTORIES", usual), number("FERRYBOX_SEED", 1_u64));
    let mut failures = 0;
    let mut seed = first;
    while seed < first + histories {
        // A new server and a new database now and then, so that neither grows without end.
        let standin = Standin::start(settings()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state.db")).unwrap();
        for _ in 0..200.min(first + histories - seed) {
            failures += history(&standin, &store, seed).await;
            seed += 1;
        }
        assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
        store.close().await.unwrap();
    }
    println!("{histories} histories, {failures} failed calls on the way");
    assert!(failures > 0, "no fault ever struck");
}

async fn world(settings: Settings) -> (Standin, tempfile::TempDir, Store, Follower) {
    let standin = Standin::start(settings).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    let follower = follower(&store, client(&standin, &standin), "").await;
    (standin, dir, store, follower)
}

/// E4: an account that suddenly lists as empty is held; the old tree stays in use, until a person says otherwise.
#[tokio::test]
async fn e4_an_empty_listing_is_held_until_it_is_approved() {
    let (standin, _dir, store, mut follower) = world(Settings::default()).await;
    standin.generate("", 200);
    rest(&mut follower).await;
    assert_eq!(cached(&store, &follower).await.len(), 200);
    standin.delete("/folder-000000");
    standin.reset_cursors();
    rest(&mut follower).await;
    let listing = store.listing(follower.lane.id).await.unwrap();
    assert!(listing.held.is_some_and(|why| why.contains("approve")));
    assert_eq!(cached(&store, &follower).await.len(), 200);
    assert!(store.approve_listing(listing.next.unwrap().id).await.unwrap());
    rest(&mut follower).await;
    assert_eq!(cached(&store, &follower).await.len(), 0);
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

/// E4: when what was gone comes back, the held listing is good again without anybody's word.
#[tokio::test]
async fn e4_a_held_listing_that_recovers_is_used() {
    let (standin, _dir, store, mut follower) = world(Settings::default()).await;
    standin.generate("", 200);
    rest(&mut follower).await;
    standin.rename("/folder-000000", "/.away");
    standin.delete("/.away");
    standin.reset_cursors();
    rest(&mut follower).await;
    assert!(store.listing(follower.lane.id).await.unwrap().held.is_some());
    standin.generate("", 190);
    rest(&mut follower).await;
    let listing = store.listing(follower.lane.id).await.unwrap();
    assert_eq!((listing.held, listing.next), (None, None));
    assert_eq!(cached(&store, &follower).await, served(&standin));
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

/// E2: a listing that never gets on is told, and not asked without pause.
#[tokio::test]
async fn e2_a_cursor_that_leads_nowhere_is_told() {
    let (standin, _dir, _store, mut follower) = world(Settings { empty_page_every: 1, ..Settings::default() }).await;
    for _ in 0..5 {
        // The first page is the listing's own.
        let told = follower.step().await;
        assert!(matches!(told, Ok(Stepped::Barren | Stepped::Went(0))), "{told:?}");
    }
    assert_eq!(follower.step().await.unwrap(), Stepped::Barren);
    standin.set(|s| s.empty_page_every = 0);
    rest(&mut follower).await;
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

/// A captive portal's page, a page cut short and an object that is no page are errors; the cache stays as it is.
#[tokio::test]
async fn garbage_is_never_an_empty_account() {
    let (standin, _dir, store, mut follower) = world(Settings::default()).await;
    standin.generate("", 50);
    rest(&mut follower).await;
    standin.write("/new", "x");
    for garbage in [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::EmptyObject,
        Garbage::Empty,
        Garbage::InvalidUtf8,
        Garbage::ByteOrderMark,
    ] {
        standin.faults().clear();
        standin.faults().add(Fault::always("files/list_folder*", Effect::Garbage(garbage)));
        assert!(matches!(follower.fetch().await, Err(Stuck::Call(_))), "{garbage:?}");
        assert_eq!(cached(&store, &follower).await.len(), 50, "{garbage:?}");
    }
    standin.faults().clear();
    rest(&mut follower).await;
    assert_eq!(cached(&store, &follower).await.len(), 51);
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

/// A kind of entry that this version does not know is counted and refused at its path, and everything else is kept.
#[tokio::test]
async fn e6_e14_odd_entries_are_counted_and_the_rest_is_kept() {
    let (standin, _dir, store, mut follower) = world(Settings::default()).await;
    for name in ["good", "odd", "homeless", "escape", "slash"] {
        standin.write(&format!("/{name}"), "x");
    }
    standin.decorate("/odd", serde_json::json!({".tag": "shortcut"}));
    standin.decorate("/homeless", serde_json::json!({"path_lower": null, "path_display": null}));
    standin.decorate("/escape", serde_json::json!({"path_lower": "/../../.ssh/authorized_keys"}));
    standin.decorate("/slash", serde_json::json!({"name": "a/b"}));
    rest(&mut follower).await;
    let now = follower.lane.now.lock().unwrap().clone();
    assert_eq!(now.unmounted, 1);
    let odd = store.remote_odd(0, 10).await.unwrap();
    assert_eq!(odd.iter().map(|o| o.1.as_str()).collect::<Vec<_>>(), ["bad_name", "protocol", "bad_name"], "{odd:?}");
    assert!(cached(&store, &follower).await.contains_key("/good"));
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}
