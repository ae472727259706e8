//! What people write: units, located errors, and the parts that every spec shares.
