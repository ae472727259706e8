//! Where tasks with GPUs go: nodes by device, and the policies that choose among them.
//!
//! A [`Node`] is what is left of a machine, device by device; a [`Demand`] is what a task takes of it. A [`Placement`](apportion::scheduler::Placement) scores nodes for
//! a demand; [`Packer`] keeps the nodes and the scores, which change with a node only. The policies are those that the FGD paper
//! compares (Weng et al., ATC 2023), with the tie-breaking of its authors' simulator: the first node of the best score. Which that
//! is depends on the order of the nodes; their experiments shuffle it.
//!
//! [`Inflation`] is the experiment of that paper: tasks of a trace arrive in random order, and again, until they would take more
//! than the cluster has; nothing ends.

mod demand;
mod inflation;
mod node;
mod packer;
mod policy;

pub use demand::{Demand, Models, TypicalDemand, typical};
pub use inflation::{Inflation, Level};
pub use node::Node;
pub use packer::Packer;
pub(crate) use policy::score;
