//! Drives a master: one thread owns the machine, a task per connection feeds it.
//!
//! Connections hand over what they read in batches and go on reading when the master has taken note of it, and written down what
//! it must of it, so a peer that floods waits for itself. Operators' questions about the cluster are answered from a published
//! [`ClusterState`], which the master's thread makes when somebody asked, once for all who did.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{self, RecvTimeoutError};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use super::doors::Door;
use super::journal::Recorder;
use super::pace::{Pace, Paces};
use super::{Admission, Clock, JournalConfig, RuntimeError, Shutdown};
use crate::allocator::Allocator;
use crate::master::{Input, Master, Output, PingOptions};
use crate::net::{
    Accepted, CloseCode, Connection, Credentials, Endpoint, Link, NetError, Outbox, Receiver, Settings,
};
use crate::protocol::operator::{ClusterState, OperatorAnswer, OperatorRequest};
use crate::protocol::{
    Action, AgentEvent, ConnectionId, Epoch, Identity, IdentityKind, OperatorCall, OperatorEvent, Rules,
    SchedulerEvent,
};
use crate::store::{Store, StoreError, Writer};
use crate::time::Time;

/// How many batches of one connection may wait for the master at a time.
const BATCHES_IN_FLIGHT: usize = 4;

/// How many messages for the master's thread are taken before it lets time pass and offers are made.
const MESSAGES_PER_TURN: usize = 256;

/// A machine without a deadline is woken by what comes in; this only bounds the wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a master needs to run.
#[derive(Debug)]
pub struct MasterConfig {
    /// Where it takes connections; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Its own certificate.
    pub credentials: Credentials,
    /// Lets newcomers join, when this master holds the cluster's authority.
    pub admission: Option<Arc<Admission>>,
    /// Where to write down all that it is told, so that it can be replayed.
    pub journal: Option<JournalConfig>,
    /// How often agents are asked whether they are there, and when they count as unreachable.
    pub pings: PingOptions,
}

/// A running master.
#[derive(Debug)]
pub struct MasterServer {
    address: SocketAddr,
    endpoint: Arc<Endpoint>,
    thread: Option<JoinHandle<()>>,
    machine: channel::Sender<ToMachine>,
    failure: oneshot::Receiver<StoreError>,
    _beside: JoinSet<()>,
}

/// What a master's term begins with.
pub(super) struct Term {
    pub(super) entrance: Entrance,
    pub(super) machine: Master,
    /// Writes its journal, where one is wanted.
    pub(super) recorder: Option<Recorder>,
    pub(super) clock: Clock,
    pub(super) store: Option<Box<dyn Store>>,
    /// Whether this master still leads: nothing leaves it when it does not.
    pub(super) leads: Box<dyn Fn() -> bool + Send>,
}

/// Where a master takes connections, and whom it lets in.
pub(super) struct Entrance {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) admission: Option<Arc<Admission>>,
    /// What goes on beside, as long as the master runs.
    pub(super) beside: JoinSet<()>,
}

/// What the master's thread is told.
enum ToMachine {
    Connected { connection: ConnectionId, peer: Identity, outbox: PeerOutbox, link: Link },
    Inputs { inputs: Vec<Input>, permit: OwnedSemaphorePermit },
    Disconnected(ConnectionId),
    Publish,
    Stored(Result<u64, StoreError>),
    Stop,
}

enum PeerOutbox {
    Agent(Outbox<AgentEvent>),
    Scheduler(Outbox<SchedulerEvent>),
    Operator(Outbox<OperatorAnswer>),
}

/// What every connection's task shares.
struct Shared {
    machine: channel::Sender<ToMachine>,
    state: watch::Receiver<Arc<ClusterState>>,
    rules: watch::Receiver<Arc<Rules>>,
    paces: Arc<Paces>,
    admission: Option<Arc<Admission>>,
    last_connection: AtomicU64,
    handshakes: Arc<Door<IpAddr>>,
    members: Arc<Door<Identity>>,
}

impl MasterServer {
    /// Starts a master on a thread of its own. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address can't be bound or the thread can't be started.
    pub fn start(
        config: MasterConfig,
        allocator: impl Allocator + 'static,
        shutdown: Shutdown,
    ) -> Result<Self, RuntimeError> {
        let (clock, journal, pings) = (Clock::start(), config.journal.as_ref(), config.pings);
        let recorder = Recorder::start_if_asked(journal, clock.now(), Epoch::FIRST, &allocator, pings, None)?;
        let machine = Master::new(allocator).with_pings(pings);
        let entrance = listen(config)?;
        let leads = Box::new(|| true);
        Self::serve(Term { entrance, machine, recorder, clock, store: None, leads }, shutdown)
    }

    /// Starts a master that keeps its registry in `store`, and goes on with what is there. It ends when the store fails.
    ///
    /// # Errors
    /// As [`MasterServer::start`]; or when the store can't be read.
    pub fn start_with_store(
        config: MasterConfig,
        allocator: impl Allocator + 'static,
        mut store: impl Store + 'static,
        shutdown: Shutdown,
    ) -> Result<Self, RuntimeError> {
        let (journal, pings) = (config.journal.clone(), config.pings);
        let entrance = listen(config)?;
        let clock = Clock::start();
        let epoch = store.begin_term()?;
        let (machine, recorder) = restored(allocator, epoch, clock, &mut store, pings, journal.as_ref())?;
        let (store, leads): (Option<Box<dyn Store>>, _) = (Some(Box::new(store)), Box::new(|| true));
        Self::serve(Term { entrance, machine, recorder, clock, store, leads }, shutdown)
    }

    /// Takes connections at an endpoint until the term ends.
    pub(super) fn serve(term: Term, shutdown: Shutdown) -> Result<Self, RuntimeError> {
        let Term { entrance, machine: master, recorder, clock, store, leads } = term;
        let Entrance { endpoint, admission, beside } = entrance;
        let address = endpoint.local_address();
        let (machine, inbox) = channel::unbounded();
        let report = machine.clone();
        let report = move |stored| {
            // The master's thread is gone already when this fails: then nobody waits for it.
            let _ = report.send(ToMachine::Stored(stored));
        };
        let writer = store
            .map(|store| Writer::start(store, report))
            .transpose()
            .map_err(|error| RuntimeError::Start { what: "the registry's thread", error })?;
        let (publish, state) = watch::channel(Arc::new(ClusterState::default()));
        let (publish_rules, rules) = watch::channel(master.rules().clone());
        let driver = MachineDriver {
            machine: master,
            recorder,
            clock,
            writer,
            leads,
            inbox,
            peers: FxHashMap::default(),
            publish,
            publish_rules,
            outputs: Vec::new(),
            writing: VecDeque::new(),
        };
        let (report_failure, failure) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("apportion-master".to_owned())
            .spawn(move || {
                if let Err(error) = driver.run() {
                    // Whoever does not wait for it has stopped the master.
                    let _ = report_failure.send(error);
                }
            })
            .map_err(|error| RuntimeError::Start { what: "the master's thread", error })?;
        let shared = Arc::new(Shared {
            machine: machine.clone(),
            state,
            paces: Paces::new(rules.clone()),
            rules,
            admission,
            last_connection: AtomicU64::new(0),
            handshakes: Door::of_handshakes(),
            members: Door::of_members(),
        });
        tokio::spawn(accept_connections(endpoint.clone(), shared, shutdown));
        tracing::info!(%address, "master listens");
        Ok(MasterServer { address, endpoint, thread: Some(thread), machine, failure, _beside: beside })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the master has ended because its store failed, or is led by another master now.
    pub async fn failed(&mut self) -> StoreError {
        match (&mut self.failure).await {
            Ok(error) => error,
            // It has been stopped, or told already.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends all connections and the master's thread.
    pub async fn stop(self) {
        self.endpoint.close(CloseCode::Done, "the master stops");
        self.endpoint.wait_idle().await;
        self.leave().await;
    }

    /// Ends the master's thread, and the connections that it had, but not the endpoint.
    pub(super) async fn leave(mut self) {
        // The thread is gone already when this fails, which is what is wanted.
        let _ = self.machine.send(ToMachine::Stop);
        if let Some(thread) = self.thread.take() {
            // It ends at once: it does no IO. A panic in it has been printed.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// A master that is not stopped in order ends all the same.
impl Drop for MasterServer {
    fn drop(&mut self) {
        // The thread is gone already when this fails.
        let _ = self.machine.send(ToMachine::Stop);
    }
}

fn listen(config: MasterConfig) -> Result<Entrance, RuntimeError> {
    let MasterConfig { listen, credentials, admission, journal: _, pings: _ } = config;
    let settings = Settings { joins: admission.is_some(), ..Settings::default() };
    let endpoint = Arc::new(Endpoint::server(listen, &credentials, settings)?);
    let mut beside = JoinSet::new();
    if let Some(admission) = admission.clone() {
        beside.spawn(async move { admission.keep_fresh(&credentials).await });
    }
    Ok(Entrance { endpoint, admission, beside })
}

/// A master of this epoch that goes on with what is in the store, and what writes its journal, where one is wanted.
pub(super) fn restored(
    allocator: impl Allocator + 'static,
    epoch: Epoch,
    clock: Clock,
    store: &mut impl Store,
    pings: PingOptions,
    journal: Option<&JournalConfig>,
) -> Result<(Master, Option<Recorder>), RuntimeError> {
    let mut records = store.load()?;
    records.retain(|record| !record.is_of_admission());
    let now = clock.now();
    let recorder = Recorder::start_if_asked(journal, now, epoch, &allocator, pings, Some(&records))?;
    let master = Master::new(allocator).in_epoch(epoch).with_pings(pings).with_registry(now, records);
    Ok((master, recorder))
}

async fn accept_connections(endpoint: Arc<Endpoint>, shared: Arc<Shared>, mut shutdown: Shutdown) {
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = shutdown.stopped() => return,
        };
        let Some(incoming) = incoming else { return };
        let from = incoming.remote_address();
        let Ok(handshake) = shared.handshakes.enter(from.ip()) else {
            tracing::debug!(%from, "too many connections begin at once");
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let established = incoming.establish().await;
            drop(handshake);
            let outcome = match established {
                Ok(Accepted::Member(connection)) => serve_member(*connection, &shared).await,
                Ok(Accepted::Newcomer(request)) => match &shared.admission {
                    Some(admission) => admission.clone().answer(request).await,
                    None => Ok(()),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::debug!(%from, %error, "connection ended");
            }
        });
    }
}

/// Serves a member until it leaves, and renews its certificate meanwhile.
async fn serve_member(connection: Connection, shared: &Shared) -> Result<(), NetError> {
    let link = connection.link().clone();
    let _stay = match shared.members.enter(link.peer().clone()) {
        Ok(stay) => stay,
        Err(full) => {
            link.close(CloseCode::Overflow, &full.to_string());
            return Ok(());
        }
    };
    let renewals = async {
        if let Some(admission) = &shared.admission {
            // It ends with the connection, of which the other side tells.
            let _ = admission.serve_renewals(&link).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        outcome = serve(connection, shared) => outcome,
        outcome = renewals => outcome,
    }
}

async fn serve(connection: Connection, shared: &Shared) -> Result<(), NetError> {
    let id = ConnectionId(shared.last_connection.fetch_add(1, Ordering::Relaxed) + 1);
    let (peer, link) = (connection.peer().clone(), connection.link().clone());
    tracing::debug!(%peer, connection = %id, software = connection.software(), "connected");
    match peer.kind() {
        IdentityKind::Agent => {
            let (outbox, sender, receiver) = connection.split();
            let outbox = PeerOutbox::Agent(outbox);
            let intake = Intake { id, peer, link, shared };
            intake.run(outbox, sender.drive(), receiver, |call| Input::Agent { connection: id, call }).await
        }
        IdentityKind::Framework => {
            let (outbox, sender, receiver) = connection.split();
            let outbox = PeerOutbox::Scheduler(outbox);
            let intake = Intake { id, peer, link, shared };
            intake
                .run(outbox, sender.drive(), receiver, |call| Input::Scheduler { connection: id, call })
                .await
        }
        IdentityKind::Operator => serve_operator(connection, id, shared).await,
        IdentityKind::Master | IdentityKind::Executor => {
            link.close(CloseCode::RoleRefused, "a master takes agents, frameworks and operators only");
            Ok(())
        }
    }
}

/// Feeds the machine from one connection.
struct Intake<'a> {
    id: ConnectionId,
    peer: Identity,
    link: Link,
    shared: &'a Shared,
}

impl Intake<'_> {
    async fn run<M: DeserializeOwned + Send + 'static>(
        self,
        outbox: PeerOutbox,
        drive: impl Future<Output = Result<(), NetError>> + Send + 'static,
        mut receiver: Receiver<M>,
        input: impl Fn(M) -> Input,
    ) -> Result<(), NetError> {
        let machine = &self.shared.machine;
        let pace = self.shared.paces.of(self.peer.clone());
        let sending = tokio::spawn(drive);
        let hello = ToMachine::Connected { connection: self.id, peer: self.peer, outbox, link: self.link };
        let outcome = if machine.send(hello).is_err() {
            Ok(())
        } else {
            let outcome = feed(machine, &mut receiver, pace, input).await;
            // The thread is gone when this fails: then nobody needs to know.
            let _ = machine.send(ToMachine::Disconnected(self.id));
            outcome
        };
        sending.abort();
        outcome
    }
}

async fn feed<M: DeserializeOwned>(
    machine: &channel::Sender<ToMachine>,
    receiver: &mut Receiver<M>,
    mut pace: Pace,
    input: impl Fn(M) -> Input,
) -> Result<(), NetError> {
    let in_flight = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    let mut batch = Vec::new();
    loop {
        if receiver.recv_batch(&mut batch).await? == 0 {
            return Ok(());
        }
        pace.keep(batch.len()).await;
        // The semaphore is never closed.
        let Ok(permit) = in_flight.clone().acquire_owned().await else { return Ok(()) };
        let inputs = batch.drain(..).map(&input).collect();
        if machine.send(ToMachine::Inputs { inputs, permit }).is_err() {
            return Ok(());
        }
    }
}

/// Operators' questions that need no machine are answered here; the others go on to it.
async fn serve_operator(connection: Connection, id: ConnectionId, shared: &Shared) -> Result<(), NetError> {
    let (peer, link) = (connection.peer().clone(), connection.link().clone());
    let (outbox, sender, mut receiver) = connection.split::<OperatorAnswer, OperatorRequest>();
    let sending = tokio::spawn(sender.drive());
    let hello = ToMachine::Connected {
        connection: id,
        peer: peer.clone(),
        outbox: PeerOutbox::Operator(outbox.clone()),
        link: link.clone(),
    };
    let mut outcome = Ok(());
    if shared.machine.send(hello).is_ok() {
        outcome = answer_operator(&mut receiver, (id, &peer), &outbox, shared).await;
        let _ = shared.machine.send(ToMachine::Disconnected(id));
    }
    outbox.close();
    // What is queued still goes out, unless the peer is gone.
    tokio::select! {
        _ = sending => {}
        _ = link.closed() => {}
    }
    outcome
}

async fn answer_operator(
    receiver: &mut Receiver<OperatorRequest>,
    (id, peer): (ConnectionId, &Identity),
    outbox: &Outbox<OperatorAnswer>,
    shared: &Shared,
) -> Result<(), NetError> {
    let mut pace = shared.paces.of(peer.clone());
    let in_flight = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    let mut batch = Vec::new();
    loop {
        if receiver.recv_batch(&mut batch).await? == 0 {
            return Ok(());
        }
        pace.keep(batch.len()).await;
        let mut inputs = Vec::new();
        for OperatorRequest { request, call } in batch.drain(..) {
            let permit = |action| shared.rules.borrow().check(peer, action, None);
            let event = match (call, &shared.admission) {
                (OperatorCall::GetState, _) => match permit(Action::View) {
                    Ok(()) => {
                        OperatorEvent::State(Box::new(ClusterState::clone(&*fresh_state(shared).await)))
                    }
                    Err(denied) => OperatorEvent::Refused(denied.to_string()),
                },
                (OperatorCall::CreateToken { kind }, Some(admission)) => match permit(Action::Operate) {
                    Ok(()) => {
                        ask_admission(admission, move |admission| {
                            admission.create_token(kind).map(OperatorEvent::Token)
                        })
                        .await
                    }
                    Err(denied) => OperatorEvent::Refused(denied.to_string()),
                },
                (OperatorCall::FreeName { kind, name }, Some(admission)) => match permit(Action::Operate) {
                    Ok(()) => {
                        ask_admission(admission, move |admission| {
                            admission.free_name(kind, &name).map(|()| OperatorEvent::Done)
                        })
                        .await
                    }
                    Err(denied) => OperatorEvent::Refused(denied.to_string()),
                },
                (call, _) => {
                    inputs
                        .push(Input::Operator { connection: id, request: OperatorRequest { request, call } });
                    continue;
                }
            };
            if outbox.push(OperatorAnswer { request, event }).is_err() {
                return Ok(());
            }
        }
        let Ok(permit) = in_flight.clone().acquire_owned().await else { return Ok(()) };
        if shared.machine.send(ToMachine::Inputs { inputs, permit }).is_err() {
            return Ok(());
        }
    }
}

/// Has the admission do something, which waits for its store.
async fn ask_admission(
    admission: &Arc<Admission>,
    ask: impl FnOnce(&Admission) -> Result<OperatorEvent, RuntimeError> + Send + 'static,
) -> OperatorEvent {
    let admission = admission.clone();
    match tokio::task::spawn_blocking(move || ask(&admission)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => OperatorEvent::Refused(error.to_string()),
        Err(_) => OperatorEvent::Refused("the master failed".to_owned()),
    }
}

/// The cluster's state, published after now.
async fn fresh_state(shared: &Shared) -> Arc<ClusterState> {
    let mut state = shared.state.clone();
    state.mark_unchanged();
    if shared.machine.send(ToMachine::Publish).is_ok() {
        // An error means that the master has stopped: the last state is then all there is.
        let _ = state.changed().await;
    }
    let published = state.borrow();
    published.clone()
}

/// The master's thread.
struct MachineDriver {
    machine: Master,
    recorder: Option<Recorder>,
    clock: Clock,
    writer: Option<Writer>,
    leads: Box<dyn Fn() -> bool + Send>,
    inbox: channel::Receiver<ToMachine>,
    peers: FxHashMap<ConnectionId, (PeerOutbox, Link)>,
    publish: watch::Sender<Arc<ClusterState>>,
    publish_rules: watch::Sender<Arc<Rules>>,
    outputs: Vec<Output>,
    /// Batches of connections that have the master write something, with the number of that write.
    writing: VecDeque<(u64, OwnedSemaphorePermit)>,
}

impl MachineDriver {
    /// Runs until it is stopped, or must not go on.
    fn run(mut self) -> Result<(), StoreError> {
        loop {
            let wait =
                self.machine.next_deadline().map_or(LONGEST_WAIT, |deadline| self.clock.until(deadline));
            let first = match self.inbox.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let mut publish = false;
            let more: Vec<ToMachine> = self.inbox.try_iter().take(MESSAGES_PER_TURN).collect();
            for message in first.into_iter().chain(more) {
                match message {
                    ToMachine::Stop => {
                        self.close_all(CloseCode::NotLeader, "");
                        return Ok(());
                    }
                    ToMachine::Publish => publish = true,
                    ToMachine::Stored(Err(error)) => return Err(self.give_up(error)),
                    message => self.take(message),
                }
            }
            let now = self.clock.now();
            if self.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.handle(now, Input::Tick);
            }
            if !(self.leads)() {
                return Err(self.give_up(StoreError::Deposed));
            }
            self.carry_out();
            if let Some(recorder) = &mut self.recorder {
                recorder.flush();
            }
            if publish {
                self.publish.send_replace(Arc::new(self.machine.cluster_state(now)));
            }
        }
    }

    fn handle(&mut self, now: Time, input: Input) {
        let start = self.outputs.len();
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.machine.handle(now, input, &mut self.outputs);
        if let Some(recorder) = &mut self.recorder {
            recorder.outputs(&self.outputs[start..]);
        }
    }

    fn take(&mut self, message: ToMachine) {
        let now = self.clock.now();
        match message {
            ToMachine::Connected { connection, peer, outbox, link } => {
                self.peers.insert(connection, (outbox, link));
                self.handle(now, Input::Connected { connection, peer });
            }
            ToMachine::Disconnected(connection) => {
                self.peers.remove(&connection);
                self.handle(now, Input::Disconnected { connection });
            }
            ToMachine::Inputs { inputs, permit } => {
                let before = self.outputs.len();
                for input in inputs {
                    self.handle(now, input);
                }
                let writes = self.outputs[before..].iter().filter_map(|output| match output {
                    Output::Store { number, .. } => Some(*number),
                    _ => None,
                });
                // Whoever has it write waits for that: otherwise a slow disk would let writes gather without end.
                if let Some(number) = writes.max() {
                    self.writing.push_back((number, permit));
                }
            }
            ToMachine::Stored(Ok(number)) => {
                while self.writing.pop_front_if(|(waits_for, _)| *waits_for <= number).is_some() {}
                self.handle(now, Input::Stored { number });
            }
            ToMachine::Stored(Err(_)) | ToMachine::Publish | ToMachine::Stop => {}
        }
    }

    /// What can't be stored can't be acted on: a master that went on would promise what it forgets.
    fn give_up(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the master ends");
        match error {
            StoreError::Deposed => self.close_all(CloseCode::NotLeader, ""),
            _ => self.close_all(CloseCode::Internal, "the master's registry can't be written"),
        }
        error
    }

    fn close_all(&self, code: CloseCode, reason: &str) {
        self.peers.values().for_each(|(_, link)| link.close(code, reason));
    }

    fn carry_out(&mut self) {
        if !Arc::ptr_eq(&self.publish_rules.borrow(), self.machine.rules()) {
            self.publish_rules.send_replace(self.machine.rules().clone());
        }
        // Each connection is awakened once, when all that there is for it is queued.
        let (mut to_flush, mut undelivered) = (Vec::new(), Vec::new());
        for output in self.outputs.drain(..) {
            let (connection, sent, is_urgent) = match output {
                // Messages of a framework and its executors may be lost; neither an agent nor a scheduler is to lose its connection by them.
                Output::ToAgent { connection, event: AgentEvent::Message { .. } }
                | Output::ToScheduler { connection, event: SchedulerEvent::Message { .. } }
                    if self.peers.get(&connection).is_some_and(|(outbox, _)| outbox.is_crowded()) =>
                {
                    tracing::debug!(%connection, "a message is dropped: others wait");
                    continue;
                }
                // Whoever asks too much is refused; the framework need not lose its connection by it.
                Output::ToScheduler {
                    connection,
                    event: SchedulerEvent::Request { request, .. } | SchedulerEvent::Explain { request, .. },
                } if self.peers.get(&connection).is_some_and(|(outbox, _)| outbox.is_crowded()) => {
                    undelivered.push(request);
                    continue;
                }
                Output::ToAgent { connection, event } => match self.peers.get(&connection) {
                    Some((PeerOutbox::Agent(outbox), _)) => {
                        // An acknowledgement only ends a repetition that has not begun.
                        let is_urgent = !matches!(event, AgentEvent::Acknowledge { .. });
                        (connection, outbox.push_later(event), is_urgent)
                    }
                    _ => continue,
                },
                Output::ToScheduler { connection, event } => match self.peers.get(&connection) {
                    Some((PeerOutbox::Scheduler(outbox), _)) => (connection, outbox.push_later(event), true),
                    _ => continue,
                },
                Output::ToOperator { connection, answer } => match self.peers.get(&connection) {
                    Some((PeerOutbox::Operator(outbox), _)) => (connection, outbox.push_later(answer), true),
                    _ => continue,
                },
                Output::Store { number, changes } => {
                    if let Some(writer) = &self.writer {
                        writer.write(number, changes);
                    }
                    continue;
                }
                Output::Disconnect { connection, reason } => {
                    if let Some((_, link)) = self.peers.remove(&connection) {
                        link.close(CloseCode::Replaced, &reason);
                    }
                    continue;
                }
            };
            match sent {
                Ok(()) if is_urgent && to_flush.last() != Some(&connection) => to_flush.push(connection),
                Ok(()) => {}
                Err(error) => {
                    if let Some((_, link)) = self.peers.get(&connection) {
                        link.close(CloseCode::Overflow, &error.to_string());
                    }
                }
            }
        }
        for (outbox, _) in to_flush.iter().filter_map(|connection| self.peers.get(connection)) {
            outbox.flush();
        }
        if !undelivered.is_empty() {
            let now = self.clock.now();
            undelivered.into_iter().for_each(|request| self.handle(now, Input::Undelivered { request }));
            self.carry_out();
        }
    }
}

impl PeerOutbox {
    fn is_crowded(&self) -> bool {
        match self {
            PeerOutbox::Agent(outbox) => outbox.is_crowded(),
            PeerOutbox::Scheduler(outbox) => outbox.is_crowded(),
            PeerOutbox::Operator(outbox) => outbox.is_crowded(),
        }
    }

    fn flush(&self) {
        match self {
            PeerOutbox::Agent(outbox) => outbox.flush(),
            PeerOutbox::Scheduler(outbox) => outbox.flush(),
            PeerOutbox::Operator(outbox) => outbox.flush(),
        }
    }
}
