//! The state machine around an executor: it speaks the protocol with the agent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Executor, ExecutorDriver};
use crate::protocol::{
    ExecutorCall, ExecutorEvent, ExecutorId, FrameworkId, Reason, TaskId, TaskState, TaskStatus, UpdateNumber,
};
use crate::time::{Time, Timers};

/// How long an executor waits for an agent that keeps checkpoints before it ends, with its tasks, unless it is told otherwise.
pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// What happens to an executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExecutorInput<E> {
    /// The agent can be reached.
    Connected,
    /// The agent can't be reached any more.
    Disconnected,
    /// The agent speaks.
    Agent(ExecutorEvent),
    /// The world reports something.
    World(E),
    /// Time has passed.
    Tick,
}

/// What an executor wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExecutorOutput<A> {
    /// Tell the agent.
    Send(ExecutorCall),
    /// Do this in the world.
    Act(A),
    /// It has ended: no task is left and everything is safe with the agent, or the agent is gone for good.
    Stop,
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The agent has not come back.
    Recovery,
    /// The executor's own.
    Own(u64),
}

/// A task's updates that the agent has not acknowledged, and the number of the last one.
#[derive(Debug, Default)]
struct Updates {
    last: Option<UpdateNumber>,
    pending: VecDeque<TaskStatus>,
    ended: bool,
}

/// An executor with what the protocol asks of it: updates are numbered, and repeated until they are safe.
pub struct ExecutorProcess<E: Executor> {
    executor: E,
    framework: FrameworkId,
    id: ExecutorId,
    recovery_timeout: Duration,
    connected: bool,
    ending: bool,
    agent_lost: bool,
    tasks: BTreeMap<TaskId, Updates>,
    timers: Timers<Timer>,
}

impl<E: Executor> ExecutorProcess<E> {
    /// An executor that is not connected yet.
    pub fn new(executor: E, framework: FrameworkId, id: ExecutorId, recovery_timeout: Duration) -> Self {
        ExecutorProcess {
            executor,
            framework,
            id,
            recovery_timeout,
            connected: false,
            ending: false,
            agent_lost: false,
            tasks: BTreeMap::new(),
            timers: Timers::default(),
        }
    }

    /// When [`ExecutorInput::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// How many tasks it has that have not ended, or whose end is not safe.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Takes note of what happened, and appends what is to be done.
    pub fn handle(
        &mut self,
        now: Time,
        input: ExecutorInput<E::Event>,
        out: &mut Vec<ExecutorOutput<E::Action>>,
    ) {
        let mut driver = ExecutorDriver::new(now);
        match input {
            ExecutorInput::Connected => self.connected(out),
            ExecutorInput::Disconnected => {
                self.connected = false;
                self.timers.set(Timer::Recovery, now + self.recovery_timeout);
            }
            ExecutorInput::Agent(event) => self.agent_event(event, &mut driver),
            ExecutorInput::World(event) => self.executor.event(&mut driver, event),
            ExecutorInput::Tick => {
                while let Some(timer) = self.timers.pop_due(now) {
                    match timer {
                        Timer::Own(id) => self.executor.timer(&mut driver, id),
                        Timer::Recovery => {
                            self.agent_lost = true;
                            self.shut_down(&mut driver);
                        }
                    }
                }
            }
        }
        self.carry_out(driver, out);
    }

    fn connected(&mut self, out: &mut Vec<ExecutorOutput<E::Action>>) {
        self.connected = true;
        self.timers.cancel(&Timer::Recovery);
        let unacknowledged =
            self.tasks.values().flat_map(|updates| updates.pending.iter().cloned()).collect();
        out.push(ExecutorOutput::Send(ExecutorCall::Register {
            framework: self.framework.clone(),
            executor: self.id.clone(),
            unacknowledged,
        }));
    }

    fn agent_event(&mut self, event: ExecutorEvent, driver: &mut ExecutorDriver<E::Action>) {
        match event {
            ExecutorEvent::Registered => {}
            ExecutorEvent::Launch(tasks) => {
                for task in tasks {
                    // A task that is known is told again after a reconnection: it runs already.
                    if self.tasks.contains_key(&task.id) {
                        continue;
                    }
                    self.tasks.insert(task.id.clone(), Updates::default());
                    if self.ending {
                        let status = TaskStatus::new(task.id, TaskState::Dropped, driver.now());
                        driver.update(status.because(Reason::ExecutorGone, "its executor is ending"));
                    } else {
                        self.executor.launch(driver, task);
                    }
                }
            }
            ExecutorEvent::Kill { task, stop } => self.executor.kill(driver, &task, stop),
            ExecutorEvent::Acknowledge { task, number } => self.acknowledged(&task, number),
            ExecutorEvent::Message(data) => self.executor.message(driver, &data),
            ExecutorEvent::Shutdown => self.shut_down(driver),
        }
    }

    fn shut_down(&mut self, driver: &mut ExecutorDriver<E::Action>) {
        if !self.ending {
            self.ending = true;
            self.executor.shutdown(driver);
        }
    }

    fn acknowledged(&mut self, task: &TaskId, number: UpdateNumber) {
        let Some(updates) = self.tasks.get_mut(task) else { return };
        while updates.pending.front().and_then(|status| status.number).is_some_and(|first| first <= number) {
            updates.pending.pop_front();
        }
        if updates.ended && updates.pending.is_empty() {
            self.tasks.remove(task);
        }
    }

    fn carry_out(&mut self, driver: ExecutorDriver<E::Action>, out: &mut Vec<ExecutorOutput<E::Action>>) {
        for (id, at) in driver.timers {
            match at {
                Some(at) => self.timers.set(Timer::Own(id), at),
                None => self.timers.cancel(&Timer::Own(id)),
            }
        }
        out.extend(driver.actions.into_iter().map(ExecutorOutput::Act));
        for status in driver.updates {
            self.update(status, out);
        }
        if self.connected {
            let messages =
                driver.messages.into_iter().map(|data| ExecutorOutput::Send(ExecutorCall::Message(data)));
            out.extend(messages);
        }
        if self.ending && self.is_done() {
            out.push(ExecutorOutput::Stop);
        }
    }

    /// Whether nothing runs and nobody is left to be told.
    fn is_done(&self) -> bool {
        self.tasks.is_empty() || self.agent_lost && self.tasks.values().all(|updates| updates.ended)
    }

    fn update(&mut self, mut status: TaskStatus, out: &mut Vec<ExecutorOutput<E::Action>>) {
        let Some(updates) = self.tasks.get_mut(&status.task) else {
            return tracing::error!(task = %status.task, "an executor told of a task that it does not have");
        };
        if updates.ended {
            return tracing::error!(task = %status.task, "an executor told of a task that has ended");
        }
        let number = updates.last.map_or(UpdateNumber::FIRST, UpdateNumber::next);
        updates.last = Some(number);
        updates.ended = status.state.is_terminal();
        status.number = Some(number);
        let status = status.bounded();
        updates.pending.push_back(status.clone());
        if self.connected {
            out.push(ExecutorOutput::Send(ExecutorCall::Update(status)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, CommandInfo, StopPolicy, TaskInfo, Work};
    use crate::resources::Resources;

    /// Runs a task for a second; its only action is to say which task ends.
    struct Sleeper(Vec<TaskId>);

    impl Executor for Sleeper {
        type Action = TaskId;
        type Event = ();

        fn launch(&mut self, driver: &mut ExecutorDriver<TaskId>, task: TaskInfo) {
            driver.update(TaskStatus::new(task.id.clone(), TaskState::Running, driver.now()));
            driver.set_timer(self.0.len() as u64, Duration::from_secs(1));
            self.0.push(task.id);
        }

        fn kill(&mut self, driver: &mut ExecutorDriver<TaskId>, task: &TaskId, _stop: Option<StopPolicy>) {
            driver.update(TaskStatus::new(task.clone(), TaskState::Killed, driver.now()));
        }

        fn event(&mut self, _driver: &mut ExecutorDriver<TaskId>, (): ()) {}

        fn timer(&mut self, driver: &mut ExecutorDriver<TaskId>, id: u64) {
            let task = self.0[id as usize].clone();
            driver.act(task.clone());
            driver.update(TaskStatus::new(task, TaskState::Finished, driver.now()));
        }

        fn shutdown(&mut self, driver: &mut ExecutorDriver<TaskId>) {
            for task in self.0.clone() {
                self.kill(driver, &task, None);
            }
        }
    }

    type Output = ExecutorOutput<TaskId>;

    fn process() -> ExecutorProcess<Sleeper> {
        let framework = "f1".parse().unwrap();
        ExecutorProcess::new(Sleeper(Vec::new()), framework, ExecutorId::command(), DEFAULT_RECOVERY_TIMEOUT)
    }

    fn task() -> TaskInfo {
        let command = CommandInfo::new(Command::Shell("sleep 1".to_owned()));
        TaskInfo::new("t1".parse().unwrap(), Resources::cpus_mem(100, 32), Work::Command(command.into()))
    }

    fn step(process: &mut ExecutorProcess<Sleeper>, secs: u64, input: ExecutorInput<()>) -> Vec<Output> {
        let mut out = Vec::new();
        process.handle(Time::from_secs(secs), input, &mut out);
        out
    }

    fn states(out: &[Output]) -> Vec<(TaskState, Option<UpdateNumber>)> {
        let update = |output: &Output| match output {
            ExecutorOutput::Send(ExecutorCall::Update(status)) => Some((status.state, status.number)),
            _ => None,
        };
        out.iter().filter_map(update).collect()
    }

    #[test]
    fn updates_are_numbered_and_repeated_until_they_are_safe() {
        let mut process = process();
        step(&mut process, 0, ExecutorInput::Connected);
        let out = step(&mut process, 0, ExecutorInput::Agent(ExecutorEvent::Launch(vec![task()])));
        assert_eq!(states(&out), [(TaskState::Running, Some(UpdateNumber(1)))]);
        step(&mut process, 0, ExecutorInput::Disconnected);
        let out = step(&mut process, 1, ExecutorInput::Tick);
        assert_eq!(states(&out), [], "nobody is there to be told");
        let out = step(&mut process, 2, ExecutorInput::Connected);
        let [ExecutorOutput::Send(ExecutorCall::Register { unacknowledged, .. })] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!(
            unacknowledged.iter().map(|status| status.state).collect::<Vec<_>>(),
            [TaskState::Running, TaskState::Finished]
        );
        let acknowledge = ExecutorEvent::Acknowledge { task: task().id, number: UpdateNumber(2) };
        step(&mut process, 2, ExecutorInput::Agent(acknowledge));
        let out = step(&mut process, 3, ExecutorInput::Agent(ExecutorEvent::Shutdown));
        assert_eq!(out, [ExecutorOutput::Stop]);
    }

    #[test]
    fn it_ends_when_its_agent_stays_away() {
        let mut process = process();
        step(&mut process, 0, ExecutorInput::Connected);
        step(&mut process, 0, ExecutorInput::Agent(ExecutorEvent::Launch(vec![task()])));
        step(&mut process, 0, ExecutorInput::Disconnected);
        step(&mut process, 1, ExecutorInput::Tick);
        let out = step(&mut process, DEFAULT_RECOVERY_TIMEOUT.as_secs(), ExecutorInput::Tick);
        assert!(out.contains(&ExecutorOutput::Stop), "{out:?}");
    }

    #[test]
    fn a_task_that_is_told_again_runs_once() {
        let mut process = process();
        step(&mut process, 0, ExecutorInput::Connected);
        step(&mut process, 0, ExecutorInput::Agent(ExecutorEvent::Launch(vec![task()])));
        let out = step(&mut process, 0, ExecutorInput::Agent(ExecutorEvent::Launch(vec![task()])));
        assert_eq!(out, []);
    }
}
