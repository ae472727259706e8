//! The sending side of a main stream: a bounded queue and the task that empties it.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use crate::{
    net::{
        error::{CloseCode, NetError},
        link::Link,
    },
    protocol::codec::{encode_frame, encoded_len},
};

/// Messages that an outbox holds unless told otherwise: a second's worth of a busy connection.
pub(super) const DEFAULT_OUTBOX_MESSAGES: usize = 1 << 20;

/// Bytes, encoded, that an outbox holds: all offers of a hundred thousand agents at once, with room to spare.
const OUTBOX_BYTES: usize = 64 << 20;

/// An outbox that holds this share of what it may, or less, is no hindrance.
const LIGHT_SHARE: usize = 64;

/// An outbox that holds more than this share of what it may should be given nothing that can wait elsewhere.
const CROWDED_SHARE: usize = 4;

/// How long messages that nobody waits for may wait for others to go with.
const LINGER: Duration = Duration::from_millis(3);

/// Encoded bytes that go to the stream in one write; a batch larger than this takes several.
const WRITE_BYTES: usize = 256 << 10;

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The peer takes its messages too slowly. Nothing was queued; since messages are a sequence, the owner should close the connection.
    #[error("the outbox holds its limit of {limit} messages: the peer takes them too slowly")]
    Full {
        /// How many messages the outbox may hold.
        limit: usize,
    },
    /// The peer takes its messages too slowly. Nothing was queued, as when it is full.
    #[error("the outbox holds its limit of {limit_bytes} bytes: the peer takes them too slowly")]
    TooLarge {
        /// How many bytes the messages of the outbox may take on the wire.
        limit_bytes: usize,
    },
    /// The connection has ended, or [`Sender::drive`] has.
    #[error("the connection has ended")]
    Closed,
}

struct Queue<M> {
    messages: Vec<M>,
    /// What they take on the wire.
    bytes: usize,
    /// Somebody waits for one of the messages.
    urgent: bool,
    closed: bool,
}

struct Shared<M> {
    queue: Mutex<Queue<M>>,
    limit: usize,
    /// Awakens the driver: on the first message after it emptied the queue, on the first urgent one, and on closing.
    ready: Notify,
}

impl<M> Shared<M> {
    /// Lets the driver send what is queued, and end.
    fn close(&self) {
        self.queue.lock().closed = true;
        self.ready.notify_one();
    }

    /// Moves everything queued to `batch`, which is empty. False when nothing more will come.
    fn take(&self, batch: &mut Vec<M>) -> bool {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.messages, batch);
        queue.bytes = 0;
        queue.urgent = false;
        !queue.closed
    }

    /// Whether there are messages, and whether the driver is to go on without lingering.
    fn look(&self) -> (bool, bool) {
        let queue = self.queue.lock();
        (!queue.messages.is_empty(), queue.urgent || queue.closed)
    }

    fn flush(&self) {
        let was_urgent = std::mem::replace(&mut self.queue.lock().urgent, true);
        if !was_urgent {
            self.ready.notify_one();
        }
    }
}

/// Closes the queue when the last clone of an outbox is gone.
struct Handle<M>(Arc<Shared<M>>);

impl<M> Drop for Handle<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Takes messages for a peer, from any thread, without waiting. When the last clone is dropped, the stream ends after what is queued.
///
/// Bounded by the number of messages, and by the 64 MiB that they may take on the wire (in memory a few times as much); beyond them,
/// [`Sender::drive`] holds what it has taken, up to as much again, and QUIC its window.
pub struct Outbox<M>(Arc<Handle<M>>);

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("queued", &self.len()).finish_non_exhaustive()
    }
}

impl<M: Serialize> Outbox<M> {
    /// Queues one message.
    ///
    /// # Errors
    /// [`OutboxError`]; the message is then dropped.
    pub fn push(&self, message: M) -> Result<(), OutboxError> {
        self.push_all([message])
    }

    /// Queues messages in order, all of them or none.
    ///
    /// # Errors
    /// [`OutboxError`]; the messages are then dropped.
    pub fn push_all<I>(&self, messages: I) -> Result<(), OutboxError>
    where
        I: IntoIterator<Item = M, IntoIter: ExactSizeIterator>,
    {
        let messages = messages.into_iter();
        if messages.len() > 0 {
            self.queue(messages)?;
            self.flush();
        }
        Ok(())
    }

    /// Queues a message that nobody waits for: it goes with the next that is pushed or flushed, after some milliseconds by itself.
    ///
    /// # Errors
    /// [`OutboxError`]; the message is then dropped.
    pub fn push_later(&self, message: M) -> Result<(), OutboxError> {
        if self.queue([message].into_iter())? {
            self.0.0.ready.notify_one();
        }
        Ok(())
    }

    /// Whether these are the first messages that wait.
    fn queue(&self, messages: impl ExactSizeIterator<Item = M>) -> Result<bool, OutboxError> {
        let shared = &self.0.0;
        let mut queue = shared.queue.lock();
        if queue.closed {
            return Err(OutboxError::Closed);
        }
        if messages.len() > shared.limit - queue.messages.len().min(shared.limit) {
            return Err(OutboxError::Full { limit: shared.limit });
        }
        let (before, mut bytes) = (queue.messages.len(), queue.bytes);
        // One that can't be encoded is told of when it is sent.
        queue.messages.extend(messages.inspect(|message| bytes += encoded_len(message).unwrap_or(0)));
        if bytes > OUTBOX_BYTES {
            queue.messages.truncate(before);
            return Err(OutboxError::TooLarge { limit_bytes: OUTBOX_BYTES });
        }
        queue.bytes = bytes;
        Ok(before == 0)
    }
}

impl<M> Outbox<M> {
    /// Has what is queued sent now.
    pub fn flush(&self) {
        self.0.0.flush();
    }

    /// How many messages wait to be sent.
    pub fn len(&self) -> usize {
        self.0.0.queue.lock().messages.len()
    }

    /// Whether so little waits to be sent that whoever has more to say need not wait for it.
    pub fn is_light(&self) -> bool {
        self.holds_at_most(LIGHT_SHARE)
    }

    /// Whether so much waits to be sent that whoever has more to say should wait if they can.
    pub fn is_crowded(&self) -> bool {
        !self.holds_at_most(CROWDED_SHARE)
    }

    fn holds_at_most(&self, share: usize) -> bool {
        let shared = &self.0.0;
        let queue = shared.queue.lock();
        queue.messages.len() <= shared.limit / share && queue.bytes <= OUTBOX_BYTES / share
    }

    /// Whether no message waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more messages; what is queued is still sent, then the stream ends.
    pub fn close(&self) {
        self.0.0.close();
    }
}

/// The sending half of a connection's main stream. Its [`Sender::drive`] must run for messages to leave.
pub struct Sender<M> {
    link: Link,
    stream: quinn::SendStream,
    shared: Arc<Shared<M>>,
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("link", &self.link).finish_non_exhaustive()
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<M: Serialize + Send + 'static> Sender<M> {
    /// The sender and its outbox, which holds up to `limit` messages.
    pub(super) fn new(link: Link, stream: quinn::SendStream, limit: usize) -> (Outbox<M>, Self) {
        let queue = Mutex::new(Queue { messages: Vec::new(), bytes: 0, urgent: false, closed: false });
        let shared = Arc::new(Shared { queue, limit, ready: Notify::new() });
        (Outbox(Arc::new(Handle(shared.clone()))), Self { link, stream, shared })
    }

    /// Sends what is pushed into the outbox until that is closed and everything has arrived. Whatever has gathered while one write was
    /// under way goes out with the next.
    ///
    /// # Errors
    /// The connection's end; or [`NetError::Codec`] for a message that cannot be encoded or is too large, which ends the connection, since
    /// the peer would miss it.
    pub async fn drive(mut self) -> Result<(), NetError> {
        let result = self.send_all().await;
        if let Err(error @ NetError::Codec(_)) = &result {
            self.link.close(CloseCode::Internal, &format!("cannot send a message: {error}"));
        }
        result
    }

    async fn send_all(&mut self) -> Result<(), NetError> {
        let (mut batch, mut buffer) = (Vec::new(), Vec::new());
        loop {
            self.gather().await?;
            let open = self.shared.take(&mut batch);
            if batch.is_empty() && !open {
                break;
            }
            for message in batch.drain(..) {
                encode_frame(&message, &mut buffer)?;
                if buffer.len() >= WRITE_BYTES {
                    self.write(&mut buffer).await?;
                }
            }
            self.write(&mut buffer).await?;
        }
        self.finish().await
    }

    /// Waits until there is something to send, and nothing more to wait for.
    async fn gather(&self) -> Result<(), NetError> {
        loop {
            let (waiting, urgent) = self.shared.look();
            if urgent {
                return Ok(());
            }
            tokio::select! {
                () = self.shared.ready.notified() => {}
                () = tokio::time::sleep(LINGER), if waiting => return Ok(()),
                error = self.link.closed() => return Err(error),
            }
        }
    }

    async fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), NetError> {
        self.stream.write_all(buffer).await?;
        buffer.clear();
        // One huge message leaves no huge buffer behind.
        buffer.shrink_to(2 * WRITE_BYTES);
        Ok(())
    }

    /// Ends the stream and waits until the peer has everything.
    async fn finish(&mut self) -> Result<(), NetError> {
        // Fails only when it was finished before, which happens nowhere else.
        let _ = self.stream.finish();
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(NetError::StreamReset { code: code.into_inner() }),
            Err(_) => Err(self.link.closed().await),
        }
    }
}
