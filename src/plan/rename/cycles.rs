//! Local renames that stand in each other's way: a place that is free only after another move, and files or directories that changed places.
//!
//! # Chains and circles
//! `mv b c; mv a b` is a chain: `b` has to leave its place before `a` can have it. Two directories that changed places, or three that went around,
//! are a circle: none of the places is free before another one is. All of a chain or a circle are looked at together, staged in one step, and made one
//! after the other ([`Together`]), each when no other staged move still leaves from its place. A circle begins with one that goes by way of a free name.
//!
//! # The known state in between
//! When a thing has got to that free name, base says so: it is agreed on there, as if somebody had renamed it in Dropbox and here. So whatever happens
//! from then on (a kill, a refusal for good, somebody else's work at the new place), what is believed is true: the thing lies in Dropbox under a name
//! that nothing here has, and under its new name here lies what base knows from there. That is an ordinary local rename: it is moved on, or, file by file,
//! sent and deleted, and an edit of somebody's there beats the deletion.
//!
//! # What is sent all the same
//! Files that changed places are sent if they are small ([`WORTH_IT`]): that is one call, and the history of each place stays with it. A file moved over another
//! one, which is gone by that, is a change of that one. Where it cannot be found out what became of the thing that was at the new place, nothing is moved there.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::RelPath;
use crate::model::closed::Places;

/// A file smaller than this is sent when it takes the place of another one, in bytes.
pub const WORTH_IT: u64 = 4 << 20;

/// So many rows are read at most in a round to find out where things have gone ...
const READ: u64 = 400_000;
/// ... in so many searches.
const SEARCHES: u64 = 200;

/// How often a round may search the queue of so many rows, each of which every search reads: the longer the queue, the more is left for the next
/// round.
pub fn searches(rows: u64) -> u64 {
    (READ / rows.max(1)).clamp(1, SEARCHES)
}

/// A move or a copy that is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The old path.
    pub from: &'a RelPath,
    /// The new path.
    pub to: &'a RelPath,
    /// What may follow upon what: directories upon directories, files upon files. `None`: a copy, which leaves its place to nobody.
    pub dir: Option<bool>,
}

/// Moves that are made one after the other, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// In an order in which each finds its place free, but for a circle's first.
    pub steps: Vec<usize>,
    /// The first goes by way of a free name.
    pub circle: bool,
}

/// Which of these may share a round: no place of one group lies at, below or above a place of another. The outer ones go first, and of those that meet
/// the first; the rest are proposed again.
pub fn together(steps: &[Step<'_>]) -> Vec<Together> {
    let mut order: Vec<usize> = (0..steps.len()).collect();
    let depth = |step: &Step<'_>| step.to.components().count().min(step.from.components().count());
    order.sort_by_key(|i| steps.get(*i).map(depth));
    let mut leaving: BTreeMap<(&RelPath, bool), usize> = BTreeMap::new();
    let mut coming: BTreeMap<(&RelPath, bool), usize> = BTreeMap::new();
    for &i in &order {
        let Some(Step { from, to, dir: Some(dir) }) = steps.get(i) else { continue };
        leaving.entry((from, *dir)).or_insert(i);
        coming.entry((to, *dir)).or_insert(i);
    }
    let mut seen = BTreeSet::new();
    let mut places = Places::default();
    let mut groups = Vec::new();
    for i in order {
        if seen.contains(&i) {
            continue;
        }
        let mut group = line(steps, i, &leaving, &coming);
        if group.steps.len() > 1 && nested(steps, &group.steps) {
            group = Together { steps: vec![i], circle: false };
        }
        seen.extend(group.steps.iter().copied());
        let mine = places_of(steps, &group.steps);
        if !mine.iter().any(|path| places.meet(path.as_str())) {
            for path in &mine {
                places.insert(path);
            }
            groups.push(group);
        }
    }
    groups
}

/// The chain or the circle that a move is part of.
fn line(
    steps: &[Step<'_>],
    start: usize,
    leaving: &BTreeMap<(&RelPath, bool), usize>,
    coming: &BTreeMap<(&RelPath, bool), usize>,
) -> Together {
    // Of two that leave from one place only the first is believed.
    let is_first = |i: usize| {
        let step = steps.get(i).and_then(|step| Some((step.from, step.dir?)));
        step.is_some_and(|from| leaving.get(&from) == Some(&i))
    };
    if !is_first(start) {
        return Together { steps: vec![start], circle: false };
    }
    let mut members = vec![start];
    // Whoever makes room for the last one, and so on. Each must be the one that both its places name, or a third has a say in it.
    let next = |last: usize, forward: bool| {
        let step = steps.get(last)?;
        let (from, to, dir) = (step.from, step.to, step.dir?);
        let (here, back) = if forward {
            (leaving.get(&(to, dir)), coming.get(&(to, dir)))
        } else {
            (coming.get(&(from, dir)), leaving.get(&(from, dir)))
        };
        here.copied().filter(|other| back == Some(&last) && is_first(*other))
    };
    let mut at = start;
    while let Some(other) = next(at, true) {
        if other == start {
            // The first leaves its place by another way; whoever wants that place goes next.
            let mut steps = members;
            steps.get_mut(1..).map(<[usize]>::reverse);
            return Together { circle: steps.len() > 1, steps };
        }
        if members.contains(&other) {
            break;
        }
        members.push(other);
        at = other;
    }
    members.reverse();
    at = start;
    while let Some(other) = next(at, false) {
        if members.contains(&other) {
            break;
        }
        members.push(other);
        at = other;
    }
    Together { steps: members, circle: false }
}

fn places_of(steps: &[Step<'_>], group: &[usize]) -> BTreeSet<RelPath> {
    let members = group.iter().filter_map(|i| steps.get(*i));
    members.flat_map(|step| [step.from.clone(), step.to.clone()]).collect()
}

/// Whether one of the places of these lies below another.
fn nested(steps: &[Step<'_>], group: &[usize]) -> bool {
    let mut places = Places::default();
    places_of(steps, group).iter().any(|path| places.meet(path.as_str()) || !places.insert(path))
}

#[cfg(test)]
mod tests;
