//! Sides that must meet (group C).

mod causes;
mod dates;
mod letters;
mod listings;
mod listings;
mod long_names;
