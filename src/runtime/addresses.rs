//! Where a peer may be, and how it is found.

use std::collections::VecDeque;
use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::net::{self, Credentials, JoinToken, NetError, Settings};

/// So long one address is tried alone before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// A master that does not lead is asked again after this time whether it does now.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where a peer may be: one address, or those of a cluster's masters. Written as `ADDRESS:PORT[,...]`, all of one version of IP.
///
/// Of masters they need not be all: those that do not lead tell where the one that does is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// All addresses.
    pub fn all(&self) -> &[SocketAddr] {
        &self.0
    }

    /// These addresses, and those that are only in `others`.
    #[must_use]
    pub fn and(mut self, others: &Addresses) -> Self {
        let new: Vec<_> = others.0.iter().filter(|other| !self.0.contains(other)).copied().collect();
        self.0.extend(new);
        self
    }

    /// The first address.
    pub fn first(&self) -> SocketAddr {
        // There is one, by construction.
        self.0[0]
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Addresses(vec![address])
    }
}

impl TryFrom<String> for Addresses {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, AddrParseError> {
        text.parse()
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> Self {
        addresses.to_string()
    }
}

impl FromStr for Addresses {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.split(',').map(|address| address.trim().parse()).collect::<Result<_, _>>().map(Addresses)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, address) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

/// Connects with the first of these addresses where that succeeds; where a master names the leader, there too. Addresses that do not
/// answer hold up the others little: as long as one of them is waited for, those that do not lead are asked again whether they do now.
///
/// # Errors
/// One of those with which every try has failed: one that may pass, if there is one.
pub(super) async fn find<T, F>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(SocketAddr, T), NetError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, NetError>> + Send + 'static,
{
    let mut waiting = VecDeque::from(addresses.to_vec());
    let mut named = Vec::new();
    let mut tries = JoinSet::new();
    let mut unanswered = addresses.to_vec();
    let mut failure = None;
    while !unanswered.is_empty() {
        if let Some(address) = waiting.pop_front() {
            let connecting = connect(address);
            tries.spawn(async move { (address, connecting.await) });
        }
        let ended = if waiting.is_empty() {
            tries.join_next().await
        } else {
            match tokio::time::timeout(STAGGER, tries.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        let (address, error) = match ended {
            Some(Ok((address, Ok(found)))) => return Ok((address, found)),
            Some(Ok((address, Err(error)))) => (address, error),
            // A try that panicked has said so.
            Some(Err(_)) => continue,
            None if waiting.is_empty() => break,
            None => continue,
        };
        unanswered.retain(|unanswered| *unanswered != address);
        if let NetError::NotLeader { leader } = error {
            match leader {
                // One that was tried may lead by now; once more tells.
                Some(leader) if !named.contains(&leader) && !unanswered.contains(&leader) => {
                    named.push(leader);
                    unanswered.push(leader);
                    waiting.push_front(leader);
                }
                _ => {
                    let connecting = connect(address);
                    tries.spawn(async move {
                        tokio::time::sleep(ASK_AGAIN).await;
                        (address, connecting.await)
                    });
                }
            }
        }
        if failure.as_ref().is_none_or(is_final) {
            failure = Some(error);
        }
    }
    Err(failure.unwrap_or(NetError::TimedOut))
}

/// Joins the cluster of these masters under `name`, with a fresh key: see [`net::join`](crate::net::join()).
///
/// # Errors
/// As those of [`net::join`](crate::net::join()).
pub async fn join(masters: &Addresses, token: &JoinToken, name: &str) -> Result<Credentials, NetError> {
    let connect = |master| {
        let (token, name) = (token.clone(), name.to_owned());
        async move { net::join(master, &token, &name, &Settings::default()).await }
    };
    find(masters.all(), connect).await.map(|(_, credentials)| credentials)
}

/// Whether trying again can't help.
pub(super) fn is_final(error: &NetError) -> bool {
    matches!(
        error,
        NetError::VersionMismatch { .. }
            | NetError::UntrustedPeer { .. }
            | NetError::CertificateRefused { .. }
            | NetError::NoCertificate
            | NetError::UnexpectedPeer { .. }
            | NetError::RoleRefused { .. }
            | NetError::Join(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn lists_of_addresses_print_and_parse() {
        let addresses: Addresses = "10.0.0.1:1, 10.0.0.1:2".parse().unwrap();
        assert_eq!(addresses.all(), [address(1), address(2)]);
        assert_eq!(addresses.to_string().parse(), Ok(addresses));
        for wrong in ["", "10.0.0.1", "10.0.0.1:1,"] {
            assert!(wrong.parse::<Addresses>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_leader_is_found_where_a_standby_says() {
        let connect = |at: SocketAddr| async move {
            match at.port() {
                1 => Err(NetError::Refused { address: at }),
                2 => Err(NetError::NotLeader { leader: Some(address(9)) }),
                _ => Ok(()),
            }
        };
        assert_eq!(find(&[address(1), address(2)], connect).await.unwrap(), (address(9), ()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_holds_up_the_others_little() {
        let connect = |at: SocketAddr| async move {
            if at.port() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(())
        };
        let found = tokio::time::timeout(2 * STAGGER, find(&[address(1), address(2)], connect)).await;
        assert_eq!(found.unwrap().unwrap(), (address(2), ()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_elected_is_found_while_another_does_not_answer() {
        let elected = tokio::time::Instant::now() + Duration::from_secs(3);
        let connect = |at: SocketAddr| async move {
            match at.port() {
                1 => std::future::pending().await,
                2 if tokio::time::Instant::now() >= elected => Ok(()),
                2 => Err(NetError::NotLeader { leader: Some(address(1)) }),
                _ => Err(NetError::NotLeader { leader: None }),
            }
        };
        let addresses = [address(1), address(2), address(3)];
        assert_eq!(find(&addresses, connect).await.unwrap(), (address(2), ()));
        assert!(elected.elapsed() < 2 * ASK_AGAIN);
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_told_before_one_that_will_not() {
        let connect = |at: SocketAddr| async move {
            match at.port() {
                1 => Err::<(), _>(NetError::NoCertificate),
                _ => Err(NetError::Refused { address: at }),
            }
        };
        let error = find(&[address(1), address(2)], connect).await.unwrap_err();
        assert!(matches!(error, NetError::Refused { .. }), "{error}");
        let error = find(&[address(1)], connect).await.unwrap_err();
        assert!(matches!(error, NetError::NoCertificate), "{error}");
    }
}
