//! The service and the process (group V).

mod watchdog;
