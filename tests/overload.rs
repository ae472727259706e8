//! Clients that ask for too much slow only themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apportion::allocator::DrfAllocator;
use apportion::master::PingOptions;
use apportion::net::{Connection, Endpoint, Expect, Settings};
use apportion::protocol::operator::{OperatorAnswer, OperatorRequest};
use apportion::protocol::{
    Epoch, FrameworkInfo, IdentityKind, OperatorCall, OperatorEvent, RequestId, SchedulerCall,
    SchedulerEvent, TaskId,
};
use apportion::resources::Role;
use apportion::runtime::doors::MOST_CONNECTIONS_OF_PRINCIPAL;
use apportion::runtime::{
    Admission, MasterConfig, MasterServer, OperatorClient, OperatorError, ShutdownHandle,
};
use apportion::store::{Change, MemoryStore, Record, Store, StoreError};
use parking_lot::{Condvar, Mutex};
use tokio::task::JoinSet;

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(120);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A master, and whoever signs for it.
struct Cluster {
    _folder: tempfile::TempDir,
    admission: Arc<Admission>,
    master: MasterServer,
    _stop: ShutdownHandle,
}

impl Cluster {
    fn start() -> Self {
        Cluster::with_store(MemoryStore::default())
    }

    fn with_store(store: impl Store + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admission = Arc::new(Admission::open(folder.path(), "test").unwrap());
        let credentials = admission.credentials(IdentityKind::Master, "master").unwrap();
        let config = MasterConfig {
            listen: LOOPBACK,
            credentials,
            admission: None,
            journal: None,
            pings: PingOptions::default(),
        };
        let (stop, shutdown) = ShutdownHandle::new();
        let allocator = DrfAllocator::default();
        let master = MasterServer::start_with_store(config, allocator, store, shutdown).unwrap();
        Cluster { _folder: folder, admission, master, _stop: stop }
    }

    fn endpoint(&self, kind: IdentityKind, name: &str) -> Endpoint {
        let credentials = self.admission.credentials(kind, name).unwrap();
        Endpoint::client(LOOPBACK, &credentials, Settings::default()).unwrap()
    }

    /// An operator of this name gets an answer.
    async fn serves(&self, name: &str) {
        let operator = self.admission.credentials(IdentityKind::Operator, name).unwrap();
        let asked = async {
            // On a machine that has a lot to do, a try may take too long.
            let client = loop {
                if let Ok(client) = OperatorClient::connect(self.master.address(), &operator).await {
                    break client;
                }
            };
            let answer = client.call(OperatorCall::GetState).await.unwrap();
            assert!(matches!(answer, OperatorEvent::State(_)), "{answer:?}");
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("others are served");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_opens_a_thousand_connections_gets_its_share_of_them() {
    let cluster = Cluster::start();
    let flooder = Arc::new(cluster.endpoint(IdentityKind::Framework, "flooder"));
    let master = cluster.master.address();
    let mut tries = JoinSet::new();
    for _ in 0..1000 {
        let flooder = flooder.clone();
        tries.spawn(async move { flooder.connect(master, &Expect::Kind(IdentityKind::Master)).await });
    }
    cluster.serves("meanwhile").await;
    let mut open: Vec<Connection> = tries.join_all().await.into_iter().flatten().collect();
    // Those that are too many are closed with a reason right after the hello.
    let begun = Instant::now();
    while open.len() > MOST_CONNECTIONS_OF_PRINCIPAL {
        assert!(begun.elapsed() < PATIENCE, "{} connections stay open", open.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut left = Vec::new();
        for connection in open {
            let closed = tokio::time::timeout(Duration::ZERO, connection.link().closed()).await;
            match closed {
                Ok(reason) => assert!(reason.to_string().contains("limit of 128 connections"), "{reason}"),
                Err(_) => left.push(connection),
            }
        }
        open = left;
    }
    cluster.serves("afterwards").await;
    // Whoever leaves makes room.
    drop(open);
    let begun = Instant::now();
    let mut again = flooder.connect(master, &Expect::Kind(IdentityKind::Master)).await;
    while again.is_err() {
        assert!(begun.elapsed() < PATIENCE, "{again:?}");
        again = flooder.connect(master, &Expect::Kind(IdentityKind::Master)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_that_never_reads_loses_its_connection_alone() {
    let cluster = Cluster::start();
    let endpoint = cluster.endpoint(IdentityKind::Framework, "deaf");
    let connection =
        endpoint.connect(cluster.master.address(), &Expect::Kind(IdentityKind::Master)).await.unwrap();
    let link = connection.link().clone();
    let (calls, sender, _never_read) = connection.split::<SchedulerCall, SchedulerEvent>();
    tokio::spawn(sender.drive());
    let framework = FrameworkInfo::new("deaf", Role::any());
    calls.push(SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() }).unwrap();
    // Each is answered with as much again.
    let nobodys: Vec<_> = (0..1000).map(|n| (TaskId::new(format!("{n:0>200}")).unwrap(), None)).collect();
    let flood = async {
        while calls.push(SchedulerCall::Reconcile { tasks: nobodys.clone() }).is_ok() {
            while calls.len() > 4 {
                tokio::task::yield_now().await;
            }
        }
    };
    let closed = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = flood => link.closed().await,
            reason = link.closed() => reason,
        }
    });
    let (closed, ()) = tokio::join!(closed, cluster.serves("meanwhile"));
    let reason = closed.expect("the master gives it up");
    assert!(reason.to_string().contains("takes them too slowly"), "{reason}");
    cluster.serves("afterwards").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_asks_more_than_a_framework_reads_is_refused_and_the_framework_stays() {
    const QUESTIONS: usize = 40;
    let cluster = Cluster::start();
    let endpoint = cluster.endpoint(IdentityKind::Framework, "slow");
    let connection =
        endpoint.connect(cluster.master.address(), &Expect::Kind(IdentityKind::Master)).await.unwrap();
    let (calls, sender, mut events) = connection.split::<SchedulerCall, SchedulerEvent>();
    tokio::spawn(sender.drive());
    let framework = FrameworkInfo::new("slow", Role::any());
    calls.push(SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() }).unwrap();
    let mut heard = Vec::new();
    events.recv_batch(&mut heard).await.unwrap();
    assert!(matches!(heard[0], SchedulerEvent::Subscribed { .. }), "{heard:?}");

    let operator = cluster.admission.credentials(IdentityKind::Operator, "curious").unwrap();
    let client = Arc::new(OperatorClient::connect(cluster.master.address(), &operator).await.unwrap());
    let mut asking = JoinSet::new();
    for _ in 0..QUESTIONS {
        let (client, data) = (client.clone(), vec![7; 1 << 20]);
        let framework = "slow".parse().unwrap();
        asking.spawn(async move { client.call(OperatorCall::Request { framework, data }).await });
    }
    let is_refused = |answer: &Result<OperatorEvent, OperatorError>| match answer {
        Err(OperatorError::Refused(reason)) => reason.contains("reads too slowly"),
        _ => false,
    };
    for _ in 0..QUESTIONS / 4 {
        let answer = tokio::time::timeout(PATIENCE, asking.join_next()).await.expect("it is answered");
        let answer = answer.expect("more were asked").unwrap();
        assert!(is_refused(&answer), "{answer:?}");
    }
    // The framework reads on, and answers what has reached it.
    let (mut questions, mut answers) = (0, 0);
    while !asking.is_empty() {
        heard.clear();
        tokio::select! {
            read = events.recv_batch(&mut heard) => { read.unwrap(); }
            Some(answer) = asking.join_next() => match answer.unwrap() {
                Ok(_) => answers += 1,
                refused => assert!(is_refused(&refused), "{refused:?}"),
            },
        }
        for event in heard.drain(..) {
            let SchedulerEvent::Request { request, .. } = event else { continue };
            questions += 1;
            calls.push(SchedulerCall::Reply { request, data: Vec::new(), last: true }).unwrap();
        }
    }
    assert!(questions > 0 && answers == questions, "{answers} answers to {questions} questions");
}

/// A disk that takes nothing before it is told to.
#[derive(Clone, Default)]
struct Stuck {
    records: Arc<Mutex<MemoryStore>>,
    is_free: Arc<(Mutex<bool>, Condvar)>,
}

impl Stuck {
    fn free(&self) {
        *self.is_free.0.lock() = true;
        self.is_free.1.notify_all();
    }
}

impl Store for Stuck {
    fn begin_term(&mut self) -> Result<Epoch, StoreError> {
        self.records.lock().begin_term()
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.records.lock().load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.is_free.1.wait_while(&mut self.is_free.0.lock(), |is_free| !*is_free);
        self.records.lock().commit(changes)
    }
}

/// The bytes of a call that has the master write as much, and how many of them it may take that it can't write.
const WRITE_BYTES: usize = 256 << 10;
const WRITES_TAKEN: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_master_write_more_than_its_disk_takes_waits_for_the_disk() {
    let disk = Stuck::default();
    let cluster = Cluster::with_store(disk.clone());
    let endpoint = cluster.endpoint(IdentityKind::Operator, "flooder");
    let connection =
        endpoint.connect(cluster.master.address(), &Expect::Kind(IdentityKind::Master)).await.unwrap();
    let (calls, sender, mut answers) = connection.split::<OperatorRequest, OperatorAnswer>();
    tokio::spawn(sender.drive());
    let hostnames = Some(["h".repeat(WRITE_BYTES)].into());
    let call = OperatorCall::SetAllowList { hostnames };
    let mut pushed = 0;
    // It is held up when it has sent nothing for a while, though it has something to send.
    let mut last_sent = (0, Instant::now());
    while last_sent.1.elapsed() < Duration::from_secs(1) {
        let request = OperatorRequest { request: RequestId(pushed as u64), call: call.clone() };
        match calls.push(request) {
            Ok(()) => pushed += 1,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        let sent = pushed - calls.len();
        assert!(sent < WRITES_TAKEN, "the master takes what it can't write");
        if sent != last_sent.0 {
            last_sent = (sent, Instant::now());
        }
    }
    cluster.serves("meanwhile").await;
    disk.free();
    let mut answered = Vec::new();
    while answered.len() < pushed {
        let more = tokio::time::timeout(PATIENCE, answers.recv_batch(&mut answered)).await;
        assert_ne!(more.expect("it goes on").unwrap(), 0);
    }
    assert!(answered.iter().all(|answer| answer.event == OperatorEvent::Done));
}
