//! `apportion logs`: what a task wrote, read from its agent.

use apportion::protocol::logs::{OutputName, ReadLog};
use apportion::protocol::operator::{ClusterState, TaskSummary};
use apportion::protocol::{FrameworkId, TaskId};
use apportion::runtime::{LogReader, read_log};
use tokio::io::AsyncReadExt;

use crate::arguments::TaskArguments;
use crate::context::Context;
use crate::failure::Failure;

/// Bytes to read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Prints what a task wrote.
pub(crate) async fn logs(
    context: &Context,
    arguments: &TaskArguments,
    follow: bool,
    stderr: bool,
) -> Result<(), Failure> {
    let state = context.state().await?;
    let task = find(&state, arguments)?;
    let output = if stderr { OutputName::Stderr } else { OutputName::Stdout };
    print_output(context, &state, task, output, follow).await
}

fn find<'a>(state: &'a ClusterState, arguments: &TaskArguments) -> Result<&'a TaskSummary, Failure> {
    let TaskArguments { task: id, framework } = arguments;
    let is_meant = |task: &&TaskSummary| {
        task.status.task == *id && framework.as_ref().is_none_or(|wanted| task.framework == *wanted)
    };
    let mut found = state.tasks.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (None, _) => Err(Failure::Unsuccessful(format!(
            "the master knows of no task {id}; `apportion tasks` lists those that it does"
        ))),
        (Some(task), None) => Ok(task),
        (Some(first), Some(second)) => Err(Failure::Usage(format!(
            "several frameworks have a task {id} ({}, {}): name one with --framework",
            first.framework, second.framework
        ))),
    }
}

/// The task of a framework, if the master remembers it.
pub(super) fn task_of<'a>(
    state: &'a ClusterState,
    framework: &FrameworkId,
    id: &TaskId,
) -> Option<&'a TaskSummary> {
    state.tasks.iter().find(|task| task.framework == *framework && task.status.task == *id)
}

/// Copies a task's output to standard output.
pub(super) async fn print_output(
    context: &Context,
    state: &ClusterState,
    task: &TaskSummary,
    output: OutputName,
    follow: bool,
) -> Result<(), Failure> {
    let agent = state.agents.iter().find(|agent| agent.id == task.agent);
    let address = agent
        .and_then(|agent| agent.address)
        .ok_or_else(|| Failure::Unsuccessful(format!("agent {} is gone, or serves no logs", task.agent)))?;
    let (framework, id) = (task.framework.clone(), task.status.task.clone());
    let wanted = ReadLog { framework, task: id, output, offset: 0, follow };
    let mut bytes = read_log(address, &context.credentials, &wanted).await?;
    let copied = copy(&mut bytes).await;
    bytes.close().await;
    copied
}

async fn copy(bytes: &mut LogReader) -> Result<(), Failure> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = bytes
            .read(&mut piece)
            .await
            .map_err(|error| Failure::Unsuccessful(format!("the log broke off: {error}")))?;
        if read == 0 || !write_bytes(&piece[..read])? {
            return Ok(());
        }
    }
}

/// Whether somebody still reads standard output.
fn write_bytes(bytes: &[u8]) -> Result<bool, Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}
