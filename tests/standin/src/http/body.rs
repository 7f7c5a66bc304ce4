//! Reading request bodies: counted, slowed down to the set bandwidth, and never kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::wire::Refusal;

/// The body of one request.
pub(crate) struct Body {
    incoming: Incoming,
    bandwidth: Option<u64>,
    /// The connection breaks after this many bytes.
    cut: Option<u64>,
    /// Shared with whoever counts, also when the client goes away in the middle.
    read: Arc<AtomicU64>,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, bandwidth: Option<u64>, cut: Option<u64>) -> Self {
        Self { incoming, bandwidth, cut, read: Arc::default() }
    }

    /// Bytes read so far.
    pub(crate) fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The next bytes, or `None` at the end. The client went away, or a fault says so: [`Refusal::Drop`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            if self.cut.is_some_and(|cut| self.read.load(Ordering::Relaxed) >= cut) {
                return Err(Refusal::Drop);
            }
            let Some(frame) = self.incoming.frame().await else { return Ok(None) };
            let Ok(data) = frame.map_err(|_| Refusal::Drop)?.into_data() else { continue };
            self.read.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some(rate) = self.bandwidth {
                tokio::time::sleep(transfer_time(data.len(), rate)).await;
            }
            return Ok(Some(data));
        }
    }

    /// Everything, up to `limit` bytes; the rest is read and thrown away, so that the reply reaches the client.
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Bytes, Refusal> {
        let mut whole = BytesMut::new();
        while let Some(data) = self.next().await? {
            if whole.len() + data.len() <= limit {
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    }

    /// Reads to the end.
    pub(crate) async fn drain(&mut self) -> Result<(), Refusal> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// How long so many bytes take at `rate` bytes a second.
pub(crate) fn transfer_time(bytes: usize, rate: u64) -> Duration {
    let micros = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
    Duration::from_micros(micros)
}
