//! One of several masters: stands by, leads when it is elected, and stands by again when it is deposed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::admission::{authority_of, keep_fresh_by, new_authority};
use super::doors::{Door, Stay};
use super::master::{Entrance, Term, restored};
use super::{Admission, Clock, JournalConfig, MasterServer, RuntimeError, Shutdown, ShutdownHandle};
use crate::allocator::Allocator;
use crate::master::PingOptions;
use crate::net::{
    CERTIFICATE_LIFETIME, CertificateAuthority, CloseCode, Credentials, Endpoint, Incoming, Settings,
};
use crate::protocol::{Identity, IdentityKind};
use crate::store::StoreError;
use crate::store::etcd::{Claim, DEFAULT_LEASE, Etcd, Tenure};

/// From one look at whether there is a leader to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// So long a peer is kept waiting when there is no leader to name: one may be elected meanwhile.
const NAME_WITHIN: Duration = Duration::from_secs(2);

/// What one of several masters needs to run.
#[derive(Clone, Debug)]
pub struct CandidateConfig {
    /// Where it takes connections; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Where others reach it, if that is not where it listens.
    pub advertise: Option<SocketAddr>,
    /// The cluster's name.
    pub cluster: String,
    /// How long it counts as the leader after its last sign of life, in whole seconds.
    pub lease: Duration,
    /// How long certificates are valid that it signs.
    pub certificate_lifetime: Duration,
    /// Where to write down all that it is told while it leads, so that it can be replayed.
    pub journal: Option<JournalConfig>,
    /// How often it asks agents while it leads, and when they count as unreachable.
    pub pings: PingOptions,
}

impl CandidateConfig {
    /// A candidate of the default lease, reached where it listens.
    pub fn new(listen: SocketAddr, cluster: impl Into<String>) -> Self {
        CandidateConfig {
            listen,
            advertise: None,
            cluster: cluster.into(),
            lease: DEFAULT_LEASE,
            certificate_lifetime: CERTIFICATE_LIFETIME,
            journal: None,
            pings: PingOptions::default(),
        }
    }
}

/// One of several masters of a cluster, whose registry is in etcd.
#[derive(Debug)]
pub struct Candidate {
    etcd: Etcd,
    endpoint: Arc<Endpoint>,
    authority: CertificateAuthority,
    /// Its own.
    credentials: Credentials,
    cluster: String,
    address: SocketAddr,
    lease: Duration,
    certificate_lifetime: Duration,
    journal: Option<JournalConfig>,
    pings: PingOptions,
}

impl Candidate {
    /// Begins to take connections, which are turned away for now. The first of a cluster's masters makes its authority.
    ///
    /// # Errors
    /// When etcd can't be reached or is another cluster's, or the address can't be bound.
    pub async fn listen(config: CandidateConfig, etcd: Etcd) -> Result<Self, RuntimeError> {
        let CandidateConfig { listen, advertise, cluster, lease, certificate_lifetime, journal, pings } =
            config;
        let record = etcd.establish(&new_authority(&cluster)?).await?;
        let authority = authority_of(&record, &cluster)?.signing_for(certificate_lifetime);
        let credentials =
            authority.issue(&Identity::new(cluster.as_str(), IdentityKind::Master, "master")?)?;
        let settings = Settings { joins: true, ..Settings::default() };
        let endpoint = Arc::new(Endpoint::server(listen, &credentials, settings)?);
        let address = advertise.unwrap_or(endpoint.local_address());
        Ok(Candidate {
            etcd,
            endpoint,
            authority,
            credentials,
            cluster,
            address,
            lease,
            certificate_lifetime,
            journal,
            pings,
        })
    }

    /// Where others reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Credentials for a party of the cluster.
    ///
    /// # Errors
    /// When the name can't be part of an identity, or signing fails.
    pub fn credentials(&self, kind: IdentityKind, name: &str) -> Result<Credentials, RuntimeError> {
        Ok(self.authority.issue(&Identity::new(self.cluster.as_str(), kind, name)?)?)
    }

    /// Stands by and leads in turn until the signal is given. `allocator` makes the one of each term.
    ///
    /// # Errors
    /// When the registry can't be read or written though etcd answers.
    pub async fn run<A: Allocator + 'static>(
        self,
        allocator: impl Fn() -> A,
        mut shutdown: Shutdown,
    ) -> Result<(), RuntimeError> {
        let leading = async {
            let mut outcome = Ok(());
            while outcome.is_ok()
                && let Some(tenure) = self.stand_by(&mut shutdown).await
            {
                outcome = self.lead(tenure, allocator(), &mut shutdown).await;
            }
            outcome
        };
        let outcome = tokio::select! {
            outcome = leading => outcome,
            () = keep_fresh_by(&self.authority, &self.credentials) => Ok(()),
        };
        self.endpoint.close(CloseCode::Done, "the master stops");
        self.endpoint.wait_idle().await;
        outcome
    }

    /// Turns peers away until it is elected. `None`: the signal was given.
    async fn stand_by(&self, shutdown: &mut Shutdown) -> Option<Tenure> {
        tracing::info!(address = %self.address, "master stands by");
        let (known, leader) = watch::channel(None);
        let _turning_away = EndsWithUs(tokio::spawn(turn_away(self.endpoint.clone(), self.address, leader)));
        let mut was_reached = true;
        while !shutdown.is_stopped() {
            let claim = self.etcd.claim(&self.address.to_string(), self.lease).await;
            let is_reached = claim.is_ok();
            let leader = match claim {
                Ok(Claim::Won(tenure)) => return Some(tenure),
                Ok(Claim::Lost { leader }) => leader.parse().ok(),
                Err(error) => {
                    if was_reached {
                        tracing::warn!(%error, "no leader can be elected for now");
                    }
                    None
                }
            };
            was_reached = is_reached;
            known.send_if_modified(|known| std::mem::replace(known, leader) != leader);
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = shutdown.stopped() => {}
            }
        }
        None
    }

    /// Leads until it is deposed or the signal is given.
    async fn lead<A: Allocator + 'static>(
        &self,
        tenure: Tenure,
        allocator: A,
        shutdown: &mut Shutdown,
    ) -> Result<(), RuntimeError> {
        tracing::info!(address = %self.address, epoch = %tenure.epoch(), "master leads");
        let outcome = match self.begin(&tenure, allocator) {
            Ok((mut master, term_over)) => {
                let outcome = tokio::select! {
                    error = master.failed() => Err(error.into()),
                    () = tenure.ended() => Ok(()),
                    () = shutdown.stopped() => Ok(()),
                };
                term_over.stop();
                master.leave().await;
                outcome
            }
            Err(error) => Err(error),
        };
        if let Err(error) = tenure.resign().await {
            tracing::warn!(%error, "the leader's lease runs out by itself");
        }
        match outcome {
            Err(RuntimeError::Store(StoreError::Deposed | StoreError::Unreachable { .. })) => Ok(()),
            outcome => outcome,
        }
    }

    fn begin<A: Allocator + 'static>(
        &self,
        tenure: &Tenure,
        allocator: A,
    ) -> Result<(MasterServer, ShutdownHandle), RuntimeError> {
        let mut store = tenure.store();
        let clock = Clock::start();
        let (machine, recorder) =
            restored(allocator, tenure.epoch(), clock, &mut store, self.pings, self.journal.as_ref())?;
        let admission =
            Admission::in_store(store.clone(), &self.cluster)?.signing_for(self.certificate_lifetime);
        let (stop, term_over) = ShutdownHandle::new();
        let term = Term {
            entrance: Entrance {
                endpoint: self.endpoint.clone(),
                admission: Some(Arc::new(admission)),
                beside: JoinSet::new(),
            },
            machine,
            recorder,
            clock,
            store: Some(Box::new(store)),
            leads: Box::new(tenure.watch()),
        };
        Ok((MasterServer::serve(term, term_over)?, stop))
    }
}

/// A task that ends when this is dropped.
struct EndsWithUs(JoinHandle<()>);

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells whoever connects where the leader is.
async fn turn_away(
    endpoint: Arc<Endpoint>,
    address: SocketAddr,
    leader: watch::Receiver<Option<SocketAddr>>,
) {
    let told = Arc::new(Mutex::default());
    let handshakes = Door::of_handshakes();
    while let Some(incoming) = endpoint.accept().await {
        match handshakes.enter(incoming.remote_address().ip()) {
            Ok(handshake) => {
                tokio::spawn(name_leader(incoming, handshake, address, leader.clone(), told.clone()));
            }
            Err(_) => incoming.refuse(),
        }
    }
}

/// Whom a standby has sent to which leader.
type Told = Mutex<FxHashMap<Identity, SocketAddr>>;

async fn name_leader(
    incoming: Incoming,
    handshake: Stay<IpAddr>,
    address: SocketAddr,
    mut leader: watch::Receiver<Option<SocketAddr>>,
    told: Arc<Told>,
) {
    let heard = incoming.hear_out().await;
    drop(handshake);
    let visitor = match heard {
        Ok(visitor) => visitor,
        Err(error) => return tracing::debug!(%error, "a peer could not be turned away"),
    };
    // Whoever comes back did not find the one that was named: it waits for another to be elected, and so do others that would ask in vain
    // as often as they can.
    let before = visitor.who().and_then(|who| told.lock().get(who).copied());
    let news = leader.wait_for(|leader| leader.is_some() && *leader != before);
    let named = match tokio::time::timeout(NAME_WITHIN, news).await {
        Ok(Ok(leader)) => *leader,
        // This master itself is elected.
        Ok(Err(_)) => Some(address),
        Err(_) => before,
    };
    if let (Some(who), Some(leader)) = (visitor.who(), named) {
        told.lock().insert(who.clone(), leader);
    }
    visitor.turn_away(named);
}
