use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn rel(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn grouped(pairs: &[(RelPath, RelPath)]) -> Vec<Together> {
    let steps: Vec<_> = pairs.iter().map(|(from, to)| Step { from, to, dir: Some(true) }).collect();
    together(&steps)
}

/// What is made, one after the other: "a>b", and "a>" for by way of a free name.
fn told(pairs: &[(&str, &str)]) -> Vec<String> {
    let pairs: Vec<_> = pairs.iter().map(|(from, to)| (rel(from), rel(to))).collect();
    let one = |group: Together| {
        let steps =
            group.steps.iter().map(|i| format!("{}>{}", pairs[*i].0, pairs[*i].1)).collect::<Vec<_>>().join(" ");
        if group.circle { format!("circle {steps}") } else { steps }
    };
    grouped(&pairs).into_iter().map(one).collect()
}

#[test]
fn h2_a_place_is_free_before_it_is_taken() {
    assert_eq!(told(&[("a", "b"), ("b", "c")]), ["b>c a>b"]);
    assert_eq!(told(&[("b", "c"), ("a", "b")]), ["b>c a>b"]);
    assert_eq!(told(&[("c", "d"), ("a", "b"), ("b", "c")]), ["c>d b>c a>b"]);
    assert_eq!(told(&[("a", "b"), ("b", "a")]), ["circle a>b b>a"]);
    // `a` goes out of the way, so `c` may go there, and then `b` where `c` was.
    assert_eq!(told(&[("a", "b"), ("b", "c"), ("c", "a")]), ["circle a>b c>a b>c"]);
    assert_eq!(told(&[("a", "b"), ("x", "y")]), ["a>b", "x>y"]);
}

#[test]
fn h2_what_is_nested_or_ambiguous_goes_one_at_a_time() {
    assert_eq!(told(&[("a/x", "b"), ("b", "a")]), ["a/x>b"]);
    // Two say that they are what was there: the first is believed first.
    assert_eq!(told(&[("a", "b"), ("a", "c")]), ["a>b"]);
    assert_eq!(told(&[("a", "a/b")]), ["a>a/b"]);
    let (a, b, c) = (rel("a"), rel("b"), rel("c"));
    for (first, second) in [(Some(true), Some(false)), (Some(false), None), (None, None)] {
        let steps = [Step { from: &a, to: &b, dir: first }, Step { from: &b, to: &c, dir: second }];
        assert_eq!(together(&steps), [Together { steps: vec![0], circle: false }], "{first:?} {second:?}");
    }
}

fn paths() -> impl Strategy<Value = RelPath> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| rel(&names.join("/")))
}

fn moves() -> impl Strategy<Value = Vec<(RelPath, RelPath)>> {
    // One proposal a new path, and nothing moves into itself.
    let pairs = prop::collection::btree_map(paths(), paths(), 0..12);
    pairs.prop_map(|pairs| {
        pairs.into_iter().map(|(to, from)| (from, to)).filter(|(a, b)| !a.is_under(b) && !b.is_under(a)).collect()
    })
}

proptest! {
    /// Made in their order, each finds its place free, takes what lay at its old place, and mixes nothing.
    #[test]
    fn h2_each_finds_its_place_free(moves in moves()) {
        let mut tree: BTreeMap<RelPath, RelPath> = moves.iter().map(|(from, _)| (from.clone(), from.clone())).collect();
        for group in grouped(&moves) {
            if let [only] = group.steps[..] && tree.contains_key(&moves[only].1) {
                // It is found to be taken, and refused.
                continue;
            }
            let mut last = None;
            for (n, i) in group.steps.iter().enumerate() {
                let (from, to) = &moves[*i];
                let what = tree.remove(from);
                prop_assert_eq!(what.as_ref(), Some(from), "made once, from where it was");
                if n == 0 && group.circle {
                    last = Some((to, from));
                    continue;
                }
                prop_assert!(tree.insert(to.clone(), from.clone()).is_none(), "{} is taken", to);
            }
            if let Some((to, from)) = last {
                prop_assert!(tree.insert(to.clone(), from.clone()).is_none(), "{} is taken", to);
            }
        }
    }

    /// Groups of one round can be made in any order.
    #[test]
    fn h2_groups_do_not_meet(moves in moves()) {
        let groups = grouped(&moves);
        prop_assert_eq!(moves.is_empty(), groups.is_empty());
        for (i, one) in groups.iter().enumerate() {
            for other in groups.iter().skip(i + 1) {
                for (a, b) in one.steps.iter().map(|n| &moves[*n]) {
                    for (c, d) in other.steps.iter().map(|n| &moves[*n]) {
                        for (x, y) in [(a, c), (a, d), (b, c), (b, d)] {
                            prop_assert!(!x.is_under(y) && !y.is_under(x), "{} {}", x, y);
                        }
                    }
                }
            }
        }
    }

    /// H3: whatever was moved where, what is proposed again and again comes to an end.
    #[test]
    fn h3_rounds_come_to_an_end(moves in moves()) {
        let mut left = moves;
        let mut rounds = 0;
        while !left.is_empty() {
            rounds += 1;
            prop_assert!(rounds <= 200);
            let done: BTreeSet<usize> = grouped(&left).into_iter().flat_map(|group| group.steps).collect();
            prop_assert!(!done.is_empty());
            left = left.into_iter().enumerate().filter(|(i, _)| !done.contains(i)).map(|(_, pair)| pair).collect();
        }
    }
}

#[test]
fn l6_a_round_reads_no_more_rows_however_long_the_queue_is() {
    for (rows, times) in [(0, 200), (2_000, 200), (10_000, 40), (100_000, 4), (1_000_000, 1), (u64::MAX, 1)] {
        assert_eq!(searches(rows), times, "{rows}");
    }
}
