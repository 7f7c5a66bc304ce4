//! The service and the process (group V).

mod control;
mod watchdog;
