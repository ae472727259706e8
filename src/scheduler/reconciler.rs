//! The contract of the comfortable layer: desired state in, plan out.

use std::sync::Arc;

use super::view::View;
use super::{DamagedRecord, RecordChange, Records};
use crate::protocol::{
    Explanation, FrameworkInfo, InverseOfferInfo, PreemptionNotice, RequestId, StopPolicy, TaskId, TaskInfo,
    TaskStatus, Work,
};
use crate::resources::{Resources, Role, Shape};
use crate::time::Time;

/// A task that a framework wants to run, wherever it fits.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRequest {
    /// The task's id.
    pub id: TaskId,
    /// The role whose offers it is launched on.
    pub role: Role,
    /// What it needs. Tasks that share one shape are matched together.
    pub shape: Arc<Shape>,
    /// What runs.
    pub work: Work,
    /// When tasks have to make room for others, those of lower priority go first.
    pub priority: i32,
    /// Environment on top of its command's.
    pub env: std::collections::BTreeMap<String, String>,
    /// Free-form marks.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl TaskRequest {
    /// A task without environment or labels.
    pub fn new(id: TaskId, role: Role, shape: Arc<Shape>, work: Work) -> Self {
        TaskRequest {
            id,
            role,
            shape,
            work,
            priority: 0,
            env: Default::default(),
            labels: Default::default(),
        }
    }

    /// The task with the resources that it was given.
    pub(crate) fn into_task(self, resources: Resources) -> TaskInfo {
        let TaskRequest { id, work, priority, env, labels, .. } = self;
        TaskInfo { id, resources, work, priority, env, labels }
    }
}

/// What is to change. It only collects; nothing happens before the callback returns.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) launches: Vec<TaskRequest>,
    pub(crate) gangs: Vec<Vec<TaskRequest>>,
    pub(crate) kills: Vec<(TaskId, Option<StopPolicy>)>,
    pub(crate) forgotten: Vec<TaskId>,
    pub(crate) replies: Vec<(RequestId, Vec<u8>, bool)>,
    pub(crate) records: Vec<RecordChange>,
    pub(crate) wake_at: Option<Time>,
}

impl Plan {
    /// Queues a task: it is launched on the first offer that it fits. Tasks are tried in the order of their queueing.
    pub fn launch(&mut self, task: TaskRequest) {
        self.launches.push(task);
    }

    /// Queues tasks that start together or not at all: they are launched as soon as there is a set of offers for all of them. They
    /// have to be of one role and one shape; otherwise all end at once, with an error. One that is stopped while it waits is no
    /// more waited for.
    pub fn launch_together(&mut self, tasks: Vec<TaskRequest>) {
        self.gangs.push(tasks);
    }

    /// Stops a task, or takes it out of the queue when it was not launched yet (it then ends as killed).
    pub fn kill(&mut self, task: TaskId) {
        self.kills.push((task, None));
    }

    /// Stops a task in another way than its own.
    pub fn kill_with(&mut self, task: TaskId, stop: StopPolicy) {
        self.kills.push((task, Some(stop)));
    }

    /// Drops the record of a task that has ended.
    pub fn forget(&mut self, task: TaskId) {
        self.forgotten.push(task);
    }

    /// Answers a request; `last` says that no further answer follows.
    pub fn reply(&mut self, request: RequestId, data: Vec<u8>, last: bool) {
        self.replies.push((request, data, last));
    }

    /// Records something for the framework's next life, under a key of its own; `None` deletes the record. It is durable before anything of
    /// this plan, or of a later one, is done.
    pub fn record(&mut self, key: impl Into<String>, value: Option<Vec<u8>>) {
        self.records.push(RecordChange { key: key.into(), value });
    }

    /// Calls [`Reconciler::reconcile`] again at this time, or earlier when something happens. The earliest time asked for
    /// counts; a wish lasts until the next call.
    pub fn wake_at(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Whether nothing is to change. Wishes to be woken and records do not count.
    pub fn is_empty(&self) -> bool {
        self.launches.is_empty()
            && self.gangs.is_empty()
            && self.kills.is_empty()
            && self.forgotten.is_empty()
            && self.replies.is_empty()
    }
}

/// Compares what is with what should be, and says what to change.
///
/// It is level-triggered: [`reconcile`](Reconciler::reconcile) is called after everything that happened, again and again
/// until it plans nothing more, so that it may take one small step at a time and lose no wake-up. A framework with many
/// tasks keeps its own state up to date in [`status_update`](Reconciler::status_update) and looks at what changed only.
pub trait Reconciler {
    /// Who the framework is. Asked once.
    fn framework_info(&self) -> FrameworkInfo;

    /// Goes on from what an earlier life [recorded](Plan::record); called before all else, and only where records are kept. The view shows the
    /// tasks that were launched and did not end, as far as that life was told; how they are now is told by and by.
    ///
    /// # Errors
    /// When a record can't be used: the framework does not start then.
    fn restore(&mut self, view: &View<'_>, records: &Records, plan: &mut Plan) -> Result<(), DamagedRecord> {
        let _ = (view, records, plan);
        Ok(())
    }

    /// Plans what to change next.
    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan);

    /// A task has a new state, also one that was queued and now is launched (`staging`). Called before the view shows it;
    /// [`reconcile`](Reconciler::reconcile) follows.
    fn status_update(&mut self, now: Time, status: &TaskStatus, plan: &mut Plan) {
        let _ = (now, status, plan);
    }

    /// An agent will be away on which the framework has something. Says whether all of it will have left by then; what the plan needs
    /// for that is the framework's to know. Asked again every few seconds while something is there.
    fn inverse_offer(&mut self, now: Time, offer: &InverseOfferInfo, plan: &mut Plan) -> bool {
        let _ = (now, offer, plan);
        false
    }

    /// A task is to make room for others, and is stopped at the notice's deadline unless it has ended by then.
    fn preemption(&mut self, now: Time, notice: &PreemptionNotice, plan: &mut Plan) {
        let _ = (now, notice, plan);
    }

    /// A task that was to make room need not do so any more.
    fn preemption_cancelled(&mut self, now: Time, task: &TaskId, plan: &mut Plan) {
        let _ = (now, task, plan);
    }

    /// An operator, or the program around the framework, asks something; answer by [`Plan::reply`], now or later.
    fn request(&mut self, now: Time, request: RequestId, data: &[u8], plan: &mut Plan) {
        let _ = (now, data);
        plan.reply(request, Vec::new(), true);
    }

    /// Whoever made the request does not wait for answers any more.
    fn request_cancelled(&mut self, request: RequestId) {
        let _ = request;
    }

    /// Why a task does not run that is not in the queue; for queued tasks the layer knows. `None`: no such task.
    fn explain(&self, now: Time, task: &str) -> Option<Explanation> {
        let _ = (now, task);
        None
    }
}
