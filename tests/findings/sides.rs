//! Sides that must meet (group C).

mod causes;
mod long_names;
