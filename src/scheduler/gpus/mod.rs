//! Which agent, and which of its GPUs: the policies that the authors of fragmentation gradient descent compare (Weng et al., "Beware of
//! Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", ATC 2023).
//!
//! [`GpuNode`] is what is left of an agent, device by device, [`GpuDemand`] what a task takes of it; [`packing`], [`clustering`] and
//! [`descent`] score the one for the other. [`GpuPacking`], [`GpuClustering`] and [`GradientDescent`] are the preferences made of these.

mod demand;
mod formulas;
mod mix;
mod node;
mod policies;

pub use demand::{GpuDemand, GpuModels, TypicalDemand, typical};
pub use formulas::{Descent, clustering, descent, packing};
pub use mix::GpuMix;
pub use node::GpuNode;
pub use policies::{GpuClustering, GpuPacking, GradientDescent};
