//! The receiving side of a main stream.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use crate::{
    net::{error::NetError, link::Link},
    protocol::codec::FrameDecoder,
};

/// Chunks (packets' contents) to take from the stream at a time.
const READ_CHUNKS: usize = 64;

/// The receiving half of a connection's main stream.
pub struct Receiver<M> {
    link: Link,
    stream: quinn::RecvStream,
    decoder: FrameDecoder,
    messages: PhantomData<fn() -> M>,
}

impl<M> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("link", &self.link).finish_non_exhaustive()
    }
}

impl<M: DeserializeOwned> Receiver<M> {
    pub(super) fn new(link: Link, stream: quinn::RecvStream, decoder: FrameDecoder) -> Self {
        Self { link, stream, decoder, messages: PhantomData }
    }

    /// Waits for messages and appends all that have arrived to `out`, in order. Returns how many; zero when the peer has ended the stream
    /// in order. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// The connection's end; or [`NetError::Codec`] or [`NetError::Truncated`] for bytes that are no messages, which ends the connection
    /// with a reason for the peer. Messages before them are in `out`.
    pub async fn recv_batch(&mut self, out: &mut Vec<M>) -> Result<usize, NetError> {
        let result = self.receive(out).await;
        if let Err(error) = &result {
            self.link.fail(error);
        }
        result
    }

    async fn receive(&mut self, out: &mut Vec<M>) -> Result<usize, NetError> {
        let before = out.len();
        loop {
            while let Some(message) = self.decoder.next_frame()? {
                out.push(message);
            }
            if out.len() > before {
                return Ok(out.len() - before);
            }
            let mut chunks: [_; READ_CHUNKS] = std::array::from_fn(|_| Default::default());
            match self.stream.read_chunks(&mut chunks).await? {
                Some(count) => chunks[..count].iter().for_each(|chunk| self.decoder.feed(chunk)),
                None if self.decoder.pending() == 0 => return Ok(0),
                None => return Err(NetError::Truncated { pending: self.decoder.pending() }),
            }
        }
    }
}
