//! Rules of time: debounce, backoff, and waits that survive a clock that is set back.

pub mod debounce;
pub mod governor;
pub mod retry;
pub mod wait;
