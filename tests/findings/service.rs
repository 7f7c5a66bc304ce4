//! The service and the process (group V).

mod control;
mod relink;
mod watchdog;
