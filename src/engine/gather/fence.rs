//! Our own commits, until the listing has caught up with them.
//!
//! Between a commit and the page that tells of it the cache shows what was there before. To take that for somebody's change would undo our own: a file
//! that was just sent would be replaced by its last revision, one that was just deleted would come back. So the view of such a path is unknown until a
//! listing call that began after the commit has fetched everything there is.
//!
//! The same for a move of another device that takes two steps: between them the listing shows something that has left its old name and has none that
//! will last. To follow it there and back would be two moves here, too, and whatever is written meanwhile would go up under a name that nobody gave.
//!
//! In memory only: after a start nothing is believed before the first such call has ended.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::env;
use crate::env::Instant;
use crate::env::lock;

/// More paths than this are remembered as "all of them".
const MANY: usize = 50_000;
/// Another device's move is halfway for so long at the most: then that device has stopped there, and what the listing shows is what there is.
pub(crate) const HALFWAY: Duration = Duration::from_secs(30);
/// Afterwards a comparison has begun within this time.
const COMPARED: Duration = Duration::from_secs(5);

/// What was committed and may not be listed yet, by one text for whatever Dropbox may take for one path.
#[derive(Debug, Default)]
pub(crate) struct Echo(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts commits.
    tick: u64,
    paths: HashMap<String, u64>,
    /// Everything at or below these.
    trees: HashMap<String, u64>,
    /// Everything committed up to here counts as not listed.
    all: Option<u64>,
    /// Whether a run has ended since the start.
    listed: bool,
    /// Somebody waits for the listing.
    wanted: bool,
    /// Things on their way by another name, and since when they are seen.
    halfway: HashMap<String, Instant>,
}

impl Echo {
    /// These were committed, or may have been.
    pub(crate) fn note(&self, keys: impl IntoIterator<Item = String>) {
        let mut state = lock(&self.0);
        state.tick += 1;
        let tick = state.tick;
        for key in keys {
            state.paths.insert(key, tick);
        }
        if state.paths.len() > MANY {
            state.paths = HashMap::new();
            state.all = Some(tick);
        }
    }

    /// A folder was moved from one of these to another, with all that was in it.
    pub(crate) fn note_trees(&self, keys: impl IntoIterator<Item = String>) {
        let mut state = lock(&self.0);
        state.tick += 1;
        let tick = state.tick;
        state.trees.extend(keys.into_iter().map(|key| (key, tick)));
        // All of its files have new revisions.
        state.wanted = true;
    }

    /// The listing shows these on their way by another name.
    pub(crate) fn set_out(&self, keys: impl IntoIterator<Item = String>) {
        let mut state = lock(&self.0);
        for key in keys {
            state.halfway.entry(key).or_insert_with(env::instant);
        }
    }

    /// Nothing is there any more, or below it.
    pub(crate) fn arrived(&self, key: &str) {
        lock(&self.0).halfway.retain(|at, _| !is_at_or_below(at, key));
    }

    /// For how long the listing is not believed because something is on its way.
    pub(crate) fn halfway(&self) -> Option<Duration> {
        lock(&self.0).halfway()
    }

    /// Whether that is so, or was a moment ago: what came of it is about to be compared.
    pub(crate) fn was_halfway(&self) -> bool {
        lock(&self.0).halfway.values().any(|since| since.elapsed() < HALFWAY + COMPARED)
    }

    /// Before a listing call.
    pub(crate) fn begin(&self) -> u64 {
        lock(&self.0).tick
    }

    /// That call, or a later one, has said that there is nothing more to fetch, and what it brought is stored. Gives the places of moved folders that it
    /// shows by now: what was not in them any more when they were moved has no entry there, and so is told of by nobody.
    pub(crate) fn ended(&self, began: u64) -> Vec<String> {
        let mut state = lock(&self.0);
        state.paths.retain(|_, tick| *tick > began);
        let mut shown = Vec::new();
        state.trees.retain(|key, tick| {
            let waits = *tick > began;
            if !waits {
                shown.push(key.clone());
            }
            waits
        });
        state.all = state.all.filter(|tick| *tick > began);
        state.listed = true;
        state.wanted = false;
        shown
    }

    /// Whether the cache may be believed about anything.
    pub(crate) fn listed(&self) -> bool {
        lock(&self.0).listed
    }

    /// Whether the cache may show this path as it was before our own commit.
    pub(crate) fn covers(&self, key: &str) -> bool {
        let mut state = lock(&self.0);
        let covers = !state.listed || state.all.is_some() || state.paths.contains_key(key) || state.in_tree(key);
        state.wanted |= covers;
        // That another device goes on is told by the longpoll.
        covers || state.halfway().is_some()
    }

    /// Whether our own commit of this path, of this run, may not be in the cache yet.
    pub(crate) fn covers_commit(&self, key: &str) -> bool {
        let mut state = lock(&self.0);
        let covers = state.all.is_some() || state.paths.contains_key(key) || state.in_tree(key);
        state.wanted |= covers;
        covers
    }

    /// Whether the cache may show this path as it was before a folder was moved.
    pub(crate) fn covers_tree(&self, key: &str) -> bool {
        let mut state = lock(&self.0);
        let covers = state.in_tree(key);
        state.wanted |= covers;
        covers
    }

    /// Whether a folder was moved that it may not show yet.
    pub(crate) fn awaits_tree(&self) -> bool {
        let mut state = lock(&self.0);
        state.wanted |= !state.trees.is_empty();
        !state.trees.is_empty()
    }

    /// Whether everything that was committed is listed.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = lock(&self.0);
        state.listed && state.paths.is_empty() && state.trees.is_empty() && state.all.is_none()
    }

    /// Whether somebody waits for the listing to catch up.
    pub(crate) fn is_wanted(&self) -> bool {
        lock(&self.0).wanted
    }
}

impl State {
    fn in_tree(&self, key: &str) -> bool {
        self.trees.keys().any(|tree| is_at_or_below(key, tree))
    }

    fn halfway(&self) -> Option<Duration> {
        self.halfway.values().filter_map(|since| HALFWAY.checked_sub(since.elapsed())).max()
    }
}

fn is_at_or_below(key: &str, tree: &str) -> bool {
    key.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_an_echo_until_a_call_that_began_after_it_has_ended() {
        let echo = Echo::default();
        assert!(echo.covers("/a"), "nothing is believed before the first listing");
        echo.ended(echo.begin());
        assert!(!echo.covers("/a"));
        let began = echo.begin();
        echo.note(["/a".to_owned()]);
        echo.ended(began);
        assert!(echo.covers("/a"), "that call may have been answered before the commit");
        assert!(!echo.covers("/b"));
        echo.ended(echo.begin());
        assert!(!echo.covers("/a"));
    }

    #[test]
    fn nothing_is_believed_while_something_is_on_its_way() {
        let echo = Echo::default();
        echo.ended(0);
        echo.set_out(["/d/.x".to_owned(), "/d/.y".to_owned()]);
        assert!(echo.covers("/other") && echo.halfway().is_some());
        echo.arrived("/d/.x");
        assert!(echo.covers("/other"));
        echo.arrived("/d");
        assert!(!echo.covers("/other") && echo.halfway().is_none());
    }

    #[test]
    fn very_many_commits_cover_everything() {
        let echo = Echo::default();
        echo.ended(0);
        echo.note((0..=MANY).map(|n| format!("/{n}")));
        assert!(echo.covers("/other"));
        echo.ended(echo.begin());
        assert!(!echo.covers("/other") && !echo.covers("/0"));
    }
}
