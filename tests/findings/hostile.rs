//! Hostile or broken input (group H).

mod files;
mod patterns;
