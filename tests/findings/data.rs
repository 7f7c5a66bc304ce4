//! What could lose data (group D).
