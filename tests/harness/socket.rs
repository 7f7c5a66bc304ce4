//! The control socket, asked without the program: what is asked again and again need not start a process each time.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// `GET` on the socket: the code and the body. `None`: nobody answers there, or not to the end.
pub fn get(socket: &Path, route: &str) -> Option<(u16, Value)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {route} HTTP/1.1\r\nHost: ferrybox\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((code, serde_json::from_str(body).ok()?))
}
