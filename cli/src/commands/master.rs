//! `apportion master`: a cluster's master, or one of several, until it is asked to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::allocator::{DrfAllocator, DrfOptions};
use apportion::net::Credentials;
use apportion::protocol::IdentityKind;
use apportion::runtime::{
    Addresses, Admission, Candidate, CandidateConfig, JournalConfig, MasterConfig, MasterServer,
    RuntimeError, ShutdownHandle,
};
use apportion::store::RedbStore;
use apportion::store::etcd::{Etcd, EtcdLocation, EtcdSecurity};
use serde_json::json;

use crate::arguments::{EtcdArguments, MasterArguments};
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::signals::Signals;

/// The registry's file where state is kept.
const REGISTRY: &str = "registry.redb";

/// Starts a master, lets the operator find it, and waits.
pub(crate) async fn run(arguments: &MasterArguments, json: bool) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let folder = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => state_folder()?,
    };
    std::fs::create_dir_all(&folder).map_err(|error| Failure::Unwritable { file: folder.clone(), error })?;
    match &arguments.store {
        Some(location) => one_of_several(arguments, location, &folder, signals, json).await,
        None => alone(arguments, &folder, signals, json).await,
    }
}

/// A master whose registry is a file here.
async fn alone(
    arguments: &MasterArguments,
    folder: &Path,
    signals: Signals,
    json: bool,
) -> Result<(), Failure> {
    let store = RedbStore::open(&folder.join(REGISTRY)).map_err(RuntimeError::from)?;
    let admission = Admission::in_store(store.clone(), &arguments.cluster_name)?;
    let admission = Arc::new(admission.signing_for(arguments.certificate_lifetime.duration()));
    let (stop, shutdown) = ShutdownHandle::new();
    let config = MasterConfig {
        listen: arguments.listen,
        credentials: admission.credentials(IdentityKind::Master, "master")?,
        admission: Some(admission.clone()),
        journal: journal(arguments),
        pings: arguments.pings.options(),
    };
    let allocator = allocator(arguments);
    let mut master = MasterServer::start_with_store(config, allocator, store, shutdown)?;
    let operator = admission.credentials(IdentityKind::Operator, "operator")?;
    tell(folder, master.address().into(), &operator, json)?;
    let outcome = tokio::select! {
        _ = signals.asked_to_end() => Ok(()),
        error = master.failed() => Err(RuntimeError::from(error).into()),
    };
    stop.stop();
    master.stop().await;
    outcome
}

/// A master that shares its registry with others, and leads when it is elected.
async fn one_of_several(
    arguments: &MasterArguments,
    location: &EtcdLocation,
    folder: &Path,
    signals: Signals,
    json: bool,
) -> Result<(), Failure> {
    if arguments.listen.ip().is_unspecified() && arguments.advertise.is_none() {
        let problem = "a master that listens on all addresses must tell the others its own: give --advertise";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let config = CandidateConfig {
        advertise: arguments.advertise,
        lease: Duration::from_secs(arguments.lease),
        certificate_lifetime: arguments.certificate_lifetime.duration(),
        journal: journal(arguments),
        pings: arguments.pings.options(),
        ..CandidateConfig::new(arguments.listen, arguments.cluster_name.as_str())
    };
    let etcd = connect(location, &arguments.etcd)?;
    let candidate = Candidate::listen(config, etcd).await?;
    let operator = candidate.credentials(IdentityKind::Operator, "operator")?;
    let own = Addresses::from(candidate.address());
    let all = match &arguments.peers {
        Some(peers) => own.and(peers),
        None => own,
    };
    tell(folder, all, &operator, json)?;
    let (stop, shutdown) = ShutdownHandle::new();
    Ok(signals.stop_on_request(stop, candidate.run(|| allocator(arguments), shutdown)).await?)
}

/// What etcd holds of a cluster is worth its private key: it goes over no network in the clear, unless that is wished.
fn connect(location: &EtcdLocation, how: &EtcdArguments) -> Result<Etcd, Failure> {
    let security = match how {
        EtcdArguments {
            authority: Some(authority), certificate: Some(certificate), key: Some(key), ..
        } => Some(EtcdSecurity::load(authority, certificate, key).map_err(RuntimeError::from)?),
        _ if location.is_local() || how.plaintext => None,
        _ => {
            let problem = "etcd on other machines is spoken with by TLS: give --etcd-ca, --etcd-cert and --etcd-key; or --etcd-plaintext, if \
                           nobody else is on that network";
            return Err(Failure::Usage(problem.to_owned()));
        }
    };
    Ok(Etcd::connect(location, security.as_ref()).map_err(RuntimeError::from)?)
}

fn journal(arguments: &MasterArguments) -> Option<JournalConfig> {
    let max_bytes = u64::from(arguments.journal_max.mib()) << 20;
    arguments.journal.clone().map(|folder| JournalConfig { folder, max_bytes })
}

/// Lets operators find the cluster, and says what to do next.
fn tell(folder: &Path, master: Addresses, operator: &Credentials, json: bool) -> Result<(), Failure> {
    let context = Context::save(folder, master.clone(), operator)?;
    if json {
        return print_json(&json!({ "master": master, "state": folder, "cluster": context }));
    }
    print(&format!(
        "master at {master}, state in {}\n\
         next, in other terminals:\n  \
         apportion --cluster {file} agent\n  \
         apportion --cluster {file} batch\n  \
         apportion --cluster {file} status\n",
        folder.display(),
        file = context.display(),
    ))
}

fn allocator(arguments: &MasterArguments) -> DrfAllocator {
    DrfAllocator::new(DrfOptions { preemption: arguments.preemption.options(), ..DrfOptions::default() })
}
