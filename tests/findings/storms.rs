//! No loop without progress (group S).

mod commits;
mod listings;
mod refusals;

use std::time::Duration;

use super::harness::World;

/// The most calls a minute that something which leads nowhere may make.
const A_MINUTE: u64 = 60;

/// All calls so far.
fn calls(world: &World) -> u64 {
    world.standin.calls().values().map(|stats| stats.calls).sum()
}

/// Whether whole minutes are measured.
fn is_long() -> bool {
    std::env::var_os("FERRYBOX_LONG").is_some()
}

/// Watches the server for a while and holds what comes against the rate that is allowed. With `FERRYBOX_LONG` it is a whole minute, and the
/// number of calls is printed.
fn assert_calm(world: &World, what: &str, within: Duration) {
    let within = if is_long() { Duration::from_secs(60) } else { within };
    let first = calls(world);
    let before = world.standin.calls();
    let many = calls(world) + within.as_secs() * A_MINUTE / 60 + 1;
    let stormy = world.standin.wait_for_blocking(within, |_| calls(world) > many);
    let now = world.standin.calls();
    let more: Vec<_> = now
        .iter()
        .map(|(route, stats)| (route, stats.calls - before.get(route).map_or(0, |stats| stats.calls)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if is_long() {
        println!("{what}: {} calls in {within:?}", calls(world) - first);
    }
    assert!(!stormy, "{what}: more than {A_MINUTE} calls a minute: {more:?}\n{}", world.log());
}

/// The first problem's text, once there is one that is as it ought to be.
fn until_problem(world: &World, what: &str, mut done: impl FnMut(&serde_json::Value) -> bool) -> String {
    let mut found = None;
    world.eventually(what, || {
        let out = world.command(&["problems", "--json"]).output().unwrap();
        let list: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        let list = list.get("items").cloned().unwrap_or(list);
        found = list.as_array().into_iter().flatten().find(|problem| done(problem)).cloned();
        found.is_some()
    });
    found.unwrap()["text"].as_str().unwrap().to_owned()
}
