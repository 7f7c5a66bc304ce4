//! Pure rules: what to do is decided here and nowhere else. No clock, no disk, no network, no async: time, chance and text are passed in.

pub mod batch;
pub mod blame;
pub mod conflict;
pub mod copies;
pub mod course;
pub mod debounce;
pub mod decide;
pub mod diff;
pub mod governor;
pub mod guard;
pub mod ignore;
pub mod last_look;
pub mod listing;
pub mod meet;
pub mod moves;
pub mod names;
pub mod outcome;
pub mod pace;
pub mod pack;
pub mod recent;
pub mod remote_root;
pub mod retry;
pub mod swaps;
pub mod tell;
pub mod trash;
pub mod wait;
