//! Pure rules: views in, decisions out. No clock, no disk, no network, no async; time and text are passed in.

pub mod ignore;
pub mod names;
