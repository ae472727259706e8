//! A connection that is ready for messages, and the hello that makes it so.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    net::{
        error::NetError,
        frames,
        link::Link,
        outbox::{DEFAULT_OUTBOX_MESSAGES, Outbox, Sender},
        receiver::Receiver,
    },
    protocol::{
        codec::FrameDecoder,
        identity::{Identity, IdentityKind},
    },
};

/// The first frame of either side on the main stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hello {
    /// As what the sender will act; must be what its certificate says.
    role: IdentityKind,
    /// What program the sender is, for the receiver's logs.
    software: String,
}

/// An authenticated connection after both hellos, with its main stream not yet put to use.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    decoder: FrameDecoder,
    software: String,
}

impl Connection {
    /// Opens the main stream and says hello first.
    pub(super) async fn open(
        connection: quinn::Connection,
        link: Link,
        own: (IdentityKind, &str),
    ) -> Result<Self, NetError> {
        let (mut send, mut receive) = connection.open_bi().await?;
        prefer(&send);
        let mut decoder = FrameDecoder::new();
        // A refusal may overtake the writing; the reading then tells the reason.
        let written = say_hello(&mut send, own).await;
        let software = hear_hello(&link, &mut receive, &mut decoder).await?;
        written?;
        Ok(Self { link, send, receive, decoder, software })
    }

    /// Accepts the main stream and answers the peer's hello.
    pub(super) async fn accept(
        connection: quinn::Connection,
        link: Link,
        own: (IdentityKind, &str),
    ) -> Result<Self, NetError> {
        let (mut send, mut receive) = connection.accept_bi().await?;
        prefer(&send);
        let mut decoder = FrameDecoder::new();
        let software = hear_hello(&link, &mut receive, &mut decoder).await?;
        say_hello(&mut send, own).await?;
        Ok(Self { link, send, receive, decoder, software })
    }

    /// Who the peer is, as its certificate says.
    pub fn peer(&self) -> &Identity {
        self.link.peer()
    }

    /// How the peer's program names itself.
    pub fn software(&self) -> &str {
        &self.software
    }

    /// A handle that outlives the split: further streams, addresses, closing.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The main stream as queue, sender and receiver. The outbox holds up to a million messages.
    pub fn split<Out, In>(self) -> (Outbox<Out>, Sender<Out>, Receiver<In>)
    where
        Out: Serialize + Send + 'static,
        In: DeserializeOwned,
    {
        self.split_with_limit(DEFAULT_OUTBOX_MESSAGES)
    }

    /// As [`Connection::split`], with an outbox that holds up to `limit` messages.
    pub fn split_with_limit<Out, In>(self, limit: usize) -> (Outbox<Out>, Sender<Out>, Receiver<In>)
    where
        Out: Serialize + Send + 'static,
        In: DeserializeOwned,
    {
        let (outbox, sender) = Sender::new(self.link.clone(), self.send, limit);
        (outbox, sender, Receiver::new(self.link, self.receive, self.decoder))
    }
}

/// Messages go before bulk data.
fn prefer(main: &quinn::SendStream) {
    // Fails only on a stream that has ended, whose next write tells.
    let _ = main.set_priority(1);
}

async fn say_hello(
    send: &mut quinn::SendStream,
    (role, software): (IdentityKind, &str),
) -> Result<(), NetError> {
    frames::write(send, &Hello { role, software: software.to_owned() }).await
}

/// The peer's software, if the peer may act as it wants to.
async fn hear_hello(
    link: &Link,
    receive: &mut quinn::RecvStream,
    decoder: &mut FrameDecoder,
) -> Result<String, NetError> {
    let Hello { role, software } = frames::read(receive, decoder).await?;
    if role != link.peer().kind() {
        return Err(NetError::RoleRefused { identity: link.peer().clone(), role });
    }
    Ok(software)
}
