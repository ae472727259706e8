//! The framework against the real master, with an agent on which every task succeeds at once.

use std::collections::VecDeque;

use apportion::allocator::DrfAllocator;
use apportion::master::{Input, Master, Output};
use apportion::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, Exit, Identity, IdentityKind, Reason, RequestId,
    TaskState, TaskStatus, UpdateNumber,
};
use apportion::resources::Resources;
use apportion::scheduler::{Planned, SchedulerInput, SchedulerOutput, SchedulerProcess};
use apportion::spec::Document;
use apportion::time::Time;
use apportion_batch::{BatchFramework, BatchReply, BatchRequest, BatchSpec, RunState};

const AGENT: ConnectionId = ConnectionId(1);
const FRAMEWORK: ConnectionId = ConnectionId(2);

/// More steps than any run here takes; a run that never settles fails instead of hanging.
const MAX_STEPS: usize = 100_000;

struct Cluster {
    master: Master,
    process: SchedulerProcess<Planned<BatchFramework>>,
    to_master: VecDeque<Input>,
    replies: Vec<BatchReply>,
    started: Vec<String>,
}

impl Cluster {
    fn new() -> Self {
        let framework = BatchFramework::new("batch", vec!["ml".parse().unwrap()]);
        let mut cluster = Cluster {
            master: Master::new(DrfAllocator::default()),
            process: SchedulerProcess::new(Planned::new(framework)),
            to_master: VecDeque::new(),
            replies: Vec::new(),
            started: Vec::new(),
        };
        for (connection, kind, name) in
            [(AGENT, IdentityKind::Agent, "a1"), (FRAMEWORK, IdentityKind::Framework, "batch")]
        {
            let peer = Identity::new("test", kind, name).unwrap();
            cluster.to_master.push_back(Input::Connected { connection, peer });
        }
        let info = AgentInfo::new("here", Resources::cpus_mem(4000, 4096));
        let call = AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() };
        cluster.to_master.push_back(Input::Agent { connection: AGENT, call });
        cluster.tell_framework(SchedulerInput::Connected);
        cluster
    }

    fn submit(&mut self, text: &str) {
        let spec = BatchSpec::parse(&Document::new("job.toml", text)).unwrap();
        let data = BatchRequest::Submit { spec: Box::new(spec) }.encode();
        self.tell_framework(SchedulerInput::LocalRequest { request: RequestId(1), data });
    }

    fn tell_framework(&mut self, input: SchedulerInput) {
        let mut out = Vec::new();
        self.process.handle(Time::ZERO, input, &mut out);
        if self.process.next_deadline().is_some_and(|deadline| deadline <= Time::ZERO) {
            self.process.handle(Time::ZERO, SchedulerInput::Tick, &mut out);
        }
        for output in out {
            match output {
                SchedulerOutput::Send(call) => {
                    self.to_master.push_back(Input::Scheduler { connection: FRAMEWORK, call });
                }
                SchedulerOutput::LocalReply { data, .. } => {
                    self.replies.push(BatchReply::decode(&data).unwrap())
                }
                SchedulerOutput::Record(_) | SchedulerOutput::RefuseMaster(_) | SchedulerOutput::Stop => {}
            }
        }
    }

    /// Lets everything happen that can at this time.
    fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            let input = match self.to_master.pop_front() {
                Some(input) => input,
                None if self.master.next_deadline() == Some(Time::ZERO) => Input::Tick,
                None => return,
            };
            let mut out = Vec::new();
            self.master.handle(Time::ZERO, input, &mut out);
            for output in out {
                match output {
                    Output::ToAgent { event, .. } => self.play_agent(event),
                    Output::ToScheduler { event, .. } => self.tell_framework(SchedulerInput::Event(event)),
                    Output::ToOperator { .. } | Output::Disconnect { .. } | Output::Store { .. } => {}
                }
            }
        }
        panic!("it does not settle");
    }

    fn play_agent(&mut self, event: AgentEvent) {
        let AgentEvent::Launch { framework, tasks, .. } = event else { return };
        for task in tasks {
            self.started.push(task.id.to_string());
            for (number, state) in [(1, TaskState::Running), (2, TaskState::Finished)] {
                let mut status = TaskStatus::new(task.id.clone(), state, Time::ZERO);
                status.number = Some(UpdateNumber(number));
                status.agent = Some(AgentId::new("a1").unwrap());
                status.reason = state.is_terminal().then_some(Reason::Exited(Exit::Code(0)));
                let call = AgentCall::Update { framework: framework.clone(), status, latest: state };
                self.to_master.push_back(Input::Agent { connection: AGENT, call });
            }
        }
    }
}

#[test]
fn a_job_runs_its_steps_in_order_and_every_index_once() {
    let mut cluster = Cluster::new();
    cluster.settle();
    cluster.submit(
        r#"
        schema = 1
        kind = "batch"
        id = "/ml/nightly"
        role = "ml"
        [[step]]
        name = "shard"
        cmd = ["true"]
        count = 100
        cpus = 1
        [[step]]
        name = "merge"
        needs = ["shard"]
        cmd = ["true"]
        "#,
    );
    cluster.settle();
    let [BatchReply::Accepted { run }] = &cluster.replies[..] else { panic!("{:?}", cluster.replies) };
    let framework = cluster.process.scheduler().reconciler();
    assert_eq!(framework.result(run).map(|result| result.state), Some(RunState::Succeeded));
    assert_eq!(cluster.started.len(), 101);
    assert!(cluster.started[100].contains("merge"), "after all that it needs");
    let state = cluster.master.cluster_state(Time::ZERO);
    assert_eq!(state.frameworks[0].tasks_finished, 101);
    assert_eq!(state.agents[0].allocated, Resources::new());
}
