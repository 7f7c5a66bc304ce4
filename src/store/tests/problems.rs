use super::*;
use crate::model::{Failure, Settled};

async fn wedged(home: &Home, paths: &[&str]) {
    home.enqueue(paths).await;
    let failure = || Failure::wedge("permission", "It cannot be. Change it.");
    let done = home.claim(0).await.into_iter().map(|c| (c.job, Settled::Wedge(failure()))).collect();
    home.store.settle(done, 1).await.unwrap();
}

/// C10: a page holds what is at or below a path, however much there is before it elsewhere.
#[tokio::test]
async fn c10_problems_below_a_path_are_found_behind_any_number_elsewhere() {
    let home = home().await;
    let elsewhere: Vec<String> = (0..50).map(|i| format!("a{i}/x")).collect();
    wedged(&home, &elsewhere.iter().map(String::as_str).collect::<Vec<_>>()).await;
    wedged(&home, &["b", "b.c/x", "b/1", "b/2", "b/3", "b0", "c/x"]).await;
    let page = |after: &str| home.store.wedged_blocking(home.folder, &rel("b"), after, 2).unwrap();
    assert_eq!(page(""), [rel("b"), rel("b/1")]);
    assert_eq!(page("b/1"), [rel("b/2"), rel("b/3")]);
    assert!(page("b/3").is_empty());
    let all = home.store.wedged_blocking(home.folder, &RelPath::root(), "", 1000).unwrap();
    assert_eq!(all.len(), 57);
}

/// C10: what waits for its path to change is looked at again where the cause may lie elsewhere, and is a problem until then.
#[tokio::test]
async fn c10_what_waits_below_a_path_is_tried_again_and_stays_a_problem() {
    let home = home().await;
    wedged(&home, &["d/1", "d/2", "e"]).await;
    home.enqueue(&["d/refused"]).await;
    let job = home.claim(0).await[0].job.clone();
    let refused = Settled::Refused(Failure::wedge("too_large", "It is too large."), stat(1));
    home.store.settle(vec![(job, refused)], 1).await.unwrap();
    assert_eq!(home.store.try_wedged(home.folder, &rel("d"), 9).await, Ok(2));
    let tried = [
        "d/1 1 due 9 permission",
        "d/2 1 due 9 permission",
        "d/refused 1 wedged 0 too_large",
        "e 1 wedged 0 permission",
    ];
    assert_eq!(home.rows(), tried);
    assert_eq!(home.store.problems(None, 0, 9).await.unwrap().len(), 4);
    let mut claimed = home.claim(9).await.into_iter();
    let done = vec![
        (claimed.next().unwrap().job, Settled::Nothing),
        (claimed.next().unwrap().job, Settled::Wedge(Failure::wedge("permission", "Still."))),
    ];
    home.store.settle(done, 10).await.unwrap();
    assert_eq!(home.rows()[0], "d/2 1 wedged 9 permission");
    assert_eq!(home.store.try_wedged(home.folder, &rel("x"), 11).await, Ok(0));
    home.counts_agree();
}
