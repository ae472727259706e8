//! Clients that ask for too much slow only themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apportion::allocator::DrfAllocator;
use apportion::master::PingOptions;
use apportion::net::{Connection, Endpoint, Expect, Settings};
use apportion::protocol::{
    FrameworkInfo, IdentityKind, OperatorCall, OperatorEvent, SchedulerCall, SchedulerEvent, TaskId,
};
use apportion::resources::Role;
use apportion::runtime::doors::MOST_CONNECTIONS_OF_PRINCIPAL;
use apportion::runtime::{Admission, MasterConfig, MasterServer, OperatorClient, ShutdownHandle};
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
        let master = MasterServer::start(config, DrfAllocator::default(), shutdown).unwrap();
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
            let client = OperatorClient::connect(self.master.address(), &operator).await.unwrap();
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
    calls.push(SchedulerCall::Subscribe { framework, suppressed: Vec::new() }).unwrap();
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
