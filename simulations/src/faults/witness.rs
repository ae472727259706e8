//! Sees what a scheduler is told.

use std::cell::RefCell;

use apportion::protocol::{
    AgentId, ExecutorId, Explanation, FrameworkInfo, InverseOfferInfo, OfferId, RequestId, TaskStatus,
};
use apportion::scheduler::{Ack, DamagedRecord, Driver, Offer, Records, Scheduler, Subscription};

/// A scheduler, and the updates that reached it since somebody looked.
#[derive(Debug)]
pub(super) struct Witness<S> {
    scheduler: S,
    told: RefCell<Vec<TaskStatus>>,
}

impl<S> Witness<S> {
    pub(super) fn new(scheduler: S) -> Self {
        Witness { scheduler, told: RefCell::default() }
    }

    pub(super) fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// The updates since the last call, in order.
    pub(super) fn take_told(&self) -> Vec<TaskStatus> {
        self.told.take()
    }
}

impl<S: Scheduler> Scheduler for Witness<S> {
    fn framework_info(&self) -> FrameworkInfo {
        self.scheduler.framework_info()
    }

    fn restore(&mut self, driver: &mut Driver, records: &Records) -> Result<(), DamagedRecord> {
        self.scheduler.restore(driver, records)
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        self.scheduler.resource_offers(driver, offers);
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        self.told.get_mut().push(status.clone());
        self.scheduler.status_update(driver, status)
    }

    fn status_repeated(&mut self, driver: &mut Driver, status: &TaskStatus) {
        self.scheduler.status_repeated(driver, status);
    }

    fn subscribed(&mut self, driver: &mut Driver, how: Subscription) {
        self.scheduler.subscribed(driver, how);
    }

    fn disconnected(&mut self, driver: &mut Driver) {
        self.scheduler.disconnected(driver);
    }

    fn offer_rescinded(&mut self, driver: &mut Driver, offer: OfferId) {
        self.scheduler.offer_rescinded(driver, offer);
    }

    fn inverse_offers(&mut self, driver: &mut Driver, offers: &[InverseOfferInfo]) {
        self.scheduler.inverse_offers(driver, offers);
    }

    fn agent_lost(&mut self, driver: &mut Driver, agent: &AgentId) {
        self.scheduler.agent_lost(driver, agent);
    }

    fn executor_lost(&mut self, driver: &mut Driver, agent: &AgentId, executor: &ExecutorId, message: &str) {
        self.scheduler.executor_lost(driver, agent, executor, message);
    }

    fn framework_message(
        &mut self,
        driver: &mut Driver,
        agent: &AgentId,
        executor: &ExecutorId,
        data: &[u8],
    ) {
        self.scheduler.framework_message(driver, agent, executor, data);
    }

    fn timer(&mut self, driver: &mut Driver, id: u64) {
        self.scheduler.timer(driver, id);
    }

    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        self.scheduler.request(driver, request, data);
    }

    fn request_cancelled(&mut self, driver: &mut Driver, request: RequestId) {
        self.scheduler.request_cancelled(driver, request);
    }

    fn explain(&self, task: &str) -> Explanation {
        self.scheduler.explain(task)
    }

    fn error(&mut self, driver: &mut Driver, message: &str) {
        self.scheduler.error(driver, message);
    }
}
