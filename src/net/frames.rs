//! Single frames on a QUIC stream, for exchanges that come before or beside the main stream's flow.

use quinn::{RecvStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    net::error::NetError,
    protocol::codec::{FrameDecoder, encode_frame},
};

/// Bytes to ask the stream for at a time.
const READ_BYTES: usize = 64 << 10;

pub(super) async fn write<M: Serialize>(stream: &mut SendStream, message: &M) -> Result<(), NetError> {
    let mut frame = Vec::new();
    encode_frame(message, &mut frame)?;
    Ok(stream.write_all(&frame).await?)
}

/// The next frame's message; `decoder` keeps what was received beyond it.
pub(super) async fn read<M: DeserializeOwned>(
    stream: &mut RecvStream,
    decoder: &mut FrameDecoder,
) -> Result<M, NetError> {
    loop {
        if let Some(message) = decoder.next_frame()? {
            return Ok(message);
        }
        match stream.read_chunk(READ_BYTES, true).await? {
            Some(chunk) => decoder.feed(&chunk.bytes),
            None => return Err(NetError::Truncated { pending: decoder.pending() }),
        }
    }
}
