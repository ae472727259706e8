//! Drives a scheduler: a task owns its [`SchedulerProcess`] and keeps it connected with the master.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::{Clock, RuntimeError, Shutdown};
use crate::net::{Credentials, Endpoint, Expect, Outbox, Receiver, Settings};
use crate::protocol::{IdentityKind, RequestId, SchedulerCall, SchedulerEvent};
use crate::scheduler::{Scheduler, SchedulerInput, SchedulerOutput, SchedulerProcess};

/// From a failed try to connect to the next, at first; doubled up to [`RECONNECT_MAX`].
const RECONNECT_FIRST: Duration = Duration::from_millis(50);

/// The longest wait between two tries to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// What a framework needs to run.
#[derive(Debug)]
pub struct FrameworkConfig {
    /// Where the master listens.
    pub master: SocketAddr,
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
            stopped: false,
        };
        (handle, runner)
    }

    /// Runs it; see [`run_scheduler`].
    ///
    /// # Errors
    /// See [`run_scheduler`].
    pub async fn run(mut self, mut shutdown: Shutdown) -> Result<(), RuntimeError> {
        let local = match self.config.master {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
        };
        let endpoint = Endpoint::client(local, &self.config.credentials, Settings::default())?;
        let expect = Expect::Kind(IdentityKind::Master);
        let mut delay = RECONNECT_FIRST;
        while !self.stopped && !shutdown.is_stopped() {
            let connecting = endpoint.connect(self.config.master, &expect);
            let connected = tokio::select! {
                connected = connecting => connected,
                () = shutdown.stopped() => break,
            };
            match connected {
                Ok(connection) => {
                    delay = RECONNECT_FIRST;
                    let (outbox, sender, receiver) = connection.split();
                    let sending = tokio::spawn(sender.drive());
                    self.converse(outbox, receiver, &mut shutdown).await;
                    // What is queued goes out before the connection ends, unless the master is gone.
                    let _ = tokio::time::timeout(RECONNECT_MAX, sending).await;
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "cannot reach the master; trying again"),
            }
            if self.stopped || shutdown.is_stopped() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shutdown.stopped() => {}
            }
            delay = (delay * 2).min(RECONNECT_MAX);
        }
        Ok(())
    }

    /// Exchanges messages with the master until the connection or the framework ends.
    async fn converse(
        &mut self,
        outbox: Outbox<SchedulerCall>,
        mut receiver: Receiver<SchedulerEvent>,
        shutdown: &mut Shutdown,
    ) {
        self.process.handle(self.clock.now(), SchedulerInput::Connected, &mut self.outputs);
        self.carry_out(&outbox);
        let mut batch = Vec::new();
        while !self.stopped {
            let wait = self.process.next_deadline().map(|deadline| self.clock.until(deadline));
            tokio::select! {
                received = receiver.recv_batch(&mut batch) => match received {
                    Ok(0) => break,
                    Ok(_) => {
                        let now = self.clock.now();
                        for event in batch.drain(..) {
                            self.process.handle(now, SchedulerInput::Event(event), &mut self.outputs);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection with the master lost");
                        break;
                    }
                },
                Some(request) = self.requests.recv() => {
                    let LocalRequest { request, data, replies } = request;
                    self.waiting.insert(request, replies);
                    let input = SchedulerInput::LocalRequest { request, data };
                    self.process.handle(self.clock.now(), input, &mut self.outputs);
                }
                () = sleep_or_forever(wait) => {}
                () = shutdown.stopped() => break,
            }
            if self.process.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                self.process.handle(self.clock.now(), SchedulerInput::Tick, &mut self.outputs);
            }
            self.carry_out(&outbox);
        }
        self.process.handle(self.clock.now(), SchedulerInput::Disconnected, &mut self.outputs);
        self.outputs.clear();
    }

    fn carry_out(&mut self, outbox: &Outbox<SchedulerCall>) {
        let mut calls = Vec::new();
        for output in self.outputs.drain(..) {
            match output {
                SchedulerOutput::Send(call) => calls.push(call),
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
        if let Err(error) = outbox.push_all(calls) {
            tracing::warn!(%error, "cannot send to the master");
        }
    }
}

async fn sleep_or_forever(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Whether trying again can't help.
fn is_final(error: &crate::net::NetError) -> bool {
    use crate::net::NetError;
    matches!(
        error,
        NetError::VersionMismatch { .. }
            | NetError::UntrustedPeer { .. }
            | NetError::CertificateRefused { .. }
            | NetError::NoCertificate
            | NetError::UnexpectedPeer { .. }
            | NetError::RoleRefused { .. }
    )
}
