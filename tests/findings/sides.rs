//! Sides that must meet (group C).

mod long_names;
