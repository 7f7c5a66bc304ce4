//! The one loop in which an account's tasks run: it waits until the task may work, has it take a step, and waits for what comes next.
//!
//! A step never sleeps, and never waits for news: it says what there is to wait for, and the loop does that. So the watchdog's beat is struck in one
//! place, a task that waits is never taken for one that hangs, and a simulator can choose which task takes the next step.

use std::future::Future;

use crate::engine::blocking::Fatal;
use crate::engine::heartbeat::{rest, strike};
use crate::env;
use crate::env::Instant;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done, and there may be more to do.
    Worked,
    /// There is nothing to do before that moment of the monotonic clock, unless there is news. It is no moment of the wall clock, which people set back
    /// and forth: [`env::until`] makes one of a row's time.
    Idle {
        /// When to look again.
        until: Instant,
    },
}

/// Work that is done step by step, for ever.
pub(crate) trait Task: Send {
    /// Waits until the task may work at all: the account is linked, online and not paused, and it is this task's turn.
    fn gate(&mut self) -> impl Future<Output = Result<(), Fatal>> + Send;

    /// One unit of work. It waits for calls and for the disk, and for nothing else. Whatever happens after it began to look must be news.
    ///
    /// # Errors
    /// Those that end the account's tasks.
    fn step(&mut self) -> impl Future<Output = Result<Step, Fatal>> + Send;

    /// Waits for something that gives an idle task work. It may be dropped at any moment and asked for again: nothing may be lost by that.
    ///
    /// # Errors
    /// Those that end the account's tasks.
    fn news(&mut self) -> impl Future<Output = Result<(), Fatal>> + Send;
}

/// Has a task work for ever.
///
/// # Errors
/// What a step, the gate or the wait for news fails with.
pub(crate) async fn drive<T: Task>(mut task: T) -> Result<(), Fatal> {
    loop {
        rest(task.gate()).await?;
        strike();
        let Step::Idle { until } = task.step().await? else { continue };
        let wait = async {
            tokio::select! {
                biased;
                news = task.news() => news,
                () = env::sleep_until(until) => Ok(()),
            }
        };
        rest(wait).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Notes what is asked of it, and ends its loop after these steps.
    struct Noting<'a> {
        notes: &'a mut Vec<&'static str>,
        steps: Vec<Step>,
        has_news: bool,
    }

    impl Task for Noting<'_> {
        async fn gate(&mut self) -> Result<(), Fatal> {
            self.notes.push("gate");
            Ok(())
        }

        async fn step(&mut self) -> Result<Step, Fatal> {
            self.notes.push("step");
            if self.steps.is_empty() { Err(Fatal::Task("the end".to_owned())) } else { Ok(self.steps.remove(0)) }
        }

        async fn news(&mut self) -> Result<(), Fatal> {
            self.notes.push("news");
            if self.has_news { Ok(()) } else { std::future::pending().await }
        }
    }

    async fn driven(steps: Vec<Step>, has_news: bool) -> Vec<&'static str> {
        let mut notes = Vec::new();
        let ended = drive(Noting { notes: &mut notes, steps, has_news }).await;
        assert!(matches!(ended, Err(Fatal::Task(text)) if text == "the end"));
        notes
    }

    #[tokio::test]
    async fn a_task_that_worked_goes_on_at_once() {
        assert_eq!(driven(vec![Step::Worked], false).await, ["gate", "step", "gate", "step"]);
    }

    #[tokio::test]
    async fn an_idle_task_goes_on_when_its_time_has_come() {
        let until = env::instant() + Duration::from_millis(20);
        assert_eq!(driven(vec![Step::Idle { until }], false).await, ["gate", "step", "news", "gate", "step"]);
        assert!(env::instant() >= until);
    }

    #[tokio::test]
    async fn news_end_a_wait_early() {
        let until = env::instant() + Duration::from_hours(1);
        assert_eq!(driven(vec![Step::Idle { until }], true).await, ["gate", "step", "news", "gate", "step"]);
        assert!(env::instant() < until);
    }
}
