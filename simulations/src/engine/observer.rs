//! Who is told what happens in a run while it goes on.

use apportion::protocol::{OfferId, OfferInfo, Operation};
use apportion::time::Time;

use super::record::TaskRun;

/// Is told what happens, when it happens, in its order: for metrics of one's own. It can't change anything.
///
/// Frameworks are told by their places: those of the scenario first, in its order, then those that were
/// [plugged in](super::Simulation::plug). Each method does nothing unless it is written.
pub trait Observer {
    /// A job arrived; its place in its framework's workload.
    fn arrived(&mut self, _at: Time, _framework: u32, _job: u32) {}

    /// Offers reached a framework. It answers when it has decided.
    fn offered(&mut self, _at: Time, _framework: u32, _offers: &[OfferInfo]) {}

    /// A framework used nothing of these offers.
    fn declined(&mut self, _at: Time, _framework: u32, _offers: &[OfferId]) {}

    /// A framework used these offers, which are of one machine, so.
    fn accepted(&mut self, _at: Time, _framework: u32, _offers: &[OfferId], _operations: &[Operation]) {}

    /// A framework was told that others had taken what it accepted.
    fn conflicted(&mut self, _at: Time, _framework: u32) {}

    /// A task started on its machine: the place of its run in [`Record::tasks`](super::Record::tasks).
    fn started(&mut self, _run: usize, _task: &TaskRun) {}

    /// A run of a task ended.
    fn ended(&mut self, _run: usize, _task: &TaskRun) {}
}
