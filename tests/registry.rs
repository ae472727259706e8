//! A master's registry on disk: what outlives a restart.
#![cfg(feature = "runtime")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use apportion::allocator::DrfAllocator;
use apportion::master::PingOptions;
use apportion::net::{Endpoint, Expect, Settings};
use apportion::protocol::operator::ClusterState;
use apportion::protocol::{
    AgentCall, AgentEvent, AgentInfo, IdentityKind, OperatorCall, OperatorEvent, Weight,
};
use apportion::resources::{Resources, Role};
use apportion::runtime::{Admission, MasterConfig, MasterServer, OperatorClient, ShutdownHandle};
use apportion::store::RedbStore;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn start(folder: &Path, admission: &Arc<Admission>) -> (MasterServer, ShutdownHandle) {
    let (stop, shutdown) = ShutdownHandle::new();
    let config = MasterConfig {
        listen: LOOPBACK,
        credentials: admission.credentials(IdentityKind::Master, "master").expect("credentials"),
        admission: Some(admission.clone()),
        journal: None,
        pings: PingOptions::default(),
    };
    let store = RedbStore::open(&folder.join("registry.redb")).expect("a store");
    let master = MasterServer::start_with_store(config, DrfAllocator::default(), store, shutdown);
    (master.expect("a master"), stop)
}

async fn register_agent(master: SocketAddr, admission: &Admission) {
    let credentials = admission.credentials(IdentityKind::Agent, "a1").expect("credentials");
    let endpoint = Endpoint::client(LOOPBACK, &credentials, Settings::default()).expect("a socket");
    let connection = endpoint.connect(master, &Expect::Kind(IdentityKind::Master)).await.expect("connected");
    let (calls, sender, mut events) = connection.split::<AgentCall, AgentEvent>();
    tokio::spawn(sender.drive());
    let resources = Resources::cpus_mem(1000, 1024);
    let info = AgentInfo::new("here", resources);
    calls
        .push(AgentCall::Register { info, tasks: Vec::new(), executors: Vec::new() })
        .expect("there is room");
    let mut batch = Vec::new();
    events.recv_batch(&mut batch).await.expect("connected");
    assert!(matches!(batch[0], AgentEvent::Registered { .. }), "{batch:?}");
}

async fn state(client: &OperatorClient) -> ClusterState {
    match client.call(OperatorCall::GetState).await.expect("an answer") {
        OperatorEvent::State(state) => *state,
        other => panic!("not a state: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_weights_outlive_the_master() {
    let folder = tempfile::tempdir().expect("a folder");
    let admission = Arc::new(Admission::open(folder.path(), "test").expect("an authority"));
    let operator = admission.credentials(IdentityKind::Operator, "me").expect("credentials");
    let role: Role = "web".parse().expect("a role");
    let weight = Weight::try_from(2500).expect("a weight");

    let (master, stop) = start(folder.path(), &admission);
    register_agent(master.address(), &admission).await;
    let client = OperatorClient::connect(master.address(), &operator).await.expect("connected");
    let set = OperatorCall::SetWeight { role: role.clone(), weight };
    assert_eq!(client.call(set).await.expect("an answer"), OperatorEvent::Done);
    stop.stop();
    master.stop().await;

    let (master, stop) = start(folder.path(), &admission);
    let client = OperatorClient::connect(master.address(), &operator).await.expect("connected");
    let state = state(&client).await;
    assert_eq!(state.agents.len(), 1);
    assert!(!state.agents[0].connected);
    assert_eq!(state.agents[0].total, Resources::cpus_mem(1000, 1024));
    let known = state.roles.iter().find(|known| known.role == role).expect("the role is known");
    assert_eq!(known.weight, weight);
    stop.stop();
    master.stop().await;
}
