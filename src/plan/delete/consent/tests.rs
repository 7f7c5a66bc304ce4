use super::*;

const LIMITS: Limits = Limits { max_deletions: 1_000, max_share: 0.25 };
const NOW: UnixMs = 1_000_000;

/// Ten deletions among a hundred files: they go.
fn free() -> FolderFacts {
    FolderFacts {
        now: NOW,
        newest: Some(NOW - REST_MS),
        oldest: Some(NOW - REST_MS),
        removing: false,
        remote_root_away: false,
        full: Full::No,
        looked: Some(Looked::Staged(10)),
        scanning: Some(false),
        renamed: Some(Renamed::No),
        renaming: Some(false),
        seeking_copies: Some(false),
        sent_instead: Some(false),
        undecided: Some(Undecided::Rows(FEW)),
        counted: Some(Counted { asked: 10, files: 10, moved: 0 }),
        standing: Some(Some(Standing { files: 100, arrived: 0, recent: 0, before: Before::Nothing, empty: false })),
        root_trouble: Some(false),
    }
}

type Spoil = fn(&mut FolderFacts);

/// What keeps deletions, in the order in which it is asked for, and the answer.
fn obstacles() -> Vec<(Spoil, Consent)> {
    vec![
        (|f| f.newest = Some(f.now - 1), Consent::Rest(NOW - 1 + REST_MS)),
        (|f| f.removing = true, Consent::Wait(Why::Removal)),
        (|f| f.remote_root_away = true, Consent::Wait(Why::RemoteRoot)),
        (|f| f.looked = Some(Looked::Silent), Consent::Wait(Why::Disk)),
        (|f| f.scanning = Some(true), Consent::Wait(Why::Scan)),
        (|f| f.renamed = Some(Renamed::Perhaps), Consent::Wait(Why::PerhapsRenamed)),
        (|f| f.renaming = Some(true), Consent::Wait(Why::Rename)),
        (|f| f.seeking_copies = Some(true), Consent::Wait(Why::CopySource)),
        (|f| f.sent_instead = Some(true), Consent::Wait(Why::SentInstead)),
        (|f| f.undecided = Some(Undecided::More(true)), Consent::Wait(Why::Undecided)),
        (|f| f.standing = Some(None), Consent::Wait(Why::Unlisted)),
        (|f| f.root_trouble = Some(true), Consent::Wait(Why::LocalRoot)),
    ]
}

/// Every combination of what keeps deletions: the first that does answers, and they go only where none does.
#[test]
fn deletions_go_only_if_every_condition_is_met() {
    let obstacles = obstacles();
    let mut gone = 0;
    for set in 0_u32..1 << obstacles.len() {
        let mut facts = free();
        let mine: Vec<_> = obstacles.iter().enumerate().filter(|(i, _)| set & 1 << i != 0).map(|(_, o)| o).collect();
        mine.iter().for_each(|(spoil, _)| spoil(&mut facts));
        let expected = mine.first().map_or(Consent::Go, |(_, answer)| answer.clone());
        assert_eq!(consent(&facts, LIMITS), expected, "{facts:?}");
        gone += u32::from(consent(&facts, LIMITS) == Consent::Go);
    }
    assert_eq!(gone, 1);
}

/// The guard is asked after all that may change the number, and only the root stands behind it.
#[test]
fn what_the_guard_holds_waits_for_whatever_comes_before_it() {
    let many = |facts: &mut FolderFacts| facts.counted = Some(Counted { asked: 60, files: 60, moved: 0 });
    for (n, (spoil, answer)) in obstacles().into_iter().enumerate() {
        let mut facts = free();
        many(&mut facts);
        spoil(&mut facts);
        match consent(&facts, LIMITS) {
            Consent::Hold(held) => assert!(n == 11 && held.waiting == 60, "{n}"),
            other => assert!(n < 11 && other == answer, "{n}: {other:?}"),
        }
    }
    let mut facts = free();
    many(&mut facts);
    assert!(matches!(consent(&facts, LIMITS), Consent::Hold(_)));
}

type Forget = (fn(&mut FolderFacts), Need);

/// A fact that is missing is asked for: it never counts as a good answer.
#[test]
fn what_is_not_known_is_asked_for() {
    let missing: [Forget; 10] = [
        (|f| f.looked = None, Need::Look),
        (|f| f.scanning = None, Need::Scans),
        (|f| f.renamed = None, Need::Renamed),
        (|f| f.renaming = None, Need::Renames),
        (|f| f.seeking_copies = None, Need::Copies),
        (|f| f.sent_instead = None, Need::SentInstead),
        (|f| f.undecided = None, Need::Undecided),
        (|f| f.counted = None, Need::Count),
        (|f| f.standing = None, Need::Standing),
        (|f| f.root_trouble = None, Need::Root),
    ];
    for (forget, need) in &missing {
        let mut facts = free();
        forget(&mut facts);
        assert_eq!(consent(&facts, LIMITS), Consent::Need(*need));
    }
    // From nothing at all, each is asked for once, in this order.
    let mut facts = FolderFacts { now: NOW, newest: Some(0), oldest: Some(0), ..FolderFacts::default() };
    let all = free();
    let mut asked = Vec::new();
    while let Consent::Need(need) = consent(&facts, LIMITS) {
        asked.push(need);
        assert!(asked.len() < 20, "{asked:?}");
        match need {
            Need::Look => facts.looked = all.looked,
            Need::Scans => facts.scanning = all.scanning,
            Need::Renamed => facts.renamed = all.renamed,
            Need::Renames => facts.renaming = all.renaming,
            Need::Copies => facts.seeking_copies = all.seeking_copies,
            Need::SentInstead => facts.sent_instead = all.sent_instead,
            Need::Undecided => facts.undecided = Some(Undecided::Rows(5_000)),
            Need::MoreUndecidedThan(_) => facts.undecided = Some(Undecided::More(false)),
            Need::Count => facts.counted = all.counted,
            Need::Standing => facts.standing = all.standing,
            Need::Root => facts.root_trouble = all.root_trouble,
        }
    }
    let order: Vec<_> = missing.iter().map(|(_, need)| *need).collect();
    asked.retain(|need| *need != Need::MoreUndecidedThan(FEW));
    assert_eq!(asked, order);
    assert_eq!(consent(&facts, LIMITS), Consent::Go);
}

#[test]
fn the_oldest_rests_no_longer_than_a_while_whatever_joins() {
    let rests = |newest: i64, oldest: i64| {
        let facts = FolderFacts { newest: Some(NOW - newest), oldest: Some(NOW - oldest), ..free() };
        match consent(&facts, LIMITS) {
            Consent::Rest(at) => at - NOW,
            Consent::Go => 0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rests(0, 0), REST_MS);
    assert_eq!(rests(500, 5_000), 1_500);
    assert_eq!(rests(0, 9_000), 1_000);
    assert_eq!(rests(0, LONGEST_REST_MS), 0);
    // What was staged far ahead of a clock that was set back.
    assert_eq!(rests(-1_000_000, -1_000_000), 0);
    let none = FolderFacts { newest: None, oldest: None, ..free() };
    assert_eq!(consent(&none, LIMITS), Consent::Rest(NOW + REST_MS));
}

/// What is full has to be emptied, and what cannot be sent is not waited for.
#[test]
fn r3_a_full_account_waits_for_nothing_that_is_to_be_sent() {
    for (full, renamed, copies, sent) in
        [(Full::No, true, true, true), (Full::Calls, false, true, false), (Full::Room, false, false, false)]
    {
        let wait = |waits: bool, why| if waits { Consent::Wait(why) } else { Consent::Go };
        let facts = FolderFacts { full, ..free() };
        for (answer, why) in [(Renamed::Perhaps, Why::PerhapsRenamed), (Renamed::Unread, Why::Unread)] {
            let facts = FolderFacts { renamed: Some(answer), ..facts.clone() };
            assert_eq!(consent(&facts, LIMITS), wait(renamed, why));
        }
        let seeking = FolderFacts { seeking_copies: Some(true), ..facts.clone() };
        assert_eq!(consent(&seeking, LIMITS), wait(copies, Why::CopySource));
        let instead = FolderFacts { sent_instead: Some(true), ..facts.clone() };
        assert_eq!(consent(&instead, LIMITS), wait(sent, Why::SentInstead));
        // A move needs no room.
        let renaming = FolderFacts { renaming: Some(true), ..facts };
        assert_eq!(consent(&renaming, LIMITS), Consent::Wait(Why::Rename));
    }
}

#[test]
fn undecided_rows_count_from_as_many_as_there_are_deletions() {
    for (staged, rows, asks) in
        [(10, FEW, None), (10, FEW + 1, Some(FEW)), (5_000, 5_000, None), (5_000, 5_001, Some(5_000))]
    {
        let facts =
            FolderFacts { looked: Some(Looked::Staged(staged)), undecided: Some(Undecided::Rows(rows)), ..free() };
        let expected = asks.map_or(Consent::Go, |most| Consent::Need(Need::MoreUndecidedThan(most)));
        assert_eq!(consent(&facts, LIMITS), expected);
    }
    let none = FolderFacts { looked: Some(Looked::Staged(0)), ..free() };
    assert_eq!(consent(&none, LIMITS), Consent::Nothing);
}

/// Deletions that a person has agreed to are not asked about, and are no files that the person keeps.
#[test]
fn what_was_agreed_to_is_not_weighed() {
    let with = |asked, files, in_sync, empty| {
        let standing = Standing { files: in_sync, arrived: 0, recent: 0, before: Before::Nothing, empty };
        let facts =
            FolderFacts { counted: Some(Counted { asked, files, moved: 0 }), standing: Some(Some(standing)), ..free() };
        consent(&facts, LIMITS)
    };
    assert_eq!(with(0, 5_000, 5_000, true), Consent::Go);
    assert!(matches!(with(2, 90, 90, false), Consent::Hold(_)), "those two are all that would be left");
    assert_eq!(with(2, 90, 100, false), Consent::Go);
    assert!(matches!(with(2, 90, 100, true), Consent::Hold(_)));
    // Where all are agreed to, nothing more is asked.
    let facts = FolderFacts { counted: Some(Counted { asked: 0, files: 9, moved: 9 }), standing: None, ..free() };
    assert_eq!(consent(&facts, LIMITS), Consent::Go);
}

#[test]
fn only_who_has_asked_the_guard_lifts_a_hold() {
    let mut lifting: Vec<Consent> = obstacles().into_iter().map(|(_, answer)| answer).collect();
    lifting.extend([Consent::Go, Consent::Nothing, Consent::Need(Need::Root), Consent::Wait(Why::Unread)]);
    lifting.retain(Consent::lifts_hold);
    assert_eq!(lifting, [Consent::Wait(Why::LocalRoot), Consent::Go]);
}

#[test]
fn what_was_agreed_to_ends_the_count_of_recent_ones() {
    let mut agreed = Agreed::NOTHING;
    assert_eq!(agreed.recent_since(NOW), NOW - RECENT_MS);
    agreed.count(Counted { asked: 3, files: 5, moved: 2 }, NOW);
    assert_eq!(agreed, Agreed::NOTHING, "what only moved on is no person's word");
    agreed.count(Counted { asked: 3, files: 6, moved: 2 }, NOW);
    assert_eq!(agreed.recent_since(NOW + 5), NOW + 5);
    agreed.count(Counted { asked: 3, files: 3, moved: 0 }, NOW + 7);
    assert_eq!(agreed.recent_since(NOW + 9), NOW + 7);
    agreed.end(NOW + 8);
    assert_eq!(agreed.recent_since(NOW + 9), NOW + 7, "it ends once");
    assert_eq!(agreed.recent_since(NOW + RECENT_MS + 8), NOW + 8);
}

/// Each reason completes the same sentence, and no two are the same.
#[test]
fn every_reason_has_words_of_its_own() {
    let all = [
        Why::Removal,
        Why::RemoteRoot,
        Why::Disk,
        Why::Scan,
        Why::PerhapsRenamed,
        Why::Unread,
        Why::Rename,
        Why::CopySource,
        Why::SentInstead,
        Why::Undecided,
        Why::Unlisted,
        Why::LocalRoot,
    ];
    let texts: std::collections::BTreeSet<_> = all.iter().map(|why| why.text()).collect();
    assert_eq!(texts.len(), all.len());
    assert!(texts.iter().all(|text| !text.is_empty() && !text.ends_with('.')));
}
