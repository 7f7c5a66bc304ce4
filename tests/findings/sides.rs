//! Sides that must meet (group C).

mod causes;
mod dates;
mod listings;
mod letters;
mod listings;
mod long_names;
