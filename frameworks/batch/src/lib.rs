//! The batch framework of apportion: jobs of steps, each an array of tasks, that run in the order of their needs.
//!
//! - A [`BatchSpec`] is a job as people write it. Its steps form a graph without cycles.
//! - A *run* of a job has *steps*, a step has *indexes*, an index has *attempts*. A task is one attempt; its id is
//!   `<run>.<step>.<index>.<attempt>`.
//! - [`BatchFramework`] is the reconciler: status updates change the state of a run, and reconciling queues what may start
//!   next. [`BatchRequest`] and [`BatchReply`] are what operators and it tell each other.
//!
//! What holds of every run:
//!
//! - At most one attempt of an index is wanted at a time, and an index that has succeeded is never run again.
//! - A failure of the program uses up the index's retries; losing the agent, the executor or the offer does not. A task that the
//!   cluster refuses as invalid is not retried.
//! - When an index has used up its retries the step fails: what is queued is withdrawn, what runs may end, and nothing of
//!   the step starts any more.
//! - A step that waits for what can't happen any more is skipped. A run fails when a step failed, also when another step waited
//!   for just that; a skipped step alone does not make it fail.
//! - A task on an agent that the master calls unreachable is given up and started elsewhere; should it come back, it is
//!   stopped.
//! - Where records are kept, a framework that starts anew goes on with all of its runs.

mod framework;
mod graph;
mod records;
mod request;
mod run;
mod spec;
mod step;

pub use framework::{BatchFramework, FAILOVER_TIMEOUT, MAX_FINISHED_RUNS, PROGRESS_INTERVAL, SubmitError};
pub use request::{
    BatchReply, BatchRequest, Failure, MessageError, RunProgress, RunResult, RunState, RunSummary,
    StepProgress, StepResult, StepState, TaskPlace,
};
pub use run::{MAX_FAILURES_KEPT, MAX_TASKS_SHOWN};
pub use spec::{
    BatchSpec, InvalidSpec, KIND, MAX_COUNT, MAX_NAME_BYTES, RUN_DIR, RetryTable, SPEC_DIR, StepKeys,
};
