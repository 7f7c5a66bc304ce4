//! Which loops and which work on the disk go on: for the watchdog's keeper, and for a life that begins while the last one still reads.
//!
//! A loop runs inside [`Beats::drive`] and strikes with each round. It *rests* while it waits for something outside (a call, the time, a change, its
//! turn), and that may last for as long as it likes: calls end by their own time-outs. Work on the disk is registered by itself, and is struck by
//! every piece that is read and every entry that is looked at ([`crate::local::Attendant`]).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinError;

use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::local::{Attendant, attended};

/// When something was last done.
#[derive(Debug)]
pub(crate) struct Beat(AtomicU64);

impl Default for Beat {
    fn default() -> Self {
        Self(AtomicU64::new(millis()))
    }
}

impl Beat {
    /// It is done now.
    pub(crate) fn strike(&self) {
        self.0.store(millis(), Ordering::Relaxed);
    }

    /// How long ago that was; at first, since this began.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(millis().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// Milliseconds since the first call, of a clock that nobody sets.
fn millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(env::instant).elapsed().as_millis()).unwrap_or(u64::MAX)
}

tokio::task_local! {
    /// The loop that this task is.
    static LOOP: (Arc<Beats>, Arc<Going>);
}

/// One loop, or one piece of work on the disk.
#[derive(Debug)]
struct Going {
    what: String,
    is_disk: bool,
    beat: Beat,
    resting: AtomicU32,
}

impl Going {
    /// It waits for something outside for as long as the guard lives.
    fn rest(self: &Arc<Self>) -> Resting {
        self.resting.fetch_add(1, Ordering::SeqCst);
        Resting(Arc::clone(self))
    }
}

struct Resting(Arc<Going>);

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.beat.strike();
        self.0.resting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All that goes on in one process.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    next: AtomicU64,
    going: Mutex<BTreeMap<u64, Arc<Going>>>,
    /// Nobody waits for what work on the disk finds: it is to end early.
    ending: AtomicBool,
    ended: Notify,
}

/// Something that goes on for as long as this lives.
struct Entry {
    beats: Arc<Beats>,
    number: u64,
    going: Arc<Going>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.beats.going).remove(&self.number);
        self.beats.ended.notify_waiters();
    }
}

struct Attending(Arc<Beats>, Arc<Going>);

impl Attendant for Attending {
    fn piece(&self) {
        self.1.beat.strike();
    }

    fn is_to_end(&self) -> bool {
        self.0.ending.load(Ordering::Relaxed)
    }
}

impl Beats {
    fn enter(self: &Arc<Self>, what: String, is_disk: bool) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let going = Arc::new(Going { what, is_disk, beat: Beat::default(), resting: AtomicU32::new(0) });
        lock(&self.going).insert(number, Arc::clone(&going));
        Entry { beats: Arc::clone(self), number, going }
    }

    /// Runs a loop, which the watchdog's keeper listens to from now on.
    pub(crate) fn drive<F: Future>(
        self: &Arc<Self>,
        what: String,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let entry = self.enter(what, false);
        let known = (Arc::clone(self), Arc::clone(&entry.going));
        async move {
            let _entry = entry;
            LOOP.scope(known, task).await
        }
    }

    /// What does not get on any more: a loop that is not resting, in a round; work on the disk, in a step of it.
    pub(crate) fn stuck(&self, round: Duration, step: Duration) -> Option<String> {
        let going = lock(&self.going);
        let is_stuck = |going: &&Arc<Going>| {
            let within = if going.is_disk { step } else { round };
            going.resting.load(Ordering::SeqCst) == 0 && going.beat.silence() > within
        };
        going.values().find(is_stuck).map(|going| going.what.clone())
    }

    /// Asks all work on the disk to end early.
    pub(crate) fn end_work(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Waits until none of it is left; what begins from then on is not asked to end.
    pub(crate) async fn work_has_ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !lock(&self.going).values().any(|going| going.is_disk) {
                self.ending.store(false, Ordering::Relaxed);
                return;
            }
            ended.await;
        }
    }
}

/// The loop that this task is makes another round.
pub(crate) fn strike() {
    let _ = LOOP.try_with(|(_, going)| going.beat.strike());
}

/// Waits for something outside: until then this loop is not expected to make a round.
pub(crate) async fn rest<F: Future>(wait: F) -> F::Output {
    let _resting = LOOP.try_with(|(_, going)| going.rest()).ok();
    wait.await
}

/// Runs something that blocks on the threads made for that. Who waits for it rests; the work itself is listened to.
pub(crate) async fn on_the_disk<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    // So long no machine runs.
    match on_the_disk_unless_silent(Duration::MAX, f).await {
        Ok(Some(done)) => Ok(done),
        Ok(None) => std::future::pending().await,
        Err(error) => Err(error),
    }
}

/// As [`on_the_disk`], but it is not waited for any more when it has made no step for as long as `silence`: `None`. It goes on by itself then, and what
/// it finds is lost. Outside of a loop it is waited for.
pub(crate) async fn on_the_disk_unless_silent<T: Send + 'static>(
    silence: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, JoinError> {
    let Ok((beats, going)) = LOOP.try_with(Clone::clone) else {
        return env::spawn_blocking(f).await.map(Some);
    };
    let entry = beats.enter(format!("work on the disk of {}", going.what), true);
    // It may have to wait for a thread.
    let queued = entry.going.rest();
    let _resting = going.rest();
    let steps = Arc::clone(&entry.going);
    let (tell, mut told) = tokio::sync::oneshot::channel();
    let work = env::spawn_blocking(move || {
        drop(queued);
        let done = attended(Arc::new(Attending(beats, Arc::clone(&entry.going))), f);
        // If nobody waits for it any more it goes here, with all that it holds: before the work counts as ended.
        drop(tell.send(done));
        drop(entry);
    });
    let told = loop {
        let left = silence.saturating_sub(steps.beat.silence()).max(Duration::from_millis(1));
        match env::timeout(left, &mut told).await {
            Ok(told) => break told,
            Err(_) if steps.resting.load(Ordering::SeqCst) == 0 && steps.beat.silence() >= silence => return Ok(None),
            Err(_) => {}
        }
    };
    match told {
        Ok(done) => Ok(Some(done)),
        Err(_) => match work.await {
            Err(error) => Err(error),
            // It cannot be: what ends without a panic has told.
            Ok(()) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    /// Waits until the clock that counts milliseconds has gone on.
    async fn a_moment() {
        env::sleep(Duration::from_millis(5)).await;
    }

    #[tokio::test]
    async fn v2_a_loop_is_stuck_only_while_it_does_not_rest() {
        let beats = Arc::new(Beats::default());
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let task = beats.drive("a worker".to_owned(), async move {
            rest(begun).await.unwrap();
            told.await.unwrap();
        });
        #[allow(clippy::disallowed_methods)] // The test awaits it.
        let task = tokio::spawn(task);
        a_moment().await;
        assert_eq!(beats.stuck(LONG, LONG), None);
        // Before it ran it was expected to; now it waits for something outside.
        assert_eq!(beats.stuck(NONE, LONG), None);
        begin.send(()).unwrap();
        a_moment().await;
        a_moment().await;
        assert_eq!(beats.stuck(NONE, LONG).as_deref(), Some("a worker"));
        tell.send(()).unwrap();
        task.await.unwrap();
        assert_eq!(beats.stuck(NONE, NONE), None);
    }

    #[tokio::test]
    async fn v11_work_that_makes_no_step_is_waited_for_no_longer_and_slow_work_is() {
        let beats = Arc::new(Beats::default());
        let limit = Duration::from_millis(300);
        let (free, freed) = std::sync::mpsc::channel::<()>();
        let task = beats.drive("a loop".to_owned(), async move {
            let hangs = on_the_disk_unless_silent(limit, move || freed.recv().is_ok()).await.unwrap();
            let slow = move || {
                let began = env::instant();
                while began.elapsed() < limit * 3 {
                    std::thread::sleep(Duration::from_millis(5));
                    crate::local::piece();
                }
                true
            };
            (hangs, on_the_disk_unless_silent(limit, slow).await.unwrap())
        });
        assert_eq!(task.await, (None, Some(true)));
        free.send(()).unwrap();
        beats.work_has_ended().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn v3_work_on_the_disk_outlives_its_task_and_is_waited_for() {
        struct Never;
        let beats = Arc::new(Beats::default());
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (free, freed) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Never);
        let weak = Arc::downgrade(&held);
        let task = beats.drive("a worker".to_owned(), async move {
            let work = move || {
                begun.send(()).unwrap();
                freed.recv().unwrap();
                drop(held);
            };
            on_the_disk(work).await
        });
        #[allow(clippy::disallowed_methods)] // The test awaits it.
        let task = tokio::spawn(task);
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        a_moment().await;
        // The loop rests meanwhile; the work itself makes no step.
        assert_eq!(beats.stuck(NONE, LONG), None);
        assert_eq!(beats.stuck(LONG, NONE).as_deref(), Some("work on the disk of a worker"));
        task.abort();
        let _ = task.await;
        assert!(weak.upgrade().is_some());
        let waits = beats.work_has_ended();
        tokio::pin!(waits);
        assert!(env::timeout(Duration::from_millis(50), &mut waits).await.is_err());
        free.send(()).unwrap();
        waits.await;
        assert!(weak.upgrade().is_none());
    }
}
