//! Asks a cluster what operators ask: its master for state and changes, its agents for logs.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::addresses::{self, Addresses};
use super::peer::any_address_like;
use crate::net::bulk::BulkReader;
use crate::net::{
    CloseCode, Connection, Credentials, Endpoint, Expect, Link, NetError, Outbox, OutboxError, Receiver,
    Settings, renew,
};
use crate::protocol::logs::{LogAnswer, ReadLog};
use crate::protocol::operator::{OperatorAnswer, OperatorRequest};
use crate::protocol::{IdentityKind, OperatorCall, OperatorEvent, RequestId};

/// Why an operator did not get what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The peer can't be reached, or is not whom it should be.
    #[error("cannot reach the {kind} at {address}: {error}")]
    Unreachable {
        /// What the peer should be.
        kind: IdentityKind,
        /// Where it should be.
        address: Addresses,
        /// Why it can't be reached.
        error: NetError,
    },
    /// The connection ended before the answer came; whether the request was carried out is unknown.
    #[error("the connection ended before the answer came: {reason}")]
    Lost {
        /// Why it ended.
        reason: String,
    },
    /// Too many requests wait to be sent.
    #[error("the request was not sent: {0}")]
    NotSent(#[from] OutboxError),
    /// The peer was asked and said no.
    #[error("{0}")]
    Refused(String),
}

/// A connection with a master as an operator. Requests may overlap.
#[derive(Debug)]
pub struct OperatorClient {
    endpoint: Arc<Endpoint>,
    link: Link,
    requests: Outbox<OperatorRequest>,
    waiting: Arc<Mutex<Waiting>>,
    reading: JoinHandle<()>,
}

/// Who waits for answers.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    answers: FxHashMap<RequestId, mpsc::UnboundedSender<OperatorEvent>>,
    /// Why no answer comes any more.
    ended: Option<String>,
}

impl OperatorClient {
    /// Connects to the master that leads. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OperatorError::Unreachable`], also when the credentials are of no use there.
    pub async fn connect(
        master: impl Into<Addresses>,
        credentials: &Credentials,
    ) -> Result<Self, OperatorError> {
        let (endpoint, connection) = dial(master.into(), credentials, IdentityKind::Master).await?;
        let link = connection.link().clone();
        if credentials.renewal_due_in().is_zero()
            && let Err(error) = renew(&link, credentials).await
        {
            tracing::warn!(%error, "the operator's certificate could not be renewed");
        }
        let (requests, sender, receiver) = connection.split();
        // It ends with the connection, whose end is told by the reading side.
        tokio::spawn(sender.drive());
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let reading = tokio::spawn(hand_out(receiver, waiting.clone()));
        Ok(OperatorClient { endpoint, link, requests, waiting, reading })
    }

    /// Asks what has one answer.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] with the master's reason, [`OperatorError::Lost`] or [`OperatorError::NotSent`].
    pub async fn call(&self, call: OperatorCall) -> Result<OperatorEvent, OperatorError> {
        self.open(call)?
            .next()
            .await?
            .ok_or_else(|| OperatorError::Lost { reason: "the master gave no answer".to_owned() })
    }

    /// Asks what may have several answers. Dropping the stream is all it takes to lose interest.
    ///
    /// # Errors
    /// [`OperatorError::Lost`] or [`OperatorError::NotSent`].
    pub fn open(&self, call: OperatorCall) -> Result<ReplyStream, OperatorError> {
        let (sender, answers) = mpsc::unbounded_channel();
        let request = {
            let mut waiting = self.waiting.lock();
            if let Some(reason) = &waiting.ended {
                return Err(OperatorError::Lost { reason: reason.clone() });
            }
            waiting.last += 1;
            let request = RequestId(waiting.last);
            waiting.answers.insert(request, sender);
            request
        };
        // Made first, so that a request that can't be sent is not waited for.
        let stream = ReplyStream { request, answers, waiting: self.waiting.clone(), is_over: false };
        self.requests.push(OperatorRequest { request, call })?;
        Ok(stream)
    }

    /// Ends the connection and gives the word of it time to leave. A master that the word does not reach keeps the connection
    /// until its idle timeout, as when a program exits without.
    pub async fn close(self) {
        self.link.close(CloseCode::Done, "the operator is done");
        self.endpoint.wait_idle().await;
    }
}

impl Drop for OperatorClient {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The answers to one request, in order.
#[derive(Debug)]
pub struct ReplyStream {
    request: RequestId,
    answers: mpsc::UnboundedReceiver<OperatorEvent>,
    waiting: Arc<Mutex<Waiting>>,
    is_over: bool,
}

impl ReplyStream {
    /// The next answer; `None` after the last. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] with the reason, or [`OperatorError::Lost`].
    pub async fn next(&mut self) -> Result<Option<OperatorEvent>, OperatorError> {
        if self.is_over {
            return Ok(None);
        }
        let Some(event) = self.answers.recv().await else {
            self.is_over = true;
            let reason = self.waiting.lock().ended.clone();
            return Err(OperatorError::Lost {
                reason: reason.unwrap_or_else(|| "it was given up".to_owned()),
            });
        };
        self.is_over = is_last(&event);
        match event {
            OperatorEvent::Refused(reason) => Err(OperatorError::Refused(reason)),
            event => Ok(Some(event)),
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        self.waiting.lock().answers.remove(&self.request);
    }
}

fn is_last(event: &OperatorEvent) -> bool {
    !matches!(event, OperatorEvent::Reply { last: false, .. })
}

/// Hands answers to those who wait for them, until the connection ends.
async fn hand_out(mut receiver: Receiver<OperatorAnswer>, waiting: Arc<Mutex<Waiting>>) {
    let mut batch = Vec::new();
    let reason = loop {
        let received = receiver.recv_batch(&mut batch).await;
        let mut waiting = waiting.lock();
        for OperatorAnswer { request, event } in batch.drain(..) {
            let last = is_last(&event);
            if let Some(answers) = waiting.answers.get(&request) {
                // Whoever asked may be about to drop the stream.
                let _ = answers.send(event);
            }
            if last {
                waiting.answers.remove(&request);
            }
        }
        match received {
            Ok(0) => break "the master ended it".to_owned(),
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    let mut waiting = waiting.lock();
    waiting.ended = Some(reason);
    waiting.answers.clear();
}

/// Opens a task's output at the agent that holds it. Must be called within a tokio runtime.
///
/// # Errors
/// [`OperatorError::Unreachable`], [`OperatorError::Lost`], or [`OperatorError::Refused`] with the agent's reason.
pub async fn read_log(
    agent: SocketAddr,
    credentials: &Credentials,
    wanted: &ReadLog,
) -> Result<LogReader, OperatorError> {
    let (endpoint, connection) = dial(agent.into(), credentials, IdentityKind::Agent).await?;
    let lost = |error: NetError| OperatorError::Lost { reason: error.to_string() };
    let (mut ask, mut bytes) = connection.link().open_bulk().await.map_err(lost)?;
    ask.write_frame(wanted).await.map_err(lost)?;
    let answer = bytes.read_frame().await.map_err(lost)?;
    let reader = LogReader { bytes, endpoint, connection };
    match answer {
        LogAnswer::Bytes => Ok(reader),
        LogAnswer::Refused(reason) => {
            reader.close().await;
            Err(OperatorError::Refused(reason))
        }
    }
}

/// The bytes of a task's output. Dropping it tells the agent to stop, as long as the program goes on.
#[derive(Debug)]
pub struct LogReader {
    bytes: BulkReader,
    endpoint: Arc<Endpoint>,
    /// Its main stream carries nothing here, but an agent may take that stream's end for the operator's leaving.
    connection: Connection,
}

impl LogReader {
    /// Ends the connection and gives the word of it time to leave. An agent that the word does not reach keeps the connection
    /// until its idle timeout, as when a program exits without.
    pub async fn close(self) {
        self.connection.link().close(CloseCode::Done, "the operator is done");
        self.endpoint.wait_idle().await;
    }
}

impl AsyncRead for LogReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

async fn dial(
    address: Addresses,
    credentials: &Credentials,
    kind: IdentityKind,
) -> Result<(Arc<Endpoint>, Connection), OperatorError> {
    let unreachable = |error| OperatorError::Unreachable { kind, address: address.clone(), error };
    let local = any_address_like(address.first());
    let endpoint = Endpoint::client(local, credentials, Settings::default()).map_err(unreachable)?;
    let endpoint = Arc::new(endpoint);
    let connect = |address| {
        let endpoint = endpoint.clone();
        async move { endpoint.connect(address, &Expect::Kind(kind)).await }
    };
    let (_, connection) = addresses::find(address.all(), connect).await.map_err(unreachable)?;
    Ok((endpoint, connection))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::allocator::DrfAllocator;
    use crate::master::PingOptions;
    use crate::net::{Accepted, CertificateAuthority};
    use crate::protocol::logs::OutputName;
    use crate::protocol::{FrameworkId, Identity, TaskId};
    use crate::runtime::{MasterConfig, MasterServer, ShutdownHandle};

    /// Nothing here takes long; a test that hangs says so.
    const PATIENCE: Duration = Duration::from_secs(30);

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn issue(authority: &CertificateAuthority, kind: IdentityKind) -> Credentials {
        authority.issue(&Identity::new("test", kind, "x").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn calls_are_answered_refused_or_lost() {
        let authority = CertificateAuthority::create("test").unwrap();
        let (_stop, shutdown) = ShutdownHandle::new();
        let credentials = issue(&authority, IdentityKind::Master);
        let config = MasterConfig {
            listen: LOOPBACK,
            credentials,
            admission: None,
            journal: None,
            pings: PingOptions::default(),
        };
        let master = MasterServer::start(config, DrfAllocator::default(), shutdown).unwrap();
        let operator = issue(&authority, IdentityKind::Operator);
        let client = OperatorClient::connect(master.address(), &operator).await.unwrap();

        let framework = FrameworkId::new("nobody").unwrap();
        let refused = client.open(OperatorCall::Teardown { framework }).unwrap();
        let state = tokio::time::timeout(PATIENCE, client.call(OperatorCall::GetState)).await.unwrap();
        assert!(
            matches!(state, Ok(OperatorEvent::State(_))),
            "overtakes or not, each gets its own: {state:?}"
        );
        let mut refused = refused;
        let answer = tokio::time::timeout(PATIENCE, refused.next()).await.unwrap();
        assert!(
            matches!(&answer, Err(OperatorError::Refused(reason)) if reason.contains("nobody")),
            "{answer:?}"
        );
        assert!(refused.next().await.unwrap().is_none(), "a refusal is the last answer");

        master.stop().await;
        let lost = tokio::time::timeout(PATIENCE, client.call(OperatorCall::GetState)).await.unwrap();
        assert!(matches!(&lost, Err(OperatorError::Lost { .. } | OperatorError::NotSent(_))), "{lost:?}");
    }

    #[tokio::test]
    async fn logs_come_from_agents_alone_as_bytes_or_with_a_reason() {
        let authority = CertificateAuthority::create("test").unwrap();
        let operator = issue(&authority, IdentityKind::Operator);
        let agent = issue(&authority, IdentityKind::Agent);
        let endpoint = Endpoint::server(LOOPBACK, &agent, Settings::default()).unwrap();
        let address = endpoint.local_address();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(Accepted::Member(connection)) = incoming.establish().await else { continue };
                let Ok((mut writer, mut reader)) = connection.link().accept_bulk().await else { continue };
                let asked: ReadLog = reader.read_frame().await.unwrap();
                if asked.task.as_str() == "t1" {
                    writer.write_frame(&LogAnswer::Bytes).await.unwrap();
                    writer.write_all(b"hello\n").await.unwrap();
                } else {
                    writer.write_frame(&LogAnswer::Refused("no such task".to_owned())).await.unwrap();
                }
                writer.shutdown().await.unwrap();
                connection.link().closed().await;
            }
        });
        let wanted = |task: &str| ReadLog {
            framework: FrameworkId::new("batch").unwrap(),
            task: TaskId::new(task).unwrap(),
            output: OutputName::Stdout,
            offset: 0,
            follow: false,
        };
        let mut text = String::new();
        let mut log = read_log(address, &operator, &wanted("t1")).await.unwrap();
        tokio::time::timeout(PATIENCE, log.read_to_string(&mut text)).await.unwrap().unwrap();
        assert_eq!(text, "hello\n");
        log.close().await;
        let refused = read_log(address, &operator, &wanted("t2")).await.unwrap_err();
        assert_eq!(refused.to_string(), "no such task");
        let not_a_master = OperatorClient::connect(address, &operator).await.unwrap_err();
        assert!(matches!(not_a_master, OperatorError::Unreachable { kind: IdentityKind::Master, .. }));
    }
}
