//! `apportion batch` and `apportion service`: the frameworks as processes of their own.

use std::time::{SystemTime, UNIX_EPOCH};

use apportion::protocol::IdentityKind;
use apportion::resources::Role;
use apportion::runtime::{FrameworkConfig, FrameworkRunner, ShutdownHandle};
use apportion::scheduler::{Planned, Scheduler, Staying};
use apportion_batch::BatchFramework;
use apportion_service::ServiceFramework;

use super::joining::admitted;
use crate::arguments::FrameworkArguments;
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::output::note;
use crate::signals::Signals;

/// Runs the framework of batch jobs.
pub(crate) async fn batch(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_batch::KIND);
    let framework = batch_framework(name, &arguments.roles).placing(arguments.placement);
    run(name, framework, arguments, context).await
}

/// Runs the framework of services.
pub(crate) async fn service(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_service::KIND);
    let framework = service_framework(name, &arguments.roles).placing(arguments.placement);
    run(name, framework, arguments, context).await
}

/// The framework of batch jobs, of these roles or of any.
pub(super) fn batch_framework(name: &str, roles: &[Role]) -> Planned<BatchFramework> {
    Planned::new(BatchFramework::new(name, roles.to_vec()).numbering_from(first_number()))
}

/// The framework of services, of these roles or of any.
pub(super) fn service_framework(name: &str, roles: &[Role]) -> Planned<ServiceFramework> {
    Planned::new(ServiceFramework::new(name, roles.to_vec()).numbering_from(first_number())).filter(Staying)
}

/// Numbers that were not used before, by a framework that starts less than one task or run a second: the time.
fn first_number() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

async fn run(
    name: &str,
    scheduler: impl Scheduler,
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let signals = Signals::take()?;
    let (master, credentials) = admitted(IdentityKind::Framework, name, &arguments.join, context).await?;
    let (stop, shutdown) = ShutdownHandle::new();
    let folder = state_folder()?;
    std::fs::create_dir_all(&folder).map_err(|error| Failure::Unwritable { file: folder.clone(), error })?;
    let records = folder.join(format!("framework-{name}.redb"));
    note(format_args!(
        "framework {name} runs against the master at {master}; what it must not forget is in {}",
        records.display()
    ));
    let config = FrameworkConfig { master, credentials };
    let (_handle, runner) = FrameworkRunner::new(scheduler, config);
    let runner = runner.keeping_records(&records)?;
    Ok(signals.stop_on_request(stop, runner.run(shutdown)).await?)
}
