//! Frameworks in the world: the production schedulers, and the operator who asks things of them.

use apportion::protocol::{FrameworkId, RequestId, SchedulerCall, TaskStatus};
use apportion::scheduler::{
    DamagedRecord, Planned, RecordChange, Records, SchedulerInput, SchedulerOutput, SchedulerProcess,
};
use apportion::time::Time;
use apportion_batch::{BatchFramework, BatchReply, BatchRequest, BatchSpec};
use apportion_service::{ServiceFramework, ServiceRequest, ServiceSpec};

use super::clock::Clock;
use super::disk::{RecordDisk, Write};
use super::ledger::Rule;
use super::network::End;
use super::node::Node;
use super::packet::{Packet, launched};
use super::plan::Moment;
use super::witness::Witness;
use super::world::{BATCH, Event, Link, RESTART_DELAY, SERVICE, START, World};

/// A framework's process.
pub(super) struct FrameworkNode {
    pub(super) id: FrameworkId,
    /// Counts its processes.
    pub(super) life: u32,
    pub(super) process: Option<Process>,
    pub(super) clock: Clock,
    pub(super) link: Link,
    pub(super) wake: Option<Time>,
    /// What it must not forget, in the runs in which frameworks keep records.
    pub(super) records: Records,
    pub(super) disk: RecordDisk,
    /// What it goes on with when its write has ended.
    pub(super) writing: Option<Writing>,
    /// What comes meanwhile.
    pub(super) inbox: Vec<SchedulerInput>,
}

/// A step of a framework whose records are being written.
pub(super) struct Writing {
    out: Vec<SchedulerOutput>,
    told: Vec<TaskStatus>,
    /// The connection that it had when it took the step.
    connection: Option<u64>,
}

/// The scheduler in it.
pub(super) enum Process {
    Service(Box<SchedulerProcess<Witness<Planned<ServiceFramework>>>>),
    Batch(Box<SchedulerProcess<Witness<Planned<BatchFramework>>>>),
}

impl Process {
    fn handle(&mut self, now: Time, input: SchedulerInput, out: &mut Vec<SchedulerOutput>) {
        match self {
            Process::Service(process) => process.handle(now, input, out),
            Process::Batch(process) => process.handle(now, input, out),
        }
    }

    fn restore(
        &mut self,
        now: Time,
        records: &Records,
        out: &mut Vec<SchedulerOutput>,
    ) -> Result<(), DamagedRecord> {
        match self {
            Process::Service(process) => process.restore(now, records, out),
            Process::Batch(process) => process.restore(now, records, out),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self {
            Process::Service(process) => process.next_deadline(),
            Process::Batch(process) => process.next_deadline(),
        }
    }

    fn take_told(&self) -> Vec<TaskStatus> {
        match self {
            Process::Service(process) => process.scheduler().take_told(),
            Process::Batch(process) => process.scheduler().take_told(),
        }
    }
}

/// A job, and what became of it.
pub(super) struct Job {
    pub(super) spec: BatchSpec,
    pub(super) run: Option<String>,
    pub(super) has_ended: bool,
}

/// What was asked for and still holds; it is asked for again when a framework starts anew.
#[derive(Default)]
pub(super) struct Operator {
    pub(super) services: std::collections::BTreeMap<String, ServiceSpec>,
    pub(super) jobs: Vec<Job>,
    /// The services have been stopped for good.
    pub(super) has_stopped: bool,
}

impl World {
    pub(super) fn start_framework(&mut self, place: usize) {
        let clock = self.new_clock();
        // Numbers above all that were used before: milliseconds since the start.
        let first = self.now.since(START).as_millis() as u64 + 1;
        let role = |name: &str| name.parse().into_iter().collect();
        let node = &mut self.frameworks[place];
        node.life += 1;
        node.clock = clock;
        node.wake = None;
        node.link = Link::default();
        node.inbox.clear();
        node.process = Some(if node.id.as_str() == SERVICE {
            let framework = ServiceFramework::new(SERVICE, role("web")).numbering_from(first);
            Process::Service(Box::new(SchedulerProcess::new(Witness::new(Planned::new(framework)))))
        } else {
            let framework = BatchFramework::new(BATCH, role("research")).numbering_from(first);
            Process::Batch(Box::new(SchedulerProcess::new(Witness::new(Planned::new(framework)))))
        });
        self.ledger.framework_starts_anew(&self.frameworks[place].id, !self.keeps_records);
        self.restore_framework(place);
        self.ask_again(place);
        self.connect_soon(Node::Framework(place));
    }

    fn restore_framework(&mut self, place: usize) {
        let node = &mut self.frameworks[place];
        let (Some(process), now) = (&mut node.process, node.clock.read(self.now)) else { return };
        let mut out = Vec::new();
        if let Err(damaged) = process.restore(now, &node.records, &mut out) {
            self.ledger.violate(Rule::ToldIsDurable, || damaged.to_string());
        }
        self.carry_out_framework(place, out, None);
    }

    pub(super) fn framework_input(&mut self, place: usize, input: SchedulerInput) {
        let node = &mut self.frameworks[place];
        let Some(process) = &mut node.process else { return };
        if node.writing.is_some() {
            return node.inbox.push(input);
        }
        let mut out = Vec::new();
        process.handle(node.clock.read(self.now), input, &mut out);
        let told = process.take_told();
        let crash = self.struck(Node::Framework(place), |moment| {
            out.iter().any(|output| {
                let SchedulerOutput::Send(call) = output else { return false };
                matches!(
                    (moment, call),
                    (Moment::Acknowledging, SchedulerCall::Acknowledge { .. })
                        | (Moment::Speaking, SchedulerCall::Accept { .. })
                        | (Moment::Writing, SchedulerCall::Subscribe { .. })
                )
            })
        });
        self.interrupt(crash, &mut out);
        for status in &told {
            self.ledger.told(&self.frameworks[place].id, status);
            self.record.told(&self.frameworks[place].id, status);
        }
        let step = Writing { out, told, connection: self.frameworks[place].link.connection };
        match crash {
            Some(fault) => {
                // One that dies with its answer to an update may not have recorded it.
                self.carry_out_framework(place, step.out, step.connection);
                self.strike(fault, Some(Node::Framework(place)));
            }
            None => self.write_records(place, step),
        }
    }

    /// Goes on with a step when what it records is durable.
    fn write_records(&mut self, place: usize, step: Writing) {
        let has_records = |output: &SchedulerOutput| matches!(output, SchedulerOutput::Record(changes) if !changes.is_empty());
        let node = &mut self.frameworks[place];
        let write = match self.keeps_records && step.out.iter().any(has_records) {
            true => node.disk.write(self.now, &mut self.chance.disks),
            false => Write::Done,
        };
        match write {
            Write::Done => self.finish_step(place, step),
            Write::Takes(takes) => {
                let (node, life) = (Node::Framework(place), node.life);
                self.frameworks[place].writing = Some(step);
                self.later(self.now + takes, Event::Written { node, life });
            }
            Write::Fails => {
                node.writing = Some(step);
                self.say(|| format!("{} can't write and ends", Node::Framework(place)));
                self.framework_ends(place);
                self.later(self.now + RESTART_DELAY, Event::Start(Node::Framework(place)));
            }
        }
    }

    fn finish_step(&mut self, place: usize, Writing { out, told, connection }: Writing) {
        for status in &told {
            self.ledger.recorded(&self.frameworks[place].id, status);
        }
        self.carry_out_framework(place, out, connection);
        self.wake_later(Node::Framework(place));
    }

    /// A framework's write has ended: it goes on, and takes what has come meanwhile.
    pub(super) fn framework_has_written(&mut self, place: usize) {
        let Some(step) = self.frameworks[place].writing.take() else { return };
        self.finish_step(place, step);
        for input in std::mem::take(&mut self.frameworks[place].inbox) {
            self.framework_input(place, input);
        }
    }

    fn carry_out_framework(&mut self, place: usize, out: Vec<SchedulerOutput>, connection: Option<u64>) {
        for output in out {
            match output {
                SchedulerOutput::Send(call) => {
                    if let SchedulerCall::Accept { operations, .. } = &call {
                        for task in launched(operations) {
                            self.ledger.launched(&self.frameworks[place].id, &task.id);
                        }
                    }
                    if let Some(connection) = connection {
                        self.send(connection, End::Server, Packet::SchedulerCall(call));
                    }
                }
                SchedulerOutput::RefuseMaster(deposed) => {
                    self.refuse_server(Node::Framework(place), &deposed)
                }
                SchedulerOutput::LocalReply { request, data, .. } => {
                    self.operator_hears(place, request, &data)
                }
                SchedulerOutput::Record(changes) if self.keeps_records => {
                    self.keep_records(place, changes);
                }
                SchedulerOutput::Record(_) | SchedulerOutput::Stop => {}
            }
        }
    }

    pub(super) fn framework_hears(&mut self, place: usize, packet: Packet) {
        if let Packet::SchedulerEvent(event) = packet {
            self.framework_input(place, SchedulerInput::Event(event));
        }
    }

    /// A framework's process is gone, with all that it has not recorded.
    pub(super) fn framework_ends(&mut self, place: usize) {
        self.note_ended_jobs();
        if let Some(Writing { out, .. }) = self.frameworks[place].writing.take() {
            // Whether it was written nobody knows.
            let is_written = self.chance.disks.below(2) == 0;
            for output in out {
                if let SchedulerOutput::Record(changes) = output
                    && is_written
                {
                    self.keep_records(place, changes);
                }
            }
        }
        let node = &mut self.frameworks[place];
        if let Some(process) = node.process.take() {
            node.link = Link::default();
            if matches!(process, Process::Batch(_)) && !self.keeps_records {
                self.operator.jobs.iter_mut().for_each(|job| job.run = None);
            }
            self.connections_end(Node::Framework(place));
        }
    }

    fn keep_records(&mut self, place: usize, changes: Vec<RecordChange>) {
        let records = &mut self.frameworks[place].records;
        changes.into_iter().for_each(|change| change.apply(records));
    }

    /// The operator looks which jobs have ended.
    pub(super) fn note_ended_jobs(&mut self) {
        for node in self.frameworks.iter().filter(|node| node.writing.is_none()) {
            let Some(Process::Batch(process)) = &node.process else { continue };
            let batch = process.scheduler().scheduler().reconciler();
            for job in &mut self.operator.jobs {
                job.has_ended |= job.run.as_ref().is_some_and(|run| batch.result(run).is_some());
            }
        }
    }

    /// The operator asks something of the service framework.
    pub(super) fn order_service(&mut self, request: &ServiceRequest) {
        match request {
            ServiceRequest::Apply { spec } => {
                // A version is brought to the size that the service has.
                let replicas =
                    self.operator.services.get(&spec.id).map_or(spec.replicas, |known| known.replicas);
                let spec = ServiceSpec { replicas, ..ServiceSpec::clone(spec) };
                self.operator.services.insert(spec.id.clone(), spec.clone());
                self.ask(0, 0, ServiceRequest::Apply { spec: Box::new(spec) }.encode());
            }
            ServiceRequest::Scale { id, replicas } => {
                if let Some(known) = self.operator.services.get_mut(id) {
                    known.replicas = *replicas;
                }
                self.ask(0, 0, request.encode());
            }
            _ => self.ask(0, 0, request.encode()),
        }
    }

    /// The operator submits a job.
    pub(super) fn order_job(&mut self, spec: BatchSpec) {
        self.operator.jobs.push(Job { spec, run: None, has_ended: false });
        self.submit(self.operator.jobs.len() - 1);
    }

    fn submit(&mut self, number: usize) {
        let request = BatchRequest::Submit { spec: Box::new(self.operator.jobs[number].spec.clone()) };
        self.ask(1, number as u64, request.encode());
    }

    /// A framework starts anew: the operator asks for what is still to be, and was not promised.
    fn ask_again(&mut self, place: usize) {
        if place == 0 && !self.operator.has_stopped {
            for spec in self.operator.services.values().cloned().collect::<Vec<_>>() {
                self.ask(0, 0, ServiceRequest::Apply { spec: Box::new(spec) }.encode());
            }
        }
        if place == 1 {
            for number in 0..self.operator.jobs.len() {
                let job = &self.operator.jobs[number];
                if !job.has_ended && job.run.is_none() {
                    self.submit(number);
                }
            }
        }
    }

    /// The operator stops all services.
    pub(super) fn stop_services(&mut self) {
        self.operator.has_stopped = true;
        for id in self.operator.services.keys().cloned().collect::<Vec<_>>() {
            self.ask(0, 0, ServiceRequest::Stop { id }.encode());
        }
    }

    fn ask(&mut self, place: usize, request: u64, data: Vec<u8>) {
        self.framework_input(place, SchedulerInput::LocalRequest { request: RequestId(request), data });
    }

    fn operator_hears(&mut self, place: usize, request: RequestId, data: &[u8]) {
        if place == 1
            && let Ok(BatchReply::Accepted { run }) = BatchReply::decode(data)
            && let Some(job) = self.operator.jobs.get_mut(request.0 as usize)
        {
            job.run = Some(run);
        }
    }
}
