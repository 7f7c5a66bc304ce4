//! Hostile or broken input (group H).

mod entries;
mod files;
mod patterns;
mod refused;
mod secrets;
