//! The members of an etcd cluster, asked one after the other until one answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam::channel;
use etcd_client::{Client, ConnectOptions, Error, GetOptions, GetResponse, Txn, TxnResponse};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use super::EtcdSecurity;
use crate::store::StoreError;

/// So long a member may take to answer; then the next is asked.
const ATTEMPT: Duration = Duration::from_secs(1);

/// A connection's life is checked this often, for members that fall silent.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// gRPC's codes of failures that may pass: cancelled, unknown, deadline exceeded, aborted, internal, unavailable.
const PASSING_CODES: [i32; 6] = [1, 2, 4, 10, 13, 14];

/// Clients of each member, which run on a thread of their own: a lease is renewed in time however busy the program's other threads are,
/// and a thread may wait for an answer wherever it is.
#[derive(Clone)]
pub(super) struct Members {
    clients: Arc<[Client]>,
    /// The one that is asked first, counted on: the one that answered last.
    current: Arc<AtomicUsize>,
    thread: Arc<Thread>,
}

/// Ends without waiting, as a runtime must that may be dropped within another.
struct Thread(Option<Runtime>);

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("number", &self.clients.len()).finish_non_exhaustive()
    }
}

impl Members {
    pub(super) fn connect(endpoints: &[String], security: Option<&EtcdSecurity>) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Failed { action: "connect with", reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("apportion-etcd")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let thread = Thread(Some(runtime));
        let (reply, answer) = channel::bounded(1);
        let endpoints = endpoints.to_vec();
        let security = security.map(EtcdSecurity::options);
        thread.spawn(async move {
            let mut clients = Vec::new();
            for endpoint in endpoints {
                let mut options = ConnectOptions::new()
                    .with_connect_timeout(ATTEMPT)
                    .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE)
                    .with_keep_alive_while_idle(true)
                    .with_require_leader(true);
                if let Some(security) = &security {
                    options = options.with_tls(security.clone());
                }
                clients.push(Client::connect([endpoint], Some(options)).await);
            }
            // Whoever asked waits.
            let _ = reply.send(clients.into_iter().collect::<Result<Vec<_>, _>>());
        });
        let clients = answer.recv().map_err(|_| failed("the thread ended".to_owned()))?;
        let clients: Arc<[Client]> = clients.map_err(|error| failed(error.to_string()))?.into();
        Ok(Members { clients, current: Arc::default(), thread: Arc::new(thread) })
    }

    /// Runs on the members' own thread.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
        self.thread.spawn(work)
    }

    /// Waits for work on the members' own thread, from any other.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = channel::bounded(1);
        self.spawn(async move {
            // Whoever asked waits.
            let _ = reply.send(work.await);
        });
        answer.recv().unwrap_or_else(|_| {
            Err(StoreError::Failed { action: "reach", reason: "the thread for it has ended".to_owned() })
        })
    }

    /// Asks one member after the other until one answers. A request may be carried out more than once.
    async fn ask<T, F>(&self, action: &'static str, request: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut reason = String::new();
        for _ in 0..self.clients.len() {
            let number = self.current.load(Ordering::Relaxed);
            let client = self.clients[number % self.clients.len()].clone();
            match timeout(ATTEMPT, request(client)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !may_pass(&error) => {
                    return Err(StoreError::Failed { action, reason: error.to_string() });
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = "a member of etcd does not answer".to_owned(),
            }
            // Unless somebody else has turned to the next one already.
            let _ = self.current.compare_exchange(
                number,
                number.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        Err(StoreError::Unreachable { reason })
    }

    pub(super) async fn get(
        &self,
        action: &'static str,
        key: impl Into<Vec<u8>> + Clone,
        options: GetOptions,
    ) -> Result<GetResponse, StoreError> {
        self.ask(action, |mut client| {
            let (key, options) = (key.clone(), options.clone());
            async move { client.get(key, Some(options)).await }
        })
        .await
    }

    pub(super) async fn transact(
        &self,
        action: &'static str,
        transaction: Txn,
    ) -> Result<TxnResponse, StoreError> {
        self.ask(action, |mut client| {
            let transaction = transaction.clone();
            async move { client.txn(transaction).await }
        })
        .await
    }

    /// A lease of this length, in whole seconds, and until when it holds at least.
    pub(super) async fn grant(&self, length: Duration) -> Result<(i64, Instant), StoreError> {
        let seconds = i64::try_from(length.as_secs().max(1)).unwrap_or(i64::MAX);
        let (lease, asked) = self
            .ask("get a lease from", |mut client| async move {
                let asked = Instant::now();
                Ok((client.lease_grant(seconds, None).await?, asked))
            })
            .await?;
        Ok((lease.id(), asked + Duration::from_secs(lease.ttl().unsigned_abs())))
    }

    /// Until when the lease holds now at least; `None` when it has ended.
    pub(super) async fn renew(&self, lease: i64) -> Result<Option<Instant>, StoreError> {
        // A stream for each renewal: one that hangs with its member is given up like any other request.
        self.ask("renew the lease in", |mut client| async move {
            let asked = Instant::now();
            let (mut keeper, mut answers) = match client.lease_keep_alive(lease).await {
                Err(Error::LeaseKeepAliveError(_)) => return Ok(None),
                opened => opened?,
            };
            keeper.keep_alive().await?;
            let answer = answers.message().await?;
            let seconds = answer.map_or(0, |answer| answer.ttl());
            Ok((seconds > 0).then(|| asked + Duration::from_secs(seconds.unsigned_abs())))
        })
        .await
    }

    pub(super) async fn revoke(&self, lease: i64) -> Result<(), StoreError> {
        self.ask("end the lease in", |mut client| async move { client.lease_revoke(lease).await.map(drop) })
            .await
    }
}

impl Thread {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
        // It is there until it is dropped.
        self.0.as_ref().expect("a runtime that is not dropped").spawn(work).abort_handle()
    }
}

/// Whether another member, or the same one later, may do what this one did not.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::TransportError(_) | Error::IoError(_) | Error::EndpointError(_) => true,
        Error::GRpcStatus(status) => PASSING_CODES.contains(&i32::from(status.code())),
        _ => false,
    }
}
