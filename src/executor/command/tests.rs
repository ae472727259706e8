//! Scenarios of tasks, without processes.

use std::time::Duration;

use super::*;
use crate::executor::{DEFAULT_RECOVERY_TIMEOUT, ExecutorInput, ExecutorOutput, ExecutorProcess};
use crate::protocol::{
    Check, Command, CommandInfo, ExecutorCall, ExecutorEvent, ExecutorId, Exit, Probe, Work,
};
use crate::resources::Resources;
use crate::time::Time;

type Output = ExecutorOutput<CommandAction>;

struct Scenario {
    process: ExecutorProcess<CommandExecutor>,
    now: Time,
}

fn id() -> TaskId {
    "t1".parse().unwrap()
}

fn command() -> CommandInfo {
    CommandInfo::new(Command::Argv(vec!["serve".to_owned(), "${PORT_HTTP}".to_owned()]))
}

impl Scenario {
    fn launched(mut command: CommandInfo) -> (Self, Vec<Output>) {
        command.ports = vec!["http".to_owned()];
        let executor = CommandExecutor::new("/sandboxes/f1");
        let framework = "f1".parse().unwrap();
        let process =
            ExecutorProcess::new(executor, framework, ExecutorId::command(), DEFAULT_RECOVERY_TIMEOUT);
        let mut scenario = Scenario { process, now: Time::ZERO };
        scenario.step(ExecutorInput::Connected);
        let resources = Resources::builder().cpus(1).mem_mib(32).ports(31000..=31000).build();
        let task = TaskInfo::new(id(), resources, Work::Command(command.into()));
        let out = scenario.step(ExecutorInput::Agent(ExecutorEvent::Launch(vec![task])));
        (scenario, out)
    }

    fn started(command: CommandInfo) -> (Self, Vec<Output>) {
        let (mut scenario, _) = Scenario::launched(command);
        let out = scenario.world(CommandEvent::Started { task: id(), pid: 7 });
        (scenario, out)
    }

    fn step(&mut self, input: ExecutorInput<CommandEvent>) -> Vec<Output> {
        let mut out = Vec::new();
        self.process.handle(self.now, input, &mut out);
        out
    }

    fn world(&mut self, event: CommandEvent) -> Vec<Output> {
        self.step(ExecutorInput::World(event))
    }

    fn kill(&mut self) -> Vec<Output> {
        self.step(ExecutorInput::Agent(ExecutorEvent::Kill { task: id(), stop: None }))
    }

    fn exited(&mut self, exit: Exit) -> TaskStatus {
        let out = self.world(CommandEvent::Exited { task: id(), exit, oom_killed: false });
        statuses(&out).pop().unwrap()
    }

    fn later(&mut self, delay: Duration) -> Vec<Output> {
        self.now = self.now + delay;
        self.step(ExecutorInput::Tick)
    }
}

fn statuses(out: &[Output]) -> Vec<TaskStatus> {
    let status = |output: &Output| match output {
        ExecutorOutput::Send(ExecutorCall::Update(status)) => Some(status.clone()),
        _ => None,
    };
    out.iter().filter_map(status).collect()
}

#[test]
fn a_process_that_exits_by_itself_finishes_or_fails() {
    let (_, out) = Scenario::launched(command());
    let [ExecutorOutput::Act(CommandAction::Start { process, .. })] = &out[..] else { panic!("{out:?}") };
    assert_eq!(process.argv, ["serve", "31000"]);
    assert_eq!(process.limits.memory_bytes, Some(32 << 20));
    let (mut scenario, out) = Scenario::started(command());
    assert!(statuses(&out)[0].ready);
    assert_eq!(scenario.exited(Exit::Code(0)).state, TaskState::Finished);
    let (mut scenario, _) = Scenario::started(command());
    let status = scenario.exited(Exit::Code(3));
    assert_eq!((status.state, status.exit()), (TaskState::Failed, Some(Exit::Code(3))));
}

#[test]
fn a_task_is_told_on_which_shared_gpus_its_parts_are() {
    let devices = |env: &[(&str, &str)], resources: &str| {
        let mut info = CommandInfo::new(Command::Shell("train".to_owned()));
        info.env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let task = TaskInfo::new(id(), resources.parse().unwrap(), Work::Command(info.into()));
        let plan = Plan::of(task, "/sandboxes".as_ref(), None).unwrap();
        let told = |name: &str| {
            let mut variables = plan.process.env.iter();
            variables.find(|(variable, _)| variable == name).map(|(_, value)| value.clone())
        };
        (told("APPORTION_GPUS"), told("CUDA_VISIBLE_DEVICES"))
    };
    let both = |text: &str| (Some(text.to_owned()), Some(text.to_owned()));
    assert_eq!(devices(&[], "cpus:1;gpu_milli:[200-459,2000-2999]"), both("0,2"));
    assert_eq!(devices(&[], "cpus:1;gpus:1"), (None, None));
    let own = devices(&[("CUDA_VISIBLE_DEVICES", "7")], "gpu_milli:[1000-1499]");
    assert_eq!(own, (Some("1".to_owned()), Some("7".to_owned())));
}

#[test]
fn a_kill_is_escalated_after_the_grace_period_even_if_it_came_before_the_start() {
    let (mut scenario, _) = Scenario::launched(command());
    assert_eq!(statuses(&scenario.kill())[0].state, TaskState::Killing);
    let out = scenario.world(CommandEvent::Started { task: id(), pid: 7 });
    assert_eq!(out, [ExecutorOutput::Act(CommandAction::Signal { task: id(), signal: 15 })]);
    let out = scenario.later(Duration::from_secs(10));
    assert_eq!(out, [ExecutorOutput::Act(CommandAction::KillAll { task: id() })]);
    assert_eq!(scenario.exited(Exit::Signal(9)).state, TaskState::Killed);
}

#[test]
fn a_task_that_runs_for_too_long_fails() {
    let timeout = Some(Duration::from_secs(2));
    let (mut scenario, _) = Scenario::started(CommandInfo { timeout, ..command() });
    assert_eq!(statuses(&scenario.later(Duration::from_secs(2)))[0].state, TaskState::Killing);
    let status = scenario.exited(Exit::Signal(15));
    assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::TimedOut)));
}

#[test]
fn readiness_follows_its_check_and_a_failed_liveness_check_ends_the_task() {
    let (every, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let check = Some(Check { probe: Probe::Tcp { port: None }, every, timeout, failures: 1 });
    let mut info = command();
    (info.checks.readiness, info.checks.liveness) = (check.clone(), check);
    let (mut scenario, out) = Scenario::started(info);
    assert!(!statuses(&out)[0].ready);
    let probed = |check, result| CommandEvent::Probed { task: id(), check, result };
    let refused = || Err("refused".to_owned());
    assert!(statuses(&scenario.world(probed(CheckKind::Readiness, Ok(()))))[0].ready);
    assert!(!statuses(&scenario.world(probed(CheckKind::Readiness, refused())))[0].ready);
    scenario.world(probed(CheckKind::Liveness, refused()));
    let status = scenario.exited(Exit::Signal(15));
    assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::CheckFailed)));
}
