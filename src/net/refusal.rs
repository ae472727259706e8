//! Finds out at once that nobody listens at an address.
//!
//! QUIC's socket is shared by all connections and so not connected: the system tells it nothing of a peer's "port unreachable".
//! A connected socket beside it is told.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::UdpSocket;

use crate::net::error::NetError;

/// How often it is asked again whether a peer's process is still there, whose machine then says at once if it is not.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Waits until the machine at `address` says that nobody listens there, or does no more. Never ends when it says nothing.
pub(super) async fn refused(local: SocketAddr, address: SocketAddr) -> NetError {
    match ask(local, address).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => NetError::Refused { address },
        // Whatever else goes wrong, the connection itself will tell.
        Err(_) | Ok(()) => std::future::pending().await,
    }
}

/// Sends empty packets, which QUIC drops unseen, and waits for an answer, which nobody but the system gives.
async fn ask(local: SocketAddr, address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(local.ip(), 0)).await?;
    socket.connect(address).await?;
    loop {
        socket.send(&[]).await?;
        if let Ok(answer) = tokio::time::timeout(ASK_AGAIN, socket.recv(&mut [0])).await {
            return answer.map(drop);
        }
    }
}
