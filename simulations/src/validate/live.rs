//! Simulated and live: the same frameworks on a real cluster, over QUIC, with tasks that are timers, are made the same offers in the
//! same order, and launch the same tasks on them.
//!
//! What differs between the two is time. So nothing here depends on it: a gate framework first takes each agent whole, and is only
//! stopped when the master is known to have heard of all that waits. Then one agent after the other is filled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apportion::allocator::PreemptionOptions;
use apportion::executor::{Executor, ExecutorDriver};
use apportion::isolation::IsolationPreference;
use apportion::protocol::{
    FrameworkInfo, IdentityKind, OperatorCall, OperatorEvent, RequestId, StopPolicy, TaskId, TaskInfo,
    TaskState, TaskStatus,
};
use apportion::resources::{GpuRequest, Resources};
use apportion::runtime::{
    ExecutorLauncher, InProgram, LocalCluster, LocalConfig, OperatorClient, run_executor,
};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler, Subscription};
use apportion::spec::Document;
use apportion::time::Time;

use super::{Case, CaseError, Checks, Pace};
use crate::engine::{Plugged, Simulation};
use crate::frameworks::{QueueFramework, QueueOptions, TimerTask};
use crate::random::Stream;
use crate::scenario::Decision;
use crate::values::Span;
use crate::workload::{Job, Lengths, Workload, WorkloadBuilder};
use crate::{Progress, Scenario};

pub(super) const CASES: &[Case] =
    &[Case { number: "29", title: "Simulated and live", pace: Pace::Slow, play: simulated_and_live }];

const AGENTS: [&str; 2] = ["cpus:90;mem:184320", "cpus:60;mem:122880"];

/// A framework: its name, and its jobs: tasks, what each takes, and when it is submitted and how long its tasks run in the
/// simulation.
type Framework = (&'static str, &'static [(u32, &'static str, u64, Option<u64>)]);

const FRAMEWORKS: [Framework; 3] = [
    ("gate", &[(1, AGENTS[0], 0, Some(10)), (1, AGENTS[1], 1, Some(20))]),
    ("A", &[(200, "cpus:1;mem:4096", 2, None)]),
    ("B", &[(200, "cpus:3;mem:1024", 3, None)]),
];

/// When the simulation has come to the end of each step: the gate is up, on both agents; the others wait; an agent is open, both.
const STEPS: [u64; 4] = [1, 2, 10, 21];

/// What happened, in order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<(Time, String)>>>);

impl Log {
    fn push(&self, at: Time, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, line));
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn entries(&self) -> Vec<(Time, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A queue that writes down what it is offered and uses.
struct Recorded {
    name: &'static str,
    queue: QueueFramework,
    log: Log,
    /// When each job is submitted; `None`: by requests.
    submits: Option<Vec<u64>>,
}

impl Recorded {
    fn new((name, jobs): Framework, log: &Log, is_simulated: bool) -> Result<Self, CaseError> {
        let role = name.parse().map_err(wrong)?;
        let workload = Arc::new(workload(jobs, is_simulated)?);
        let (largest, stream) = (resources(AGENTS[0])?.quantities(), Stream::named(1, name));
        let queue = QueueFramework::new(name, role, QueueOptions::default(), workload, largest, stream);
        let submits = is_simulated.then(|| jobs.iter().map(|(.., at, _)| *at).collect());
        Ok(Recorded { name, queue, log: log.clone(), submits })
    }
}

impl Scheduler for Recorded {
    fn framework_info(&self) -> FrameworkInfo {
        self.queue.framework_info()
    }

    fn subscribed(&mut self, driver: &mut Driver, how: Subscription) {
        self.queue.subscribed(driver, how);
        for (job, at) in (0..).zip(self.submits.iter().flatten()) {
            driver.set_timer(job, Duration::from_secs(*at));
        }
    }

    fn timer(&mut self, driver: &mut Driver, job: u64) {
        self.queue.request(driver, RequestId(job), &QueueFramework::arrival(job as u32));
    }

    /// Who hears the answer knows that the master has heard what the queue said.
    fn request(&mut self, driver: &mut Driver, request: RequestId, data: &[u8]) {
        self.queue.request(driver, request, data);
        driver.reply(request, Vec::new(), true);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: &mut [Offer]) {
        for offer in &*offers {
            let line = format!("{} is offered {} of {}", self.name, offer.remaining(), offer.agent());
            self.log.push(driver.now(), line);
        }
        let before: Vec<Resources> = offers.iter().map(|offer| offer.remaining().clone()).collect();
        self.queue.resource_offers(driver, offers);
        for (offer, before) in offers.iter().zip(before) {
            let used = before.checked_sub(offer.remaining()).unwrap_or_default();
            self.log.push(driver.now(), format!("{} uses {used} of {}", self.name, offer.agent()));
        }
    }

    fn status_update(&mut self, driver: &mut Driver, status: &TaskStatus) -> Ack {
        self.queue.status_update(driver, status)
    }
}

fn wrong(error: impl std::fmt::Display) -> CaseError {
    CaseError::Other(error.to_string())
}

fn resources(text: &str) -> Result<Resources, CaseError> {
    text.parse().map_err(wrong)
}

fn workload(jobs: &[(u32, &str, u64, Option<u64>)], is_simulated: bool) -> Result<Workload, CaseError> {
    let mut builder = WorkloadBuilder::default();
    for (tasks, each, _, seconds) in jobs {
        let class = builder.class(&resources(each)?, GpuRequest::NONE, &[]);
        let seconds = seconds.filter(|_| is_simulated);
        let lengths = seconds
            .map_or(Lengths::Forever, |seconds| Lengths::Same(Span::from_nanos(seconds * 1_000_000_000)));
        builder.push(Job { id: "job".into(), tasks: *tasks, ..Job::new(Time::ZERO, class, lengths) });
    }
    Ok(builder.finish(false))
}

fn simulated_and_live(checks: &mut Checks) -> Result<(), CaseError> {
    let simulated = simulated()?;
    let counts = STEPS.map(|second| simulated.iter().filter(|(at, _)| *at < Time::from_secs(second)).count());
    let folder = std::env::temp_dir().join(format!("apportion-validate-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(wrong)?;
    let live = runtime.block_on(live(&folder, counts, simulated.len()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    // What is left there harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    let live = live?;
    checks.same("offers and launches", simulated.len(), live.len());
    let lines = |log: &[(Time, String)]| log.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>();
    let (simulated, live) = (lines(&simulated), lines(&live));
    let differs = simulated.iter().zip(&live).position(|(simulated, live)| simulated != live);
    let (expected, found) = match differs {
        None => ("the same".to_owned(), "the same".to_owned()),
        Some(at) => (format!("{at}: {}", simulated[at]), format!("{at}: {}", live[at])),
    };
    checks.so("sequence, by the simulator and live", &expected, &found, differs.is_none());
    Ok(())
}

fn simulated() -> Result<Vec<(Time, String)>, CaseError> {
    let [first, second] = AGENTS;
    let text = format!(
        r#"
        schema = 1
        name = "live"
        until = "30s"
        agents = [{{ name = "agent1", resources = "{first}" }}, {{ name = "agent2", resources = "{second}" }}]
        # Those that matter are plugged in; this one comes too late to do anything.
        [[frameworks]]
        name = "late"
        role = "late"
        jobs = [{{ at = "40s", resources = "cpus:1", duration = "1s" }}]
        "#
    );
    let model = Scenario::parse(&Document::new("case.toml", &text))?.resolve()?;
    let mut simulation = Simulation::new(&model)?;
    let log = Log::default();
    for framework in FRAMEWORKS {
        let party = Box::new(Plugged::new(Recorded::new(framework, &log, true)?));
        simulation.plug(framework.0.parse().map_err(wrong)?, party, Decision::default())?;
    }
    simulation.run(model.until, &mut Progress::silent())?;
    Ok(log.entries())
}

async fn live(
    folder: &std::path::Path,
    counts: [usize; 4],
    all: usize,
) -> Result<Vec<(Time, String)>, CaseError> {
    let config = LocalConfig {
        agents: AGENTS.iter().map(|text| resources(text)).collect::<Result<_, _>>()?,
        listen: ([127, 0, 0, 1], 0).into(),
        state_dir: folder.to_owned(),
        isolation: IsolationPreference::Plain,
        recovery_timeout: None,
        launcher: ExecutorLauncher::InProgram(InProgram::new(|config, _| {
            run_executor(Timers::default(), config, |(), _| {})
        })),
        preemption: PreemptionOptions::default(),
    };
    let mut cluster = LocalCluster::start(config).map_err(wrong)?;
    let log = Log::default();
    let [gate, others @ ..] = FRAMEWORKS;
    cluster.run_framework(gate.0, Recorded::new(gate, &log, false)?).map_err(wrong)?;
    cluster.ready().await.map_err(wrong)?;
    let operator = cluster.credentials(IdentityKind::Operator, "validate").map_err(wrong)?;
    let client = OperatorClient::connect(cluster.address(), &operator).await.map_err(wrong)?;
    let submit = async |framework: &str, job: u32| {
        let data = QueueFramework::arrival(job);
        ask(&client, OperatorCall::Request { framework: framework.parse().map_err(wrong)?, data }).await
    };
    let open = async |task: &str| {
        let framework = Some("gate".parse().map_err(wrong)?);
        ask(&client, OperatorCall::Kill { framework, task: task.parse().map_err(wrong)? }).await
    };
    // Whoever subscribes is offered everything before it can say that it waits for nothing. That is over when the gate has said so,
    // and nothing is free when the others come.
    submit("gate", u32::MAX).await?;
    log.clear();
    submit("gate", 0).await?;
    reached(&log, counts[0]).await?;
    submit("gate", 1).await?;
    reached(&log, counts[1]).await?;
    for framework in others {
        cluster.run_framework(framework.0, Recorded::new(framework, &log, false)?).map_err(wrong)?;
    }
    cluster.ready().await.map_err(wrong)?;
    submit("A", 0).await?;
    submit("B", 0).await?;
    reached(&log, counts[2]).await?;
    open("0.0").await?;
    reached(&log, counts[3]).await?;
    open("1.0").await?;
    reached(&log, all).await?;
    client.close().await;
    cluster.stop().await.map_err(wrong)?;
    Ok(log.entries())
}

async fn ask(client: &OperatorClient, call: OperatorCall) -> Result<(), CaseError> {
    match client.call(call).await.map_err(wrong)? {
        OperatorEvent::Refused(reason) => Err(CaseError::Other(reason)),
        _ => Ok(()),
    }
}

/// Waits until so much has happened.
async fn reached(log: &Log, count: usize) -> Result<(), CaseError> {
    let wait = async {
        while log.entries().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited
        .map_err(|_| wrong(format!("live, {} of {count} offers and launches were made", log.entries().len())))
}

/// An executor whose tasks are timers.
#[derive(Default)]
struct Timers {
    tasks: Vec<Option<TaskId>>,
}

impl Timers {
    fn end(&mut self, driver: &mut ExecutorDriver<()>, timer: usize, state: TaskState) {
        if let Some(task) = self.tasks.get_mut(timer).and_then(Option::take) {
            driver.cancel_timer(timer as u64);
            driver.update(TaskStatus::new(task, state, driver.now()));
        }
    }
}

impl Executor for Timers {
    type Action = ();
    type Event = ();

    fn launch(&mut self, driver: &mut ExecutorDriver<()>, task: TaskInfo) {
        driver.update(TaskStatus::new(task.id.clone(), TaskState::Running, driver.now()));
        if let Some(length) = TimerTask::of(&task.work).and_then(|known| known.length) {
            driver.set_timer(self.tasks.len() as u64, length.duration());
        }
        self.tasks.push(Some(task.id));
    }

    fn kill(&mut self, driver: &mut ExecutorDriver<()>, task: &TaskId, _stop: Option<StopPolicy>) {
        if let Some(timer) = self.tasks.iter().position(|known| known.as_ref() == Some(task)) {
            self.end(driver, timer, TaskState::Killed);
        }
    }

    fn event(&mut self, _driver: &mut ExecutorDriver<()>, (): ()) {}

    fn timer(&mut self, driver: &mut ExecutorDriver<()>, id: u64) {
        self.end(driver, id as usize, TaskState::Finished);
    }

    fn shutdown(&mut self, driver: &mut ExecutorDriver<()>) {
        for timer in 0..self.tasks.len() {
            self.end(driver, timer, TaskState::Killed);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn live_offers_are_those_of_the_simulator() {
        let verdict = super::CASES[0].verdict();
        assert!(verdict.holds(), "{verdict:#?}");
    }
}
