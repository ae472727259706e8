//! Drives a scheduler: a task owns its [`SchedulerProcess`] and keeps it connected with the master.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::peer::{Peer, PeerEvent, sleep_or_forever};
use super::{Addresses, Clock, RuntimeError, Shutdown};
use crate::net::{CloseCode, Credentials, Expect, Link, Outbox, Settings};
use crate::protocol::{IdentityKind, RequestId, SchedulerCall};
use crate::scheduler::{RecordChange, Scheduler, SchedulerInput, SchedulerOutput, SchedulerProcess};
use crate::store::{FrameworkStore, StoreError};

/// What a framework needs to run.
#[derive(Debug)]
pub struct FrameworkConfig {
    /// Where the masters listen.
    pub master: Addresses,
    /// The framework's certificate; its name is the framework's id.
    pub credentials: Credentials,
}

/// Asks a scheduler in this program what operators can ask of it from outside.
#[derive(Clone, Debug)]
pub struct FrameworkHandle {
    requests: mpsc::UnboundedSender<LocalRequest>,
    last_request: Arc<AtomicU64>,
}

#[derive(Debug)]
struct LocalRequest {
    request: RequestId,
    data: Vec<u8>,
    replies: mpsc::UnboundedSender<(Vec<u8>, bool)>,
}

impl FrameworkHandle {
    /// Asks; the answers come until one is marked as the last. None comes when the framework has ended.
    pub fn request(&self, data: Vec<u8>) -> mpsc::UnboundedReceiver<(Vec<u8>, bool)> {
        let (replies, answers) = mpsc::unbounded_channel();
        let request = RequestId(self.last_request.fetch_add(1, Ordering::Relaxed) + 1);
        // When the framework has ended the replies' sender is dropped with the request, which ends the answers.
        let _ = self.requests.send(LocalRequest { request, data, replies });
        answers
    }
}

/// Runs a scheduler against the master until it tears its framework down or the signal is given. Connects again whenever
/// the connection is lost.
///
/// # Errors
/// When the credentials can't be used, or the master refuses the framework for good.
pub async fn run_scheduler<S: Scheduler>(
    scheduler: S,
    config: FrameworkConfig,
    shutdown: Shutdown,
) -> Result<(), RuntimeError> {
    let (_handle, runner) = FrameworkRunner::new(scheduler, config);
    runner.run(shutdown).await
}

/// A scheduler that is about to run.
pub struct FrameworkRunner<S> {
    process: SchedulerProcess<S>,
    config: FrameworkConfig,
    clock: Clock,
    outputs: Vec<SchedulerOutput>,
    requests: mpsc::UnboundedReceiver<LocalRequest>,
    waiting: FxHashMap<RequestId, mpsc::UnboundedSender<(Vec<u8>, bool)>>,
    store: Option<FrameworkStore>,
    stopped: bool,
}

impl<S: Scheduler> FrameworkRunner<S> {
    /// The scheduler with its config, and a handle to ask it from this program.
    pub fn new(scheduler: S, config: FrameworkConfig) -> (FrameworkHandle, Self) {
        let (sender, requests) = mpsc::unbounded_channel();
        let handle = FrameworkHandle { requests: sender, last_request: Arc::new(AtomicU64::new(0)) };
        let runner = FrameworkRunner {
            process: SchedulerProcess::new(scheduler),
            config,
            clock: Clock::start(),
            outputs: Vec::new(),
            requests,
            waiting: FxHashMap::default(),
            store: None,
            stopped: false,
        };
        (handle, runner)
    }

    /// Goes on from the records in the file at `path`, and keeps records there: so a framework that was killed goes on where it stood. The
    /// file is made if it does not exist; its folder must.
    ///
    /// # Errors
    /// When the file can't be used, or the scheduler can't use a record.
    pub fn keeping_records(mut self, path: &Path) -> Result<Self, RuntimeError> {
        let store = FrameworkStore::open(path)?;
        self.process.restore(self.clock.now(), &store.load()?, &mut self.outputs)?;
        self.store = Some(store);
        Ok(self)
    }

    /// Runs it; see [`run_scheduler`].
    ///
    /// # Errors
    /// See [`run_scheduler`].
    pub async fn run(mut self, mut shutdown: Shutdown) -> Result<(), RuntimeError> {
        let expect = Expect::Kind(IdentityKind::Master);
        let mut peer =
            Peer::seek(&self.config.master, expect, &self.config.credentials, Settings::default())?;
        let mut master = None;
        let mut outcome = Ok(());
        while !self.stopped {
            let wait = self.process.next_deadline().map(|deadline| self.clock.until(deadline));
            tokio::select! {
                event = peer.next() => match event {
                    PeerEvent::Connected { outbox, link } => {
                        master = Some((outbox, link));
                        self.handle(SchedulerInput::Connected);
                    }
                    PeerEvent::Received(events) => {
                        for event in events {
                            self.handle(SchedulerInput::Event(event));
                        }
                    }
                    PeerEvent::Disconnected => {
                        master = None;
                        self.handle(SchedulerInput::Disconnected);
                    }
                    PeerEvent::Refused(error) => {
                        outcome = Err(error.into());
                        break;
                    }
                },
                Some(LocalRequest { request, data, replies }) = self.requests.recv() => {
                    self.waiting.insert(request, replies);
                    self.handle(SchedulerInput::LocalRequest { request, data });
                }
                () = sleep_or_forever(wait) => {}
                () = shutdown.stopped() => break,
            }
            if self.process.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                self.handle(SchedulerInput::Tick);
            }
            if let Err(error) = self.make_durable().await {
                outcome = Err(error.into());
                break;
            }
            self.carry_out(master.as_ref());
        }
        peer.end(master.map(|(outbox, _)| outbox)).await;
        outcome
    }

    fn handle(&mut self, input: SchedulerInput) {
        self.process.handle(self.clock.now(), input, &mut self.outputs);
    }

    /// Makes all that was recorded durable, in one go: what else is to be done may depend on it.
    async fn make_durable(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let mut changes: Vec<RecordChange> = Vec::new();
        for output in &mut self.outputs {
            if let SchedulerOutput::Record(more) = output {
                changes.append(more);
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let commit = tokio::task::spawn_blocking(move || store.commit(&changes));
        commit.await.map_err(|error| StoreError::Failed { action: "write", reason: error.to_string() })?
    }

    fn carry_out(&mut self, master: Option<&(Outbox<SchedulerCall>, Link)>) {
        let mut calls = Vec::new();
        for output in self.outputs.drain(..) {
            match output {
                // It is durable by now.
                SchedulerOutput::Record(_) => {}
                SchedulerOutput::Send(call) => calls.push(call),
                SchedulerOutput::RefuseMaster(deposed) => {
                    tracing::warn!(%deposed, "a master is refused");
                    if let Some((_, link)) = master {
                        link.close(CloseCode::Deposed, &deposed.to_string());
                    }
                }
                SchedulerOutput::LocalReply { request, data, last } => {
                    if let Some(replies) = self.waiting.get(&request) {
                        // Whoever asked may have gone; then nobody needs the answer.
                        let _ = replies.send((data, last));
                    }
                    if last {
                        self.waiting.remove(&request);
                    }
                }
                SchedulerOutput::Stop => self.stopped = true,
            }
        }
        // Without a connection the process keeps what has to be said later.
        let Some((outbox, link)) = master else { return };
        // An acknowledgement only ends a repetition that has not begun.
        let is_urgent = calls.iter().any(|call| !matches!(call, SchedulerCall::Acknowledge { .. }));
        if let Err(error) = calls.into_iter().try_for_each(|call| outbox.push_later(call)) {
            tracing::warn!(%error, "cannot send to the master");
            // What was not sent is made up for when the scheduler subscribes anew.
            return link.close(CloseCode::Overflow, &error.to_string());
        }
        if is_urgent {
            outbox.flush();
        }
    }
}
