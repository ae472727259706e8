//! The FGD paper's experiment (Weng et al., ATC 2023), with the policies that it compares.
//!
//! A [`GpuNode`](apportion::scheduler::gpus::GpuNode) is what is left of a machine, device by device; a
//! [`GpuDemand`](apportion::scheduler::gpus::GpuDemand) is what a task takes of it. A [`Placement`](apportion::scheduler::Placement)
//! scores nodes for a demand; [`Packer`] keeps the nodes and the scores, which change with a node only. Ties are broken as in the
//! simulator of the paper's authors: by the first node of the best score. Which that is depends on the order of the nodes; their
//! experiments shuffle it.
//!
//! [`Inflation`] is the experiment: tasks of a trace arrive in random order, and again, until they would take more than the cluster
//! has; nothing ends.

mod devices;
mod inflation;
mod packer;
mod policy;

pub(crate) use devices::random_devices;
pub use inflation::{Inflation, Level};
pub use packer::Packer;
pub(crate) use policy::score;
