//! What the status says (group T), with what only it can tell (C12, D5).

mod counts;
mod first_listing;
mod gone;
mod shown;
mod truth;

use std::process::Output;

use serde_json::Value;

use super::harness::{World, socket, text, wait_for_socket};

/// `GET` on the socket: the code and the body.
pub(crate) fn get(world: &World, route: &str) -> (u16, Value) {
    wait_for_socket(world);
    socket::get(&world.socket(), route).unwrap()
}

fn account(status: &Value) -> &Value {
    &status["accounts"][0]
}

fn folder(status: &Value) -> &Value {
    &status["accounts"][0]["folders"][0]
}

fn reason(of: &Value) -> &str {
    of["reason"].as_str().unwrap_or_default()
}

/// `sync --wait`, which must end by itself.
fn wait(world: &World) -> Output {
    world.command(&["sync", "--wait"]).output().unwrap()
}

fn code(out: &Output) -> i32 {
    out.status.code().unwrap_or_else(|| panic!("{}", text(out)))
}
