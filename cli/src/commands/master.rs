//! `apportion master`: a cluster's master, until it is asked to end.

use std::sync::Arc;

use apportion::allocator::DrfAllocator;
use apportion::protocol::IdentityKind;
use apportion::runtime::{
    Admission, JournalConfig, MasterConfig, MasterServer, RuntimeError, ShutdownHandle,
};
use apportion::store::RedbStore;
use serde_json::json;

use crate::arguments::MasterArguments;
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::signals::Signals;

/// The registry's file there.
const REGISTRY: &str = "registry.redb";

/// Starts a master, lets the operator find it, and waits.
pub(crate) async fn run(arguments: &MasterArguments, json: bool) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let folder = match &arguments.state_dir {
        Some(folder) => folder.clone(),
        None => state_folder()?,
    };
    std::fs::create_dir_all(&folder).map_err(|error| Failure::Unwritable { file: folder.clone(), error })?;
    let store = RedbStore::open(&folder.join(REGISTRY)).map_err(RuntimeError::from)?;
    let admission = Arc::new(Admission::in_store(store.clone(), &arguments.cluster_name)?);
    let (stop, shutdown) = ShutdownHandle::new();
    let config = MasterConfig {
        listen: arguments.listen,
        credentials: admission.credentials(IdentityKind::Master, "master")?,
        admission: Some(admission.clone()),
        journal: arguments
            .journal
            .clone()
            .map(|folder| JournalConfig { folder, max_bytes: u64::from(arguments.journal_max.mib()) << 20 }),
    };
    let mut master = MasterServer::start_with_store(config, DrfAllocator::default(), store, shutdown)?;
    let operator = admission.credentials(IdentityKind::Operator, "operator")?;
    let context = Context::save(&folder, master.address().into(), &operator)?;
    if json {
        print_json(&json!({ "master": master.address(), "state": folder, "cluster": context }))?;
    } else {
        print(&format!(
            "master at {}, state in {}\n\
             next, in other terminals:\n  \
             apportion --cluster {file} agent\n  \
             apportion --cluster {file} batch\n  \
             apportion --cluster {file} status\n",
            master.address(),
            folder.display(),
            file = context.display(),
        ))?;
    }
    let outcome = tokio::select! {
        () = signals.asked_to_end() => Ok(()),
        error = master.failed() => Err(RuntimeError::from(error).into()),
    };
    stop.stop();
    master.stop().await;
    outcome
}
