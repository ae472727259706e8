//! Simulates apportion clusters in virtual time, on the production code.
