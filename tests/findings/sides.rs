//! Sides that must meet (group C).
