//! The commit lane (group L).
