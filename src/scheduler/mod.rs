//! For framework authors: the `Scheduler` contract, the `Reconciler` layer and the test harness.
