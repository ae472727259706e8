//! What goes wrong on the wire, and how each side learns of it.

use std::{fmt, io, net::SocketAddr};

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use crate::{
    net::{certificate::CertificateError, pem::PemError, tls::ALPN_MESSAGES, token::JoinError},
    protocol::{
        codec::CodecError,
        identity::{Identity, IdentityKind},
    },
};

/// QUIC reports a TLS alert as this code plus the alert's number (RFC 9001, section 4.8).
const TLS_ALERT_BASE: u64 = 0x100;
const TLS_ALERTS: std::ops::RangeInclusive<u64> = TLS_ALERT_BASE..=0x1ff;
/// RFC 8446, section 6.2.
const ALERT_NO_APPLICATION_PROTOCOL: u64 = 120;
const ALERTS_ABOUT_CERTIFICATES: [(u64, &str); 8] = [
    (42, "bad certificate"),
    (43, "unsupported certificate"),
    (44, "certificate revoked"),
    (45, "certificate expired"),
    (46, "certificate unknown"),
    (48, "unknown certificate authority"),
    (51, "its signature is wrong"),
    (116, "certificate required"),
];

/// Why one side closed a connection, as the other is told. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// Nothing went wrong: the work is done, or the process ends.
    Done,
    /// What came on a stream is not what the protocol allows.
    Malformed,
    /// A frame is longer than the limit.
    Oversized,
    /// The peer wants to act in a role that its certificate does not name.
    RoleRefused,
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer's certificate names no identity, or not the one that was expected.
    WrongIdentity,
    /// The peer speaks another version of the protocol.
    VersionMismatch,
    /// The peer took too long.
    TimedOut,
    /// The peer does not take its messages as fast as they come.
    Overflow,
    /// The peer may not join.
    JoinRefused,
    /// A newer connection of the same party takes this one's place.
    Replaced,
    /// This side failed; the peer did nothing wrong.
    Internal,
    /// This master does not lead. The reason is the address of the one that does, if that is known.
    NotLeader,
    /// The peer is a master that another one has deposed.
    Deposed,
    /// A code of a later version.
    Other(u32),
}

const CLOSE_CODES: [(CloseCode, u32); 14] = [
    (CloseCode::Done, 0),
    (CloseCode::Malformed, 1),
    (CloseCode::Oversized, 2),
    (CloseCode::RoleRefused, 3),
    (CloseCode::NoCertificate, 4),
    (CloseCode::WrongIdentity, 5),
    (CloseCode::VersionMismatch, 6),
    (CloseCode::TimedOut, 7),
    (CloseCode::Overflow, 8),
    (CloseCode::JoinRefused, 9),
    (CloseCode::Replaced, 10),
    (CloseCode::Internal, 11),
    (CloseCode::NotLeader, 12),
    (CloseCode::Deposed, 13),
];

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        let number = match code {
            CloseCode::Other(number) => number,
            // Every other code is in the table.
            known => {
                CLOSE_CODES.iter().find(|(code, _)| *code == known).map_or(u32::MAX, |(_, number)| *number)
            }
        };
        VarInt::from_u32(number)
    }
}

impl From<VarInt> for CloseCode {
    fn from(number: VarInt) -> Self {
        let number = u32::try_from(number.into_inner()).unwrap_or(u32::MAX);
        CLOSE_CODES.iter().find(|(_, known)| *known == number).map_or(Self::Other(number), |(code, _)| *code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Malformed => "malformed data",
            Self::Oversized => "oversized frame",
            Self::RoleRefused => "role refused",
            Self::NoCertificate => "no certificate",
            Self::WrongIdentity => "wrong identity",
            Self::VersionMismatch => "version mismatch",
            Self::TimedOut => "too slow",
            Self::Overflow => "overflow",
            Self::JoinRefused => "join refused",
            Self::Replaced => "replaced",
            Self::Internal => "internal error",
            Self::NotLeader => "not the leader",
            Self::Deposed => "deposed",
            Self::Other(number) => return write!(f, "code {number}"),
        })
    }
}

/// What can go wrong with credentials, endpoints and connections.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A PEM text or its file is of no use.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate does not tell who its holder is.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The peer does not renew the certificate.
    #[error("the certificate is not renewed: {reason}")]
    RenewalRefused {
        /// Why.
        reason: String,
    },
    /// A key or certificate could not be made or read.
    #[error("cannot make the certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// The local address cannot be used.
    #[error("cannot use local address {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No version of the protocol is common.
    #[error("no common protocol version: this side speaks {ours}; {detail}")]
    VersionMismatch {
        /// What this side speaks.
        ours: &'static str,
        /// What is known about the peer.
        detail: String,
    },
    /// The peer's certificate is not one to trust.
    #[error("the peer's certificate is not trusted: {reason}")]
    UntrustedPeer {
        /// What the verifier objected to.
        reason: String,
    },
    /// The peer did not accept this side's certificate.
    #[error("the peer refused our certificate: {alert}")]
    CertificateRefused {
        /// The peer's TLS alert, in words.
        alert: &'static str,
    },
    /// The peer showed no certificate, which only joining allows.
    #[error("a certificate is required, and none was shown")]
    NoCertificate,
    /// The peer is trusted, and somebody else than expected.
    #[error("expected {expected}, found {found}")]
    UnexpectedPeer {
        /// Who was expected, in words.
        expected: String,
        /// Who answered.
        found: Identity,
    },
    /// The peer wants to act in a role that its certificate does not name.
    #[error("identity {identity} may not act as {role}")]
    RoleRefused {
        /// The peer.
        identity: Identity,
        /// The role that it claimed.
        role: IdentityKind,
    },
    /// The peer wants to join, where nobody can.
    #[error("this endpoint takes no joins; join at the master")]
    JoinsNotTaken,
    /// The master refused the join.
    #[error("join refused: {0}")]
    Join(#[from] JoinError),
    /// What came on a stream is not what it should be.
    #[error("from the peer: {0}")]
    Codec(#[from] CodecError),
    /// A stream ended in the middle of a frame, or before the answer that it should carry.
    #[error("the peer ended the stream with {pending} bytes of an unfinished frame")]
    Truncated {
        /// Bytes received of the unfinished frame.
        pending: usize,
    },
    /// The peer gave up this stream, not the connection.
    #[error("the peer gave up the stream (code {code})")]
    StreamReset {
        /// The peer's code.
        code: u64,
    },
    /// The peer closed the connection and said why.
    #[error("closed by the peer ({code}): {reason}")]
    ClosedByPeer {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for humans.
        reason: String,
    },
    /// The master does not lead, and names the one that does, if it knows.
    #[error("this master does not lead; {}", named(*leader))]
    NotLeader {
        /// Where the leading master is.
        leader: Option<SocketAddr>,
    },
    /// This side closed the connection.
    #[error("this side closed the connection")]
    ClosedLocally,
    /// The machine answers, but nobody listens there.
    #[error("nobody listens at {address}")]
    Refused {
        /// Where.
        address: SocketAddr,
    },
    /// The peer went silent, or was never there.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// QUIC or TLS failed in another way.
    #[error("transport failed: {reason}")]
    Transport {
        /// What the library said.
        reason: String,
    },
}

impl NetError {
    /// The code with which to close a connection on which this happened.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Codec(CodecError::FrameTooLarge { .. }) => CloseCode::Oversized,
            Self::Codec(_) | Self::Truncated { .. } => CloseCode::Malformed,
            Self::RoleRefused { .. } => CloseCode::RoleRefused,
            Self::NoCertificate => CloseCode::NoCertificate,
            Self::UnexpectedPeer { .. } | Self::Certificate(_) => CloseCode::WrongIdentity,
            Self::VersionMismatch { .. } => CloseCode::VersionMismatch,
            Self::TimedOut => CloseCode::TimedOut,
            Self::Join(_) | Self::JoinsNotTaken => CloseCode::JoinRefused,
            Self::NotLeader { .. } | Self::ClosedByPeer { .. } | Self::ClosedLocally => CloseCode::Done,
            _ => CloseCode::Internal,
        }
    }
}

impl From<rustls::Error> for NetError {
    fn from(error: rustls::Error) -> Self {
        Self::Transport { reason: error.to_string() }
    }
}

impl From<ConnectionError> for NetError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let (code, reason) =
                    (close.error_code.into(), String::from_utf8_lossy(&close.reason).into_owned());
                match code {
                    CloseCode::VersionMismatch => Self::VersionMismatch {
                        ours: ALPN_MESSAGES,
                        detail: format!("the peer says: {reason}"),
                    },
                    CloseCode::NotLeader => Self::NotLeader { leader: reason.parse().ok() },
                    code => Self::ClosedByPeer { code, reason },
                }
            }
            ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::VersionMismatch {
                    ours: ALPN_MESSAGES,
                    detail: "the peer speaks none that we know of".to_owned(),
                },
                Some(number) => ALERTS_ABOUT_CERTIFICATES
                    .iter()
                    .find(|(known, _)| *known == number)
                    .map(|(_, alert)| Self::CertificateRefused { alert })
                    .unwrap_or_else(|| Self::Transport { reason: format!("the peer's TLS alert {number}") }),
                None => Self::Transport { reason: close.to_string() },
            },
            ConnectionError::TransportError(error) => match alert(error.code.into()) {
                Some(number) if ALERTS_ABOUT_CERTIFICATES.iter().any(|(known, _)| *known == number) => {
                    Self::UntrustedPeer { reason: error.reason }
                }
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::VersionMismatch {
                    ours: ALPN_MESSAGES,
                    detail: "the peer asked for another".to_owned(),
                },
                _ => Self::Transport { reason: error.to_string() },
            },
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::ClosedLocally,
            other => Self::Transport { reason: other.to_string() },
        }
    }
}

fn named(leader: Option<SocketAddr>) -> String {
    leader.map_or_else(|| "none is known to".to_owned(), |leader| format!("the one at {leader} does"))
}

/// The number of the TLS alert that a QUIC error code stands for.
fn alert(code: u64) -> Option<u64> {
    TLS_ALERTS.contains(&code).then(|| code - TLS_ALERT_BASE)
}

impl From<ReadError> for NetError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::Reset(code) => Self::StreamReset { code: code.into_inner() },
            other => Self::Transport { reason: other.to_string() },
        }
    }
}

impl From<WriteError> for NetError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::Stopped(code) => Self::StreamReset { code: code.into_inner() },
            other => Self::Transport { reason: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_survive_the_wire() {
        for (code, number) in CLOSE_CODES {
            assert_eq!(VarInt::from(code), VarInt::from_u32(number));
            assert_eq!(CloseCode::from(VarInt::from_u32(number)), code);
        }
        assert_eq!(CloseCode::from(VarInt::from_u32(99)), CloseCode::Other(99));
        assert_eq!(VarInt::from(CloseCode::Other(99)), VarInt::from_u32(99));
    }
}
