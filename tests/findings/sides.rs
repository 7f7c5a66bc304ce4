//! Sides that must meet (group C).

mod causes;
mod crossing;
mod dates;
mod letters;
mod listings;
mod long_names;
mod moving;
mod names;
