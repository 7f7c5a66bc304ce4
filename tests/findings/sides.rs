//! Sides that must meet (group C).

mod case_renames;
mod causes;
mod crossing;
mod dates;
mod listings;
mod long_names;
mod moving;
mod names;
