//! Sides that must meet (group C).

mod causes;
mod listings;
mod long_names;
