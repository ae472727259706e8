//! For those who run tasks: the `Executor` contract and the built-in command executor.
