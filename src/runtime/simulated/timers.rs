//! The executor whose tasks are timers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use crate::executor::{Executor, ExecutorDriver};
use crate::protocol::{Exit, Reason, StopPolicy, TaskId, TaskInfo, TaskState, TaskStatus, Work};
use crate::spec::Delay;

/// How long a simulated task lasts unless it says otherwise.
pub const DEFAULT_TASK_TIME: Duration = Duration::from_secs(10);

/// The variable in a task's environment that says how long it lasts when it is simulated, such as `90s`.
pub const TASK_TIME: &str = "SIMULATED_TIME";

/// How a task ends that does what it is there for.
const SUCCESS: Exit = Exit::Code(0);

/// Runs tasks by letting time pass.
#[derive(Debug)]
pub(super) struct TimerExecutor {
    task_time: Duration,
    last_timer: u64,
    running: BTreeMap<u64, TaskId>,
}

impl TimerExecutor {
    /// One whose tasks last so long, unless they say otherwise.
    pub(super) fn new(task_time: Duration) -> Self {
        TimerExecutor { task_time, last_timer: 0, running: BTreeMap::new() }
    }

    fn time_of(&self, task: &TaskInfo) -> Duration {
        let own = match &task.work {
            Work::Command(command) => task.env.get(TASK_TIME).or_else(|| command.env.get(TASK_TIME)),
            Work::Custom { .. } => task.env.get(TASK_TIME),
        };
        own.and_then(|text| text.parse::<Delay>().ok()).map_or(self.task_time, Delay::duration)
    }
}

type Driver = ExecutorDriver<Infallible>;

impl Executor for TimerExecutor {
    type Action = Infallible;
    type Event = Infallible;

    fn launch(&mut self, driver: &mut Driver, task: TaskInfo) {
        let running = TaskStatus::new(task.id.clone(), TaskState::Running, driver.now());
        driver.update(TaskStatus { ready: true, ..running });
        self.last_timer += 1;
        driver.set_timer(self.last_timer, self.time_of(&task));
        self.running.insert(self.last_timer, task.id);
    }

    fn kill(&mut self, driver: &mut Driver, task: &TaskId, _: Option<StopPolicy>) {
        let Some((&timer, _)) = self.running.iter().find(|(_, running)| *running == task) else { return };
        driver.cancel_timer(timer);
        self.running.remove(&timer);
        driver.update(killed(task.clone(), driver));
    }

    fn event(&mut self, _: &mut Driver, event: Infallible) {
        match event {}
    }

    fn timer(&mut self, driver: &mut Driver, id: u64) {
        if let Some(task) = self.running.remove(&id) {
            let finished = TaskStatus::new(task, TaskState::Finished, driver.now());
            driver.update(finished.because(Reason::Exited(SUCCESS), ""));
        }
    }

    fn shutdown(&mut self, driver: &mut Driver) {
        for (timer, task) in std::mem::take(&mut self.running) {
            driver.cancel_timer(timer);
            driver.update(killed(task, driver));
        }
    }
}

fn killed(task: TaskId, driver: &Driver) -> TaskStatus {
    TaskStatus::new(task, TaskState::Killed, driver.now())
        .because(Reason::Exited(Exit::Signal(15)), "killed on request")
}
