//! Certificates that last for seconds, on parties that run on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use apportion::allocator::DrfAllocator;
use apportion::master::PingOptions;
use apportion::net::Credentials;
use apportion::protocol::{IdentityKind, OperatorCall, OperatorEvent};
use apportion::resources::Resources;
use apportion::runtime::{
    Admission, MasterConfig, MasterServer, OperatorClient, Shutdown, ShutdownHandle, SimulatedAgents,
    run_simulated_agents,
};

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(60);

const LIFETIME: Duration = Duration::from_secs(3);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Starts a master as soon as the address is free.
async fn start_master(admission: &Arc<Admission>, listen: SocketAddr, shutdown: &Shutdown) -> MasterServer {
    let mut started = None;
    wait_until("the address is free", async || {
        let credentials = admission.credentials(IdentityKind::Master, "master").unwrap();
        let config = MasterConfig {
            listen,
            credentials,
            admission: Some(admission.clone()),
            journal: None,
            pings: PingOptions::default(),
        };
        started = MasterServer::start(config, DrfAllocator::default(), shutdown.clone()).ok();
        started.is_some()
    })
    .await;
    started.unwrap()
}

/// Asks, as an operator with a certificate of now, how many agents are connected.
async fn connected_agents(admission: &Admission, master: SocketAddr) -> usize {
    let operator = admission.credentials(IdentityKind::Operator, "operator").unwrap();
    let client = OperatorClient::connect(master, &operator).await.unwrap();
    let answer = client.call(OperatorCall::GetState).await.unwrap();
    let OperatorEvent::State(state) = answer else { panic!("{answer:?}") };
    client.close().await;
    state.agents.iter().filter(|agent| agent.connected).count()
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: it did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_on_running_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let admission = Arc::new(Admission::open(folder.path(), "test").unwrap().signing_for(LIFETIME));
    let (stop, shutdown) = ShutdownHandle::new();
    let master = start_master(&admission, LOOPBACK, &shutdown).await;
    let address = master.address();

    let file = folder.path().join("agent.pem");
    let agent = admission.credentials(IdentityKind::Agent, "a1").unwrap();
    agent.save(&file).unwrap();
    let first_expiry = agent.expires_at();
    let agents = SimulatedAgents {
        master: address.into(),
        credentials: vec![agent.clone()],
        resources: Resources::cpus_mem(1000, 1024),
        task_time: Duration::from_secs(1),
    };
    let running = tokio::spawn(run_simulated_agents(agents, shutdown.clone()));

    // All that were shown first are out of date, and so are those that came next.
    let long_after = Duration::from_millis(first_expiry) + LIFETIME;
    wait_until("the agent has renewed its certificate", async || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now > long_after && agent.expires_at() > first_expiry
    })
    .await;
    assert!(Credentials::load(&file).unwrap().expires_at() > first_expiry, "it is kept");
    assert_eq!(connected_agents(&admission, address).await, 1, "the master shows a newer one, too");

    // A new connection takes a certificate that is valid.
    master.stop().await;
    let master = start_master(&admission, address, &shutdown).await;
    wait_until("the agent is back", async || connected_agents(&admission, address).await == 1).await;
    stop.stop();
    running.await.unwrap().unwrap();
    master.stop().await;
}
