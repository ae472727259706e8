//! An executor of a framework's own, for tasks that are no processes: each counts the primes of a range, on a thread of one process
//! per machine. Framework, executor and a cluster to try them on are this one program.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use apportion::allocator::PreemptionOptions;
use apportion::executor::{Executor, ExecutorDriver};
use apportion::isolation::IsolationPreference;
use apportion::protocol::{
    Command, ExecutorId, ExecutorInfo, FrameworkInfo, Reason, RequestId, StopPolicy, TaskId, TaskInfo,
    TaskState, TaskStatus, Work,
};
use apportion::resources::{Resources, Role, Shape};
use apportion::runtime::{
    ExecutorConfig, ExecutorLauncher, ExecutorProgram, LocalCluster, LocalConfig, Reporter, run_executor,
};
use apportion::scheduler::{Plan, Planned, Reconciler, TaskRequest, View};
use apportion::time::Time;

/// What a task is to do, as it travels from framework to executor.
fn encode(range: &Range<u64>) -> Vec<u8> {
    [range.start.to_le_bytes(), range.end.to_le_bytes()].concat()
}

fn decode(data: &[u8]) -> Option<Range<u64>> {
    let (start, end) = data.split_at_checked(8)?;
    Some(u64::from_le_bytes(start.try_into().ok()?)..u64::from_le_bytes(end.try_into().ok()?))
}

/// The executor: a state machine that wants ranges counted and hears of the counts.
#[derive(Default)]
struct PrimeExecutor {
    running: BTreeSet<TaskId>,
}

struct Count {
    task: TaskId,
    range: Range<u64>,
}

struct Counted {
    task: TaskId,
    primes: u64,
}

impl Executor for PrimeExecutor {
    type Action = Count;
    type Event = Counted;

    fn launch(&mut self, driver: &mut ExecutorDriver<Count>, task: TaskInfo) {
        let data = if let Work::Custom { data, .. } = &task.work { data.as_slice() } else { &[] };
        let Some(range) = decode(data) else {
            let refused = TaskStatus::new(task.id, TaskState::Error, driver.now());
            return driver.update(refused.because(Reason::Invalid, "its data is no range"));
        };
        driver.update(TaskStatus::new(task.id.clone(), TaskState::Running, driver.now()));
        driver.act(Count { task: task.id.clone(), range });
        self.running.insert(task.id);
    }

    fn kill(&mut self, driver: &mut ExecutorDriver<Count>, task: &TaskId, _stop: Option<StopPolicy>) {
        // The thread counts on, but nobody hears of its result.
        if self.running.remove(task) {
            driver.update(TaskStatus::new(task.clone(), TaskState::Killed, driver.now()));
        }
    }

    fn event(&mut self, driver: &mut ExecutorDriver<Count>, Counted { task, primes }: Counted) {
        if self.running.remove(&task) {
            let data = primes.to_le_bytes().to_vec();
            driver.update(TaskStatus { data, ..TaskStatus::new(task, TaskState::Finished, driver.now()) });
        }
    }

    fn shutdown(&mut self, driver: &mut ExecutorDriver<Count>) {
        for task in self.running.clone() {
            self.kill(driver, &task, None);
        }
    }
}

/// Carries out what the executor wants.
fn count(Count { task, range }: Count, reporter: &Reporter<Counted>) {
    let reporter = reporter.clone();
    std::thread::spawn(move || {
        let is_prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
        let primes = range.filter(is_prime).count() as u64;
        reporter.report(Counted { task, primes });
    });
}

/// The framework: counts the primes below a limit, in so many tasks, and answers a request with the sum.
struct Primes {
    executor: Arc<ExecutorInfo>,
    todo: Vec<Range<u64>>,
    left: usize,
    sum: u64,
    asked: Vec<RequestId>,
}

impl Primes {
    fn below(limit: u64, tasks: u64, executor: ExecutorInfo) -> Self {
        let todo: Vec<_> = (0..tasks).map(|i| limit * i / tasks..limit * (i + 1) / tasks).collect();
        Primes { executor: Arc::new(executor), left: todo.len(), todo, sum: 0, asked: Vec::new() }
    }
}

impl Reconciler for Primes {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("primes", Role::any())
    }

    fn reconcile(&mut self, _view: &View<'_>, plan: &mut Plan) {
        let shape = Arc::new(Shape::from(Resources::cpus_mem(500, 16)));
        while let Some(range) = self.todo.pop() {
            let id = TaskId::new(format!("from-{}", range.start)).expect("a short name without slashes");
            let work = Work::Custom { executor: self.executor.clone(), data: encode(&range) };
            plan.launch(TaskRequest::new(id, Role::any(), shape.clone(), work));
        }
        if self.left == 0 {
            self.asked
                .drain(..)
                .for_each(|request| plan.reply(request, self.sum.to_string().into_bytes(), true));
        }
    }

    fn status_update(&mut self, _now: Time, status: &TaskStatus, plan: &mut Plan) {
        if status.state.is_terminal() {
            self.left -= 1;
            self.sum += status.data.as_slice().try_into().map_or(0, u64::from_le_bytes);
            plan.forget(status.task.clone());
        }
    }

    fn request(&mut self, _now: Time, request: RequestId, _data: &[u8], _plan: &mut Plan) {
        self.asked.push(request);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("executor") {
        // An agent has started this process.
        return Ok(run_executor(PrimeExecutor::default(), ExecutorConfig::from_env()?, count).await?);
    }
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let executor = ExecutorInfo {
        id: ExecutorId::new("primes")?,
        command: Command::Argv(vec![program.to_string_lossy().into_owned(), "executor".to_owned()]),
        env: Default::default(),
        resources: Resources::cpus_mem(100, 32),
    };
    let config = LocalConfig {
        agents: vec![Resources::cpus_mem(2000, 512); 2],
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        state_dir: folder.path().to_owned(),
        isolation: IsolationPreference::Plain,
        // Of commands, which this framework has none of.
        recovery_timeout: None,
        launcher: ExecutorLauncher::Processes(ExecutorProgram { program, arguments: Vec::new() }),
        preemption: PreemptionOptions::default(),
    };
    let mut cluster = LocalCluster::start(config)?;
    let primes = cluster.run_framework("primes", Planned::new(Primes::below(1_000_000, 20, executor)))?;
    let answer = primes.request(Vec::new()).recv().await;
    cluster.stop().await?;
    let (sum, _) = answer.ok_or("the framework ended early")?;
    println!("{} primes are below 1,000,000", String::from_utf8(sum)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use apportion::executor::{DEFAULT_RECOVERY_TIMEOUT, ExecutorInput, ExecutorOutput, ExecutorProcess};
    use apportion::protocol::{ExecutorCall, ExecutorEvent};

    use super::*;

    #[test]
    fn a_count_that_is_reported_ends_its_task() {
        let executor = ExecutorInfo {
            id: ExecutorId::new("primes").unwrap(),
            command: Command::Argv(Vec::new()),
            env: Default::default(),
            resources: Resources::new(),
        };
        let id: TaskId = "t1".parse().unwrap();
        let work = Work::Custom { executor: Arc::new(executor.clone()), data: encode(&(0..10)) };
        let task = TaskInfo::new(id.clone(), Resources::cpus_mem(500, 16), work);
        let framework = "primes".parse().unwrap();
        let mut process =
            ExecutorProcess::new(PrimeExecutor::default(), framework, executor.id, DEFAULT_RECOVERY_TIMEOUT);
        let mut out = Vec::new();
        process.handle(Time::ZERO, ExecutorInput::Connected, &mut out);
        process.handle(Time::ZERO, ExecutorInput::Agent(ExecutorEvent::Launch(vec![task])), &mut out);
        assert!(
            out.iter().any(
                |output| matches!(output, ExecutorOutput::Act(Count { range, .. }) if *range == (0..10))
            )
        );
        out.clear();
        process.handle(Time::ZERO, ExecutorInput::World(Counted { task: id, primes: 4 }), &mut out);
        let [ExecutorOutput::Send(ExecutorCall::Update(status))] = &out[..] else { panic!("one update") };
        assert_eq!((status.state, status.data.as_slice()), (TaskState::Finished, &4u64.to_le_bytes()[..]));
    }
}
