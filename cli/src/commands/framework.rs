//! `apportion batch` and `apportion service`: the frameworks as processes of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use apportion::net::{Credentials, JoinToken, Settings, join};
use apportion::protocol::IdentityKind;
use apportion::runtime::{FrameworkConfig, RuntimeError, ShutdownHandle, run_scheduler};
use apportion::scheduler::{Planned, Scheduler};
use apportion_batch::BatchFramework;
use apportion_service::ServiceFramework;

use super::control::new_token;
use crate::arguments::FrameworkArguments;
use crate::context::{Context, state_folder};
use crate::failure::Failure;
use crate::signals::Signals;

/// Runs the framework of batch jobs.
pub(crate) async fn batch(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_batch::KIND);
    let framework = BatchFramework::new(name, arguments.roles.clone()).numbering_from(first_number());
    run(name, Planned::new(framework), arguments, context).await
}

/// Runs the framework of services.
pub(crate) async fn service(
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(), Failure> {
    let name = arguments.name.as_deref().unwrap_or(apportion_service::KIND);
    let framework = ServiceFramework::new(name, arguments.roles.clone()).numbering_from(first_number());
    run(name, Planned::new(framework), arguments, context).await
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
    let (master, credentials) = admitted(name, arguments, context).await?;
    let (stop, shutdown) = ShutdownHandle::new();
    let config = FrameworkConfig { master, credentials };
    let mut running = std::pin::pin!(run_scheduler(scheduler, config, shutdown));
    eprintln!("framework {name} runs against the master at {master}");
    tokio::select! {
        ended = &mut running => ended?,
        () = signals.asked_to_end() => {
            stop.stop();
            running.await?;
        }
    }
    Ok(())
}

/// The master's address, and credentials: those given, those kept from before, or those that a token gets.
async fn admitted(
    name: &str,
    arguments: &FrameworkArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(SocketAddr, Credentials), Failure> {
    if let (Some(master), Some(file)) = (arguments.master, &arguments.credentials) {
        return Ok((master, load(file)?));
    }
    let file_name = format!("framework-{name}.pem");
    if let (Some(master), Some(token)) = (arguments.master, &arguments.token) {
        return Ok((master, joined(master, token, name, &state_folder()?.join(file_name)).await?));
    }
    let context = context()?;
    let master = arguments.master.unwrap_or(context.master);
    let kept = context.folder.join(file_name);
    if kept.exists() {
        return Ok((master, load(&kept)?));
    }
    let token = new_token(&context, IdentityKind::Framework).await?;
    Ok((master, joined(master, &token, name, &kept).await?))
}

fn load(file: &Path) -> Result<Credentials, Failure> {
    Credentials::load(file)
        .map_err(|error| Failure::Context { file: file.to_owned(), problem: error.to_string() })
}

/// Joins, and keeps the credentials for the next start.
async fn joined(master: SocketAddr, token: &str, name: &str, kept: &Path) -> Result<Credentials, Failure> {
    let token: JoinToken = token.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
    let credentials = join(master, &token, name, &Settings::default()).await.map_err(RuntimeError::from)?;
    if let Some(folder) = kept.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::Unwritable { file: folder.to_owned(), error })?;
    }
    credentials.save(kept).map_err(RuntimeError::from)?;
    Ok(credentials)
}
