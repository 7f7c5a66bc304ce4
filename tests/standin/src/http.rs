//! The HTTP side: connections, bodies, and one request from its head to its reply.

pub(crate) mod body;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod spoil;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::shared::Shared;

/// Head of a request that hyper still reads, so that one over the cap arrives to be refused by us.
const READ_BUFFER: usize = 2 * 1024 * 1024;

/// The connection is closed without (the rest of) a reply.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the stand-in closes the connection")
    }
}

impl std::error::Error for Dropped {}

impl From<Infallible> for Dropped {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Accepts connections until the task is aborted; they end with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Small replies must not wait for the client's delayed ACKs.
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| request::serve(Arc::clone(&shared), request));
                    // An error here is a client that went away, or a fault that closed the connection.
                    let _ = http1::Builder::new()
                        .max_buf_size(READ_BUFFER)
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
