//! The service framework of apportion.
