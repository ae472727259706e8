//! The batch framework of apportion.
