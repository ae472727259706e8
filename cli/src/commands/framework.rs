//! `apportion batch` and `apportion service`: the frameworks as processes of their own.

use std::time::{SystemTime, UNIX_EPOCH};

use apportion::protocol::IdentityKind;
use apportion::resources::Role;
use apportion::runtime::{FrameworkConfig, ShutdownHandle, run_scheduler};
use apportion::scheduler::{Planned, Scheduler, Staying};
use apportion_batch::BatchFramework;
use apportion_service::ServiceFramework;

use super::joining::admitted;
use crate::arguments::FrameworkArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::signals::Signals;

/// Runs the framework of batch jobs.
pub(crate) async fn batch(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_batch::KIND);
    run(name, batch_framework(name, &arguments.roles), arguments, context).await
}

/// Runs the framework of services.
pub(crate) async fn service(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_service::KIND);
    run(name, service_framework(name, &arguments.roles), arguments, context).await
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
    eprintln!("framework {name} runs against the master at {master}");
    let config = FrameworkConfig { master, credentials };
    Ok(signals.stop_on_request(stop, run_scheduler(scheduler, config, shutdown)).await?)
}
