//! Devices by chance.

use apportion::scheduler::gpus::{GpuDemand, GpuNode};

use crate::random::Stream;

/// Devices for a task: any that fit.
pub(crate) fn random_devices(node: &GpuNode, demand: &GpuDemand, stream: &mut Stream) -> Vec<usize> {
    let mut fitting: Vec<usize> =
        (0..node.gpus.len()).filter(|device| node.gpus[*device] >= demand.gpus.milli).collect();
    stream.shuffle(&mut fitting);
    fitting.truncate(demand.gpus.count as usize);
    fitting
}
