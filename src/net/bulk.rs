//! Streams beside the main one, for logs and files: as long as they need, without holding messages up.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    net::{error::NetError, frames},
    protocol::codec::FrameDecoder,
};

/// The writing half. `shutdown` ends the stream in order; dropping it does too.
#[derive(Debug)]
pub struct BulkWriter(quinn::SendStream);

/// The reading half. Dropping it tells the peer to stop.
#[derive(Debug)]
pub struct BulkReader {
    stream: quinn::RecvStream,
    decoder: FrameDecoder,
}

impl BulkWriter {
    pub(super) fn new(stream: quinn::SendStream) -> Self {
        Self(stream)
    }

    /// Writes one message: what the stream is about, or a piece of it.
    ///
    /// # Errors
    /// [`NetError::Codec`], or the stream's or the connection's end.
    pub async fn write_frame<M: Serialize>(&mut self, message: &M) -> Result<(), NetError> {
        frames::write(&mut self.0, message).await
    }
}

impl BulkReader {
    pub(super) fn new(stream: quinn::RecvStream) -> Self {
        Self { stream, decoder: FrameDecoder::new() }
    }

    /// Reads one message. Bytes after it can then be read as further messages or as they are.
    ///
    /// # Errors
    /// [`NetError::Codec`], [`NetError::Truncated`] at the stream's end, or the connection's end.
    pub async fn read_frame<M: DeserializeOwned>(&mut self) -> Result<M, NetError> {
        frames::read(&mut self.stream, &mut self.decoder).await
    }
}

impl AsyncWrite for BulkWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncRead for BulkReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What came in one piece with the last frame goes first.
        if self.decoder.pending() > 0 {
            let taken = self.decoder.take_bytes(buffer.remaining());
            buffer.put_slice(taken);
            return Poll::Ready(Ok(()));
        }
        AsyncRead::poll_read(Pin::new(&mut self.stream), cx, buffer)
    }
}
