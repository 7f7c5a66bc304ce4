//! Bodies: streamed from wherever the caller reads them, in slices, paced, counted and watched.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::env;
use crate::env::Instant;
use crate::model::{ContentHash, ContentHasher};

/// What is handed to the socket at once: 64 KiB.
const SLICE: usize = 64 << 10;

/// Bytes as they are read.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// The bytes of one call. Its hash stands in the header before it, so the bytes are read twice, or held.
pub struct Body {
    len: u64,
    content_hash: ContentHash,
    source: Source,
}

enum Source {
    Held(Vec<Bytes>),
    Again(Arc<dyn Fn() -> ByteStream + Send + Sync>),
    Once(Option<ByteStream>),
}

impl Body {
    /// Bytes that are held, in this order.
    pub fn from_bytes(pieces: Vec<Bytes>) -> Self {
        let mut hasher = ContentHasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        Self { len: hasher.total(), content_hash: hasher.finish(), source: Source::Held(pieces) }
    }

    /// Bytes that are held and whose hash is known.
    pub fn from_hashed(pieces: Vec<Bytes>, content_hash: ContentHash) -> Self {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { len, content_hash, source: Source::Held(pieces) }
    }

    /// Bytes that can be read again: `open` is asked for each time that the call is sent, which is twice where a token had expired.
    pub fn from_fn(len: u64, content_hash: ContentHash, open: impl Fn() -> ByteStream + Send + Sync + 'static) -> Self {
        Self { len, content_hash, source: Source::Again(Arc::new(open)) }
    }

    /// Bytes that can be read once. An error of the stream comes back as [`CallError::Body`](crate::dropbox::CallError::Body), untouched.
    pub fn from_stream(len: u64, content_hash: ContentHash, stream: ByteStream) -> Self {
        Self { len, content_hash, source: Source::Once(Some(stream)) }
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their hash.
    pub fn content_hash(&self) -> ContentHash {
        self.content_hash
    }

    /// The stream for one sending; none if it was read already and cannot be read again.
    pub(crate) fn open(&mut self) -> Option<ByteStream> {
        match &mut self.source {
            Source::Held(pieces) => Some(stream::iter(pieces.clone()).map(Ok).boxed()),
            Source::Again(open) => Some(open()),
            Source::Once(stream) => stream.take(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len).field("content_hash", &self.content_hash).finish_non_exhaustive()
    }
}

/// Bytes of bodies so far, and how fast they may go. One for the whole client.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    limit: ArcSwapOption<DefaultDirectRateLimiter>,
    arrivals: ArcSwapOption<DefaultDirectRateLimiter>,
}

impl Flow {
    /// Sets the speed in bytes a second, also for bodies under way. Counted in KiB; less than 1 KiB a second becomes that.
    pub(crate) fn limit(&self, bandwidth: Option<u64>) {
        self.limit.store(bandwidth.map(limiter));
    }

    /// The same for downloads.
    pub(crate) fn limit_arrivals(&self, bandwidth: Option<u64>) {
        self.arrivals.store(bandwidth.map(limiter));
    }

    /// Counts bytes of a download, and holds it back until they fit into its speed.
    pub(crate) async fn arrived(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut left = bytes;
        while left > 0 {
            let slice = left.min(SLICE);
            let (Some(limiter), Some(kib)) = (self.arrivals.load_full(), NonZeroU32::new(kib_of(slice))) else {
                return;
            };
            // It cannot fail: a slice is never larger than the burst. Asked again now and then, since the speed may change.
            match limiter.check_n(kib) {
                Ok(Err(_)) => env::sleep(Duration::from_millis(5)).await,
                _ => left -= slice,
            }
        }
    }
}

fn limiter(bytes: u64) -> Arc<DefaultDirectRateLimiter> {
    let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).min(1_000_000_000);
    let rate = NonZeroU32::new(kib).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(kib_of(SLICE)).unwrap_or(NonZeroU32::MIN);
    Arc::new(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)))
}

fn kib_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// One sending of a body, as the caller of the network sees it: when bytes last moved, and the stream's own error.
#[derive(Clone)]
pub(crate) struct Watch {
    moved: Arc<Mutex<Instant>>,
    broken: Arc<Mutex<Option<io::Error>>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { moved: Arc::new(Mutex::new(env::instant())), broken: Arc::default() }
    }

    pub(crate) fn touch(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = env::instant();
    }

    /// The stream's own error, if it gave one.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns when nothing has moved for that long.
    pub(crate) async fn stalled(&self, idle: Duration) {
        loop {
            let until = *self.moved.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if until <= env::instant() {
                return;
            }
            env::sleep_until(until).await;
        }
    }
}

struct Sending {
    source: ByteStream,
    held: Bytes,
    left: u64,
    flow: Arc<Flow>,
    watch: Watch,
    over: bool,
}

impl Sending {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        while self.held.is_empty() {
            match self.source.next().await {
                Some(Ok(bytes)) => self.held = bytes,
                Some(Err(e)) => return Some(Err(self.fail(e))),
                None if self.left == 0 => return None,
                None => {
                    let text = format!("the stream ended {} bytes early", self.left);
                    return Some(Err(self.fail(io::Error::new(io::ErrorKind::UnexpectedEof, text))));
                }
            }
        }
        if self.held.len() as u64 > self.left {
            let text = "the stream gave more bytes than were announced";
            return Some(Err(self.fail(io::Error::new(io::ErrorKind::InvalidData, text))));
        }
        let slice = self.held.split_to(self.held.len().min(SLICE));
        if let Some(limiter) = self.flow.limit.load_full()
            && let Some(kib) = NonZeroU32::new(kib_of(slice.len()))
        {
            // Waiting for our own limit is not a stall of the network. It cannot fail: a slice is never larger than the burst.
            while limiter.check_n(kib).is_ok_and(|now| now.is_err()) {
                self.watch.touch();
                env::sleep(Duration::from_millis(5)).await;
            }
        }
        self.left -= slice.len() as u64;
        self.flow.sent.fetch_add(slice.len() as u64, Ordering::Relaxed);
        self.watch.touch();
        Some(Ok(slice))
    }

    /// Keeps the stream's error for the caller and gives the network a stand-in for it.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.over = true;
        let stand_in = io::Error::new(error.kind(), "the body could not be read");
        *self.watch.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        stand_in
    }
}

/// The stream that the HTTP client reads.
pub(crate) fn sending(source: ByteStream, len: u64, flow: Arc<Flow>, watch: Watch) -> reqwest::Body {
    let sending = Sending { source, held: Bytes::new(), left: len, flow, watch, over: false };
    reqwest::Body::wrap_stream(stream::unfold(sending, |mut s| async move { s.next().await.map(|item| (item, s)) }))
}
