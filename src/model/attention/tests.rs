use super::*;

fn well() -> FolderFacts {
    let listing = ListingFacts { read: true, listed: true, ..ListingFacts::default() };
    FolderFacts { local: "/f".into(), comes_down: true, listing, scanned: true, ..FolderFacts::default() }
}

fn account(folder: FolderFacts) -> AccountFacts {
    AccountFacts { known: true, folders: vec![folder], ..AccountFacts::default() }
}

fn trouble(state: AccountState, attempts: u32) -> Option<Trouble> {
    Some(Trouble { state, reason: "why".into(), attempts })
}

fn failing(tries: u32, for_ms: i64) -> Option<Failing> {
    Some(Failing { reason: "why".into(), tries, for_ms })
}

/// One row: the facts, and what every surface makes of them.
struct Case {
    name: &'static str,
    facts: AccountFacts,
    account: AccountState,
    folder: FolderState,
    /// Whether the folder and the account say why.
    reasons: (bool, bool),
    severity: Severity,
    /// `run --once` ends now.
    ends: bool,
    healthy: bool,
}

fn case(
    name: &'static str,
    facts: AccountFacts,
    states: (AccountState, FolderState),
    reasons: (bool, bool),
    end: (Severity, bool, bool),
) -> Case {
    let ((account, folder), (severity, ends, healthy)) = (states, end);
    Case { name, facts, account, folder, reasons, severity, ends, healthy }
}

fn with(change: impl FnOnce(&mut FolderFacts)) -> AccountFacts {
    let mut folder = well();
    change(&mut folder);
    account(folder)
}

fn whole(change: impl FnOnce(&mut AccountFacts)) -> AccountFacts {
    let mut facts = account(well());
    change(&mut facts);
    facts
}

fn table() -> Vec<Case> {
    use AccountState as A;
    use FolderState as F;
    use Severity::{Attention, Good, Problems, Working};
    let why = || Some("why".to_owned());
    let bad = (Attention, true, false);
    let work = (Working, false, true);
    let both = (true, true);
    vec![
        case("in sync", account(well()), (A::Idle, F::InSync), (false, false), (Good, true, true)),
        case("problems", with(|f| f.problems = 2), (A::Idle, F::InSync), (false, false), (Problems, true, true)),
        case("not scanned", with(|f| f.scanned = false), (A::Syncing, F::Syncing), (false, false), work),
        case("scanning", with(|f| f.scanning = true), (A::Syncing, F::Syncing), (false, false), work),
        case("not listed", with(|f| f.listing.read = false), (A::Syncing, F::Syncing), (false, false), work),
        case("rows", with(|f| (f.rows, f.trying) = (3, 3)), (A::Syncing, F::Syncing), (false, false), work),
        case(
            "rows that failed often enough",
            with(|f| (f.rows, f.trying, f.problems) = (3, 0, 3)),
            (A::Syncing, F::Syncing),
            (false, false),
            (Problems, true, true),
        ),
        case(
            "a listing that failed once",
            with(|f| f.listing.failing = failing(1, 500)),
            (A::Syncing, F::Syncing),
            both,
            work,
        ),
        case(
            "a listing that fails and was never at rest",
            with(|f| (f.listing.read, f.listing.listed, f.listing.failing) = (false, false, failing(3, 3_000))),
            (A::Syncing, F::Syncing),
            both,
            (Attention, true, true),
        ),
        case(
            "a listing that fails for minutes",
            with(|f| f.listing.failing = failing(9, SICK_AFTER_MS)),
            (A::Syncing, F::Syncing),
            both,
            bad,
        ),
        case(
            "a listing that fails, in a folder that sends",
            with(|f| {
                (f.comes_down, f.rows, f.trying) = (false, 1, 1);
                (f.listing.read, f.listing.failing) = (false, failing(3, 3_000));
            }),
            (A::Syncing, F::Syncing),
            both,
            (Attention, false, true),
        ),
        case("no root", with(|f| f.root_missing = why()), (A::Idle, F::RootMissing), both, bad),
        case("no remote root", with(|f| f.listing.missing = why()), (A::Idle, F::RemoteMissing), both, bad),
        case(
            "held going up",
            with(|f| (f.held_up, f.rows, f.trying, f.held_back) = (why(), 9, 9, 9)),
            (A::Idle, F::Held),
            both,
            bad,
        ),
        case(
            "held coming down",
            with(|f| (f.listing.held, f.listing.read) = (why(), false)),
            (A::Idle, F::Held),
            both,
            bad,
        ),
        case(
            "held, and others go on",
            with(|f| (f.held_up, f.rows, f.trying, f.held_back) = (why(), 10, 10, 9)),
            (A::Idle, F::Held),
            both,
            (Attention, false, false),
        ),
        case("degraded", with(|f| f.degraded = why()), (A::Idle, F::DegradedWatch), both, (Good, true, true)),
        case("disk full", whole(|a| a.disk_full = why()), (A::Paused, F::DiskFull), both, bad),
        case("paused", whole(|a| a.paused = why()), (A::Paused, F::Paused), both, (Attention, true, true)),
        case(
            "offline for a moment",
            whole(|a| a.trouble = trouble(A::Offline, 0)),
            (A::Offline, F::Waiting),
            both,
            (Working, false, false),
        ),
        case("offline", whole(|a| a.trouble = trouble(A::Offline, 3)), (A::Offline, F::Waiting), both, bad),
        case("revoked", whole(|a| a.trouble = trouble(A::AuthRequired, 0)), (A::AuthRequired, F::Waiting), both, bad),
        case(
            "another account",
            whole(|a| a.trouble = trouble(A::AccountMismatch, 0)),
            (A::AccountMismatch, F::Waiting),
            both,
            bad,
        ),
        case("not permitted", whole(|a| a.trouble = trouble(A::Failed, 0)), (A::Failed, F::Waiting), both, bad),
        case(
            "a budget that is spent",
            whole(|a| a.trouble = trouble(A::RateLimited, 3)),
            (A::RateLimited, F::Waiting),
            both,
            bad,
        ),
        case(
            "full, and something is to go up",
            whole(|a| {
                a.quota_full = why();
                a.folders.iter_mut().for_each(|f| (f.rows, f.trying) = (1, 1));
            }),
            (A::QuotaFull, F::Waiting),
            both,
            bad,
        ),
        case("starting", whole(|a| a.known = false), (A::Starting, F::Syncing), both, work),
        case(
            "throttled",
            whole(|a| {
                a.throttled = why();
                a.folders.iter_mut().for_each(|f| (f.rows, f.trying) = (1, 1));
            }),
            (A::RateLimited, F::Syncing),
            both,
            work,
        ),
        case(
            "slowed down",
            whole(|a| {
                a.slowed = why();
                a.folders.iter_mut().for_each(|f| (f.rows, f.trying) = (1, 1));
            }),
            (A::Syncing, F::Syncing),
            both,
            work,
        ),
        case("stopping", whole(|a| a.stopping = true), (A::Stopping, F::InSync), (false, true), (Good, true, true)),
    ]
}

#[test]
fn t1_t2_t3_every_state_means_the_same_on_every_surface() {
    for case in table() {
        let stands = judge(&case.facts);
        let folder = stands.folders.first().unwrap();
        assert_eq!((stands.state, folder.state), (case.account, case.folder), "{}: states", case.name);
        assert_eq!((folder.reason.is_some(), stands.reason.is_some()), case.reasons, "{}: reasons", case.name);
        assert_eq!(folder.severity(), case.severity, "{}: {folder:?}", case.name);
        assert_eq!(!folder.busy, case.ends, "{}: whether a run ends", case.name);
        assert_eq!(stands.sick.is_none(), case.healthy, "{}: health", case.name);
    }
}

/// Whatever the facts are: no surface contradicts another.
#[test]
fn t1_t2_t3_no_surface_contradicts_another() {
    for case in table() {
        for second in table() {
            // Both kinds of facts at once.
            let mut facts = case.facts.clone();
            facts.folders.extend(second.facts.folders.clone());
            let stands = judge(&facts);
            for folder in &stands.folders {
                let context = format!("{} and {}: {folder:?}", case.name, second.name);
                let in_sync = folder.state == FolderState::InSync;
                assert!(!in_sync || (folder.stuck.is_none() && !folder.busy && folder.sick.is_none()), "{context}");
                let good = matches!(folder.state, FolderState::InSync | FolderState::Syncing);
                assert!(good || folder.reason.is_some(), "{context}");
                assert!(folder.sick.is_none() || folder.reason.is_some(), "{context}");
                assert!(folder.sick.is_none() || stands.sick.is_some() || stands.stuck.is_some(), "{context}");
            }
        }
    }
}

#[test]
fn exit_codes_follow_from_how_bad_it_is() {
    let codes = [Severity::Good, Severity::Problems, Severity::Attention].map(Severity::exit_code);
    assert_eq!(codes, [0, 3, 4]);
}

#[test]
fn t4_counts_go_by_direction_and_leave_out_what_has_arrived() {
    let files = |files, bytes| Files { files, bytes };
    let work = Work {
        up: files(3, 300),
        down: files(2, 2_000),
        both: files(5, 50),
        other_here: 4,
        other_there: 6,
        staged_there: 7,
        staged_here: 8,
        arrived: (100, 500),
    };
    let of = |mode, listed| {
        let p = pending(mode, listed, &work);
        assert_eq!((p.remote_changes, p.local_changes, p.bytes), (11, 14, 1_750));
        (p.uploads, p.downloads, p.comparing)
    };
    assert_eq!(of(Mode::TwoWay, true), (3, 2, 5));
    assert_eq!(of(Mode::Download, true), (0, 2, 8));
    assert_eq!(of(Mode::Backup, true), (3, 0, 7));
    assert_eq!(of(Mode::Mirror, true), (3, 0, 7));
    for mode in [Mode::TwoWay, Mode::Download, Mode::Backup, Mode::Mirror] {
        assert_eq!(of(mode, false), (0, 0, 10), "nothing is known of Dropbox yet");
    }
}

#[test]
fn t4_the_slowest_of_files_and_bytes_of_either_direction_decides() {
    let rate = |files_s, up_bytes_s, down_bytes_s| Rate { up_bytes_s, down_bytes_s, files_s };
    let work =
        |up, down| Work { up: Files { files: 1, bytes: up }, down: Files { files: 1, bytes: down }, ..Work::default() };
    let left = |work: &Work, rate: &Rate| eta(&pending(Mode::TwoWay, true, work), work, rate);
    assert_eq!(left(&Work::default(), &rate(1.0, 1, 1)), None);
    assert_eq!(left(&work(100, 0), &rate(0.0, 0, 0)), None);
    assert_eq!(left(&work(100, 0), &rate(0.0, 10, 0)), Some(10));
    assert_eq!(left(&work(100, 900), &rate(2.0, 10, 10)), Some(90));
    assert_eq!(left(&work(0, 0), &rate(0.5, 0, 0)), Some(4));
}
