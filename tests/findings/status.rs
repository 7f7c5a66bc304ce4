//! What the status says (group T), with what only it can tell (C12, D5).

mod counts;
mod first_listing;
mod gone;
mod shown;
mod truth;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Output;

use serde_json::Value;

use super::harness::{World, text, wait_for_socket};

/// `GET` on the socket: the code and the body.
pub(crate) fn get(world: &World, route: &str) -> (u16, Value) {
    wait_for_socket(world);
    let mut stream = UnixStream::connect(world.socket()).unwrap();
    write!(stream, "GET {route} HTTP/1.1\r\nHost: ferrybox\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, serde_json::from_str(body).unwrap_or_default())
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
