//! Rules for names: which ones Dropbox can hold, which are not synced, and what a conflicted copy is called.

pub mod allowed;
pub mod conflict;
pub mod ignore;
