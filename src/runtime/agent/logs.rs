//! Operators who read what tasks wrote.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::driver::Event;
use super::work_dir::WorkDir;
use crate::net::bulk::{BulkReader, BulkWriter};
use crate::net::{Accepted, CloseCode, Connection, Endpoint, NetError};
use crate::protocol::logs::{LogAnswer, ReadLog};
use crate::protocol::{Identity, IdentityKind};
use crate::runtime::doors::Door;

/// How often a followed file is looked at for more.
const POLL: Duration = Duration::from_millis(100);

/// Bytes to read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Takes operators' connections until the agent has ended.
pub(super) async fn take_operators(endpoint: Endpoint, work_dir: WorkDir, events: mpsc::Sender<Event>) {
    let (handshakes, members) = (Door::of_handshakes(), Door::of_members());
    while let Some(incoming) = endpoint.accept().await {
        let from = incoming.remote_address();
        let Ok(handshake) = handshakes.enter(from.ip()) else {
            incoming.refuse();
            continue;
        };
        let (work_dir, events, members) = (work_dir.clone(), events.clone(), members.clone());
        tokio::spawn(async move {
            let established = incoming.establish().await;
            drop(handshake);
            match established {
                Ok(Accepted::Member(connection)) => match members.enter(connection.peer().clone()) {
                    Ok(_stay) => converse(&connection, work_dir, events).await,
                    Err(full) => connection.link().close(CloseCode::Overflow, &full.to_string()),
                },
                Ok(Accepted::Newcomer(_)) => {}
                Err(error) => tracing::debug!(%from, %error, "an operator's connection ended"),
            }
        });
    }
}

/// Answers one question per stream, until the operator leaves.
async fn converse(connection: &Connection, work_dir: WorkDir, events: mpsc::Sender<Event>) {
    let link = connection.link();
    if link.peer().kind() != IdentityKind::Operator {
        return link.close(CloseCode::RoleRefused, "an agent takes operators only");
    }
    while let Ok((writer, reader)) = link.accept_bulk().await {
        let (work_dir, events, peer) = (work_dir.clone(), events.clone(), link.peer().clone());
        tokio::spawn(async move {
            if let Err(error) = answer(&peer, writer, reader, &work_dir, &events).await {
                tracing::debug!(%peer, %error, "a reader of logs has left");
            }
        });
    }
}

/// Why a file's bytes do not come, or come no more.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn answer(
    who: &Identity,
    mut writer: BulkWriter,
    mut reader: BulkReader,
    work_dir: &WorkDir,
    events: &mpsc::Sender<Event>,
) -> Result<(), ReadError> {
    let asked: ReadLog = reader.read_frame().await?;
    let file = work_dir.sandbox(&asked.framework, &asked.task).join(asked.output.file_name());
    let file = match may_read(who, &asked, events).await {
        Ok(()) => open(file, &asked, events).await,
        Err(denied) => Err(denied),
    };
    match file {
        Ok(file) => {
            writer.write_frame(&LogAnswer::Bytes).await?;
            copy(file, &mut writer, &asked, events).await?;
        }
        Err(refusal) => writer.write_frame(&LogAnswer::Refused(refusal)).await?,
    }
    Ok(writer.shutdown().await?)
}

/// The file at the offset asked for; of a task that is still to start, when it has started.
async fn open(path: PathBuf, asked: &ReadLog, events: &mpsc::Sender<Event>) -> Result<File, String> {
    loop {
        let may_come = asked.follow && task_is_live(asked, events).await;
        match File::open(&path).await {
            Ok(mut file) => {
                let found = file.seek(SeekFrom::Start(asked.offset)).await;
                return found.map(|_| file).map_err(|error| error.to_string());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_come => {
                tokio::time::sleep(POLL).await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!(
                    "task {} has no {} here: it has not started, or is no command",
                    asked.task,
                    asked.output.file_name()
                ));
            }
            Err(error) => return Err(format!("its {} cannot be read: {error}", asked.output.file_name())),
        }
    }
}

async fn copy(
    mut file: File,
    writer: &mut BulkWriter,
    asked: &ReadLog,
    events: &mpsc::Sender<Event>,
) -> Result<(), ReadError> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        // Asked before the reading: what a task that has ended wrote is all there.
        let goes_on = asked.follow && task_is_live(asked, events).await;
        loop {
            let read = file.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            writer.write_all(&piece[..read]).await?;
        }
        if !goes_on {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn may_read(who: &Identity, asked: &ReadLog, events: &mpsc::Sender<Event>) -> Result<(), String> {
    let (reply, answer) = oneshot::channel();
    let (who, framework, task) = (who.clone(), asked.framework.clone(), asked.task.clone());
    // The agent has ended when either fails.
    let ended = || "the agent has ended".to_owned();
    events.send(Event::CheckReader { who, framework, task, reply }).await.map_err(|_| ended())?;
    answer.await.unwrap_or_else(|_| Err(ended()))
}

async fn task_is_live(asked: &ReadLog, events: &mpsc::Sender<Event>) -> bool {
    let (reply, answer) = oneshot::channel();
    let question = Event::IsTaskLive { framework: asked.framework.clone(), task: asked.task.clone(), reply };
    // An agent that has ended has no live tasks.
    events.send(question).await.is_ok() && answer.await.unwrap_or(false)
}
