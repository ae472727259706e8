//! The contract between a framework's scheduler and the cluster.

use super::{DamagedRecord, Driver, Offer, Records};
use crate::protocol::{
    AgentId, Conflict, ExecutorId, Explanation, FrameworkInfo, InverseOfferInfo, OfferId, PreemptionNotice,
    Reason, RequestId, TaskId, TaskState, TaskStatus,
};

/// Whether an update is recorded.
#[must_use = "an update that is never acknowledged is repeated for ever"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is recorded; it need not be told again.
    Now,
    /// Not yet: [`Driver::acknowledge`] will be called.
    Later,
}

/// How a subscription came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// The master did not know the framework.
    New,
    /// The master knew it: tasks of before may still run. The newest update of each that the master knows follows by itself.
    Resumed,
}

/// A framework's scheduler: decides what to run on what it is offered.
///
/// It is a state machine: it must not read a clock, draw random numbers, or do any IO; time and timers come through the
/// [`Driver`]. The callbacks' names are those of Mesos' scheduler.
pub trait Scheduler {
    /// Who the framework is. Asked once, before it subscribes.
    fn framework_info(&self) -> FrameworkInfo;

    /// Goes on from what an earlier life [recorded](Driver::record); called before all else, and only where records are kept.
    ///
    /// # Errors
    /// When a record can't be used: the framework does not start then.
    fn restore(&mut self, driver: &mut Driver, records: &Records) -> Result<(), DamagedRecord> {
        let _ = (driver, records);
        Ok(())
    }

    /// Resources are offered. Tasks go out by [`Offer::launch`]; what is neither used nor held when this returns is
    /// declined.
    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]);

    /// A task has a new state. Told in order and at least once; repetitions of what was acknowledged are left out.
    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack;

    /// The master has accepted the subscription, for the first time or again.
    fn subscribed(&mut self, driver: &mut Driver, how: Subscription) {
        let _ = (driver, how);
    }

    /// The master can't be reached; offers are void. Tasks go on.
    fn disconnected(&mut self, driver: &mut Driver) {
        let _ = driver;
    }

    /// A held offer does not hold any more.
    fn offer_rescinded(&mut self, driver: &mut Driver, offer: OfferId) {
        let _ = (driver, offer);
    }

    /// Agents will be away on which the framework has something: it had better leave them. Answer by
    /// [`Driver::answer_inverse_offer`]; whoever does not answer is not asked again.
    fn inverse_offers(&mut self, driver: &mut Driver, offers: &[InverseOfferInfo]) {
        let _ = (driver, offers);
    }

    /// An accept of [optimistic](crate::protocol::OfferMode::Optimistic) offers came too late: nothing of it was done, and what
    /// is left is offered again. Unless this is implemented, each of its tasks is told as dropped.
    fn conflict(&mut self, driver: &mut Driver, conflict: &Conflict) {
        for task in &conflict.tasks {
            let message = format!("{} is gone", conflict.gone);
            let status = TaskStatus {
                agent: Some(conflict.agent.clone()),
                ..TaskStatus::new(task.clone(), TaskState::Dropped, driver.now())
            };
            // It has no number, so that there is nothing to acknowledge.
            let _ = self.status_update(driver, &status.because(Reason::Conflict, message));
        }
    }

    /// An update that was recorded came again: nothing has happened since, as far as the master knows. So questions may be answered, see
    /// [`Driver::reconcile`].
    fn status_repeated(&mut self, driver: &mut Driver, status: &TaskStatus) {
        let _ = (driver, status);
    }

    /// A task is to make room for others: it had better save what it has. It is stopped at the notice's deadline, if it has not ended
    /// by then, and told as killed with [`Reason::Preempted`].
    fn preemption(&mut self, driver: &mut Driver, notice: &PreemptionNotice) {
        let _ = (driver, notice);
    }

    /// A task that was to make room need not do so any more.
    fn preemption_cancelled(&mut self, driver: &mut Driver, task: &TaskId) {
        let _ = (driver, task);
    }

    /// An agent is gone. Updates of its tasks come apart from this.
    fn agent_lost(&mut self, driver: &mut Driver, agent: &AgentId) {
        let _ = (driver, agent);
    }

    /// An executor of the framework's own ended. Updates of its tasks come apart from this.
    fn executor_lost(&mut self, driver: &mut Driver, agent: &AgentId, executor: &ExecutorId, message: &str) {
        let _ = (driver, agent, executor, message);
    }

    /// One of the framework's executors speaks.
    fn framework_message(
        &mut self,
        driver: &mut Driver,
        agent: &AgentId,
        executor: &ExecutorId,
        data: &[u8],
    ) {
        let _ = (driver, agent, executor, data);
    }

    /// A timer that was set by [`Driver::set_timer`] is due.
    fn timer(&mut self, driver: &mut Driver, id: u64) {
        let _ = (driver, id);
    }

    /// An operator, or the program around the scheduler, asks something. Answer by [`Driver::reply`], now or later, once or
    /// several times.
    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        let _ = data;
        driver.reply(request, Vec::new(), true);
    }

    /// Whoever made the request does not wait for answers any more.
    fn request_cancelled(&mut self, driver: &mut Driver, request: RequestId) {
        let _ = (driver, request);
    }

    /// The framework's half of why a task does not run; the master adds the allocator's half. `task` is what a person
    /// typed.
    fn explain(&self, task: &str) -> Explanation {
        let _ = task;
        Explanation::default()
    }

    /// The master refused a call, and why.
    fn error(&mut self, driver: &mut Driver, message: &str) {
        let _ = (driver, message);
    }
}
