//! Hostile or broken input (group H).
