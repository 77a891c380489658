//! What to read.
