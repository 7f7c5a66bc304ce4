//! Tags and replies (group R), and the scenarios of a first contact.

mod first_contact;
mod listings;
