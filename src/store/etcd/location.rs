//! How an etcd cluster is named on a command line.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How such a text begins.
const SCHEME: &str = "etcd://";

/// Where an etcd cluster is, and under which prefix a cluster's records are there: `etcd://HOST:PORT[,HOST:PORT...]/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdLocation {
    endpoints: Vec<String>,
    prefix: String,
}

/// Why a text names no etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write etcd://HOST:PORT[,HOST:PORT...]/PREFIX")]
pub struct EtcdLocationError {
    problem: String,
}

impl EtcdLocation {
    /// Host and port of members.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Whether all members are on this machine, as far as their names tell.
    pub fn is_local(&self) -> bool {
        self.endpoints.iter().all(|endpoint| {
            let host = endpoint.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
            host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        })
    }

    /// Under which the records are, with a slash before it and none after.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for EtcdLocation {
    type Err = EtcdLocationError;

    fn from_str(text: &str) -> Result<Self, EtcdLocationError> {
        let wrong = |problem: String| EtcdLocationError { problem };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| wrong(format!("{text:?} does not begin with {SCHEME}")))?;
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if prefix.is_empty() {
            return Err(wrong("the prefix is missing that sets this cluster's records apart".to_owned()));
        }
        let mut endpoints = Vec::new();
        for endpoint in hosts.split(',') {
            let port = endpoint.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            match port.map(str::parse::<u16>) {
                Some(Ok(_)) => endpoints.push(endpoint.to_owned()),
                _ => return Err(wrong(format!("{endpoint:?} is no HOST:PORT"))),
            }
        }
        Ok(EtcdLocation { endpoints, prefix: format!("/{prefix}") })
    }
}

impl fmt::Display for EtcdLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.endpoints.join(","), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_print_and_parse() {
        let text = "etcd://10.0.0.1:2379,etcd2:2379/clusters/blue";
        let location: EtcdLocation = text.parse().unwrap();
        assert_eq!(location.endpoints(), ["10.0.0.1:2379", "etcd2:2379"]);
        assert_eq!(location.prefix(), "/clusters/blue");
        assert_eq!(location.to_string(), text);
        for (text, is_local) in [
            ("etcd://127.0.0.1:1,[::1]:2,localhost:3/x", true),
            ("etcd://127.0.0.1:1,10.0.0.1:2/x", false),
            ("etcd://etcd1:2379/x", false),
        ] {
            assert_eq!(text.parse::<EtcdLocation>().unwrap().is_local(), is_local, "{text}");
        }
        for wrong in ["redb://x", "etcd://host/blue", "etcd://:1/blue", "etcd://host:1", "etcd://host:1//"] {
            let error = wrong.parse::<EtcdLocation>().unwrap_err();
            assert!(error.to_string().contains("etcd://HOST:PORT"), "{wrong}: {error}");
        }
    }
}
