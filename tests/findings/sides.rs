//! Sides that must meet (group C).

mod causes;
mod dates;
mod listings;
mod letters;
mod long_names;
