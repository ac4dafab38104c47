//! What is written reads back to the same: both formats, any value.
