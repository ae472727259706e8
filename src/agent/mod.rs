//! The agent: owns one machine and what runs on it.
