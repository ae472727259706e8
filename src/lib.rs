//! A two-level resource scheduler, in the shape of Apache Mesos.
//!
//! A [`master`] holds the cluster's resources and decides who is offered what, next, by dominant-resource fairness over a tree
//! of roles ([`allocator`]). Frameworks decide what to run on what they are offered ([`scheduler`]). Whatever runs, runs in
//! executors ([`executor`]). All that decides is a deterministic state machine: it is given an input and the time, and says
//! what is to be done. The runtime drives the machines over QUIC; the simulator drives the same ones in virtual time.
//!
//! # The house
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`resources`] | what a machine has: exact scalars, ranges, sets; reservations; dense quantities |
//! | [`protocol`] | ids, tasks, offers, calls and events; the codec |
//! | [`allocator`] | who is offered what, next: the `Allocator` trait and hierarchical DRF |
//! | [`master`] | agents, frameworks, offers, operations, tasks, reconciliation |
//! | [`scheduler`] | the `Scheduler` trait, and the `Reconciler` layer on it |
//! | [`agent`] | tasks, executors and updates on one machine |
//! | [`executor`] | the `Executor` trait, the process around an executor, and the command executor |
//! | [`store`] | what a master must not forget: records, and where they are kept |
//! | [`spec`] | what people write: units, errors with their place, task tables |
//! | `isolation` | how a process is started, contained and reaped (feature `runtime`) |
//! | `net` | identities, certificates, QUIC (feature `runtime`) |
//! | `runtime` | drives masters, agents, schedulers and executors with tokio (feature `runtime`) |
//!
//! Dependencies point one way: `resources`, then `protocol`, then `allocator`, then `master`; `scheduler` and `executor` stand
//! on `protocol`; only `net`, `isolation` and `runtime` know tokio and the operating system. Without the default feature
//! `runtime` the library is pure computation.
//!
//! # A framework
//!
//! A [`Reconciler`](scheduler::Reconciler) compares what is with what should be. This one keeps three tasks running:
//!
//! ```
//! use std::sync::Arc;
//!
//! use apportion::protocol::{Command, CommandInfo, FrameworkInfo, TaskId, Work};
//! use apportion::resources::{Resources, Role, Shape};
//! use apportion::scheduler::{Plan, Planned, Reconciler, SchedulerInput, SchedulerProcess, TaskRequest, View};
//! use apportion::time::Time;
//!
//! struct Sleepers {
//!     role: Role,
//!     launched: u32,
//! }
//!
//! impl Reconciler for Sleepers {
//!     fn framework_info(&self) -> FrameworkInfo {
//!         FrameworkInfo::new("sleepers", self.role.clone())
//!     }
//!
//!     fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
//!         for (task, _) in view.terminal() {
//!             plan.forget(task.clone());
//!         }
//!         let shape = Arc::new(Shape::from(Resources::cpus_mem(100, 32)));
//!         let command = Arc::new(CommandInfo::new(Command::Argv(vec!["sleep".into(), "60".into()])));
//!         for _ in view.live().count() + view.queued()..3 {
//!             self.launched += 1;
//!             let Ok(id) = TaskId::new(format!("sleeper-{}", self.launched)) else { return };
//!             plan.launch(TaskRequest::new(id, self.role.clone(), shape.clone(), Work::Command(command.clone())));
//!         }
//!     }
//! }
//!
//! let sleepers = Sleepers { role: "web".parse()?, launched: 0 };
//! let mut process = SchedulerProcess::new(Planned::new(sleepers));
//! let mut out = Vec::new();
//! process.handle(Time::ZERO, SchedulerInput::Connected, &mut out);
//! assert_eq!(out.len(), 1, "it subscribes");
//! # Ok::<(), apportion::resources::RoleError>(())
//! ```

pub mod agent;
pub mod allocator;
pub mod executor;
#[cfg(feature = "runtime")]
pub mod isolation;
pub mod master;
#[cfg(feature = "runtime")]
pub mod net;
pub mod protocol;
pub mod resources;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod scheduler;
pub mod spec;
pub mod store;
pub mod time;
