//! What an executor can ask for.

use std::time::Duration;

use crate::protocol::TaskStatus;
use crate::time::Time;

/// An executor's way to its agent and to the world, for the length of a callback. It only collects what is asked.
#[derive(Debug)]
pub struct ExecutorDriver<A> {
    now: Time,
    pub(crate) updates: Vec<TaskStatus>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) actions: Vec<A>,
    pub(crate) timers: Vec<(u64, Option<Time>)>,
}

impl<A> ExecutorDriver<A> {
    pub(crate) fn new(now: Time) -> Self {
        ExecutorDriver {
            now,
            updates: Vec::new(),
            messages: Vec::new(),
            actions: Vec::new(),
            timers: Vec::new(),
        }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Tells a task's new state. The driver numbers it and repeats it until it is safe. The scheduler may miss some of many: the last one
    /// reaches it, always.
    pub fn update(&mut self, status: TaskStatus) {
        self.updates.push(status);
    }

    /// Speaks to the scheduler. Delivered at most once.
    pub fn message(&mut self, data: Vec<u8>) {
        self.messages.push(data);
    }

    /// Wants something done in the world.
    pub fn act(&mut self, action: A) {
        self.actions.push(action);
    }

    /// Calls [`Executor::timer`](super::Executor::timer) with `id` after `delay`; replaces the timer of that id.
    pub fn set_timer(&mut self, id: u64, delay: Duration) {
        self.timers.push((id, Some(self.now + delay)));
    }

    /// Cancels the timer of that id.
    pub fn cancel_timer(&mut self, id: u64) {
        self.timers.push((id, None));
    }
}
