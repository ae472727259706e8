//! What a scheduler can ask for.

use std::time::Duration;

use super::RecordChange;
use crate::protocol::{
    AgentId, DemandGroup, ExecutorId, FrameworkId, FrameworkInfo, RequestId, SchedulerCall, StopPolicy,
    TaskId, UpdateNumber,
};
use crate::resources::Role;
use crate::time::Time;

/// A scheduler's way to the cluster, for the length of a callback. It only collects what is asked; nothing happens before
/// the callback returns.
#[derive(Debug)]
pub struct Driver {
    now: Time,
    framework: Option<FrameworkId>,
    pub(crate) calls: Vec<SchedulerCall>,
    pub(crate) timers: Vec<(u64, Option<Time>)>,
    pub(crate) records: Vec<RecordChange>,
    pub(crate) stop: bool,
}

impl Driver {
    /// A driver that collects calls in `calls`, which is empty.
    pub(crate) fn new(now: Time, framework: Option<FrameworkId>, calls: Vec<SchedulerCall>) -> Self {
        Driver { now, framework, calls, timers: Vec::new(), records: Vec::new(), stop: false }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The framework's id; `None` before the first subscription.
    pub fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }

    /// Goes on as this instead of as it subscribed: with other roles, capabilities or constraints.
    pub fn update_framework(&mut self, framework: FrameworkInfo) {
        let framework = Box::new(framework);
        self.calls.push(SchedulerCall::UpdateFramework { framework, suppressed: Vec::new() });
    }

    /// States all that it waits for in a role: offers are then such that one of these tasks at least fits, and end when all have room.
    /// `None`, as in the beginning: it is offered everything. To be stated again after each subscription.
    pub fn set_demand(&mut self, role: &Role, demand: Option<Vec<DemandGroup>>) {
        self.calls.push(SchedulerCall::SetDemand { role: role.clone(), demand });
    }

    /// Says whether it will have left an agent by the time that this will be away; it is not asked again for so long.
    pub fn answer_inverse_offer(&mut self, agent: AgentId, accepts: bool, refuse: Duration) {
        self.calls.push(SchedulerCall::AnswerInverseOffer { agent, accepts, refuse });
    }

    /// Wants offers (again), at once, whatever was refused before. No roles: all of them.
    pub fn revive(&mut self, roles: &[Role]) {
        self.calls.push(SchedulerCall::Revive { roles: roles.to_vec() });
    }

    /// Wants no offers until it revives. No roles: all of them.
    pub fn suppress(&mut self, roles: &[Role]) {
        self.calls.push(SchedulerCall::Suppress { roles: roles.to_vec() });
    }

    /// Stops a task. A task that nobody knows is answered with a status that says so.
    pub fn kill(&mut self, task: TaskId, stop: Option<StopPolicy>) {
        self.calls.push(SchedulerCall::Kill { task, stop });
    }

    /// Has recorded an update, after [`Ack::Later`](super::Ack::Later), and all before it of the same task.
    pub fn acknowledge(&mut self, task: TaskId, agent: AgentId, number: UpdateNumber) {
        self.calls.push(SchedulerCall::Acknowledge { task, agent, number });
    }

    /// Asks for the states of tasks; an empty list asks for all that the master knows.
    pub fn reconcile(&mut self, tasks: Vec<(TaskId, Option<AgentId>)>) {
        self.calls.push(SchedulerCall::Reconcile { tasks });
    }

    /// Speaks to an executor of the framework. Delivered at most once.
    pub fn message(&mut self, agent: AgentId, executor: ExecutorId, data: Vec<u8>) {
        self.calls.push(SchedulerCall::Message { agent, executor, data });
    }

    /// Answers a request; `last` says that no further answer follows.
    pub fn reply(&mut self, request: RequestId, data: Vec<u8>, last: bool) {
        self.calls.push(SchedulerCall::Reply { request, data, last });
    }

    /// Calls [`Scheduler::timer`](super::Scheduler::timer) with `id` after `delay`; replaces the timer of that id.
    pub fn set_timer(&mut self, id: u64, delay: Duration) {
        self.timers.push((id, Some(self.now + delay)));
    }

    /// Cancels the timer of that id.
    pub fn cancel_timer(&mut self, id: u64) {
        self.timers.push((id, None));
    }

    /// Records something for the scheduler's next life. It is durable before anything of this callback, or of a later one, is done: before
    /// calls are sent, offers used and updates acknowledged.
    pub fn record(&mut self, change: RecordChange) {
        self.records.push(change);
    }

    /// Ends the framework: its tasks are stopped and the master forgets it.
    pub fn teardown(&mut self) {
        self.calls.push(SchedulerCall::Teardown);
        self.stop = true;
    }
}
