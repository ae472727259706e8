//! The master: owns the cluster's resources and offers them.
