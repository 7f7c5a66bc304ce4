//! What the status says (group T).
