//! Real etcd clusters for tests, on this machine.

mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
pub(crate) use tls::TlsFiles;

/// How long a cluster may take to elect its own leader.
const PATIENCE: Duration = Duration::from_secs(60);

/// Members of one etcd cluster, which end with it.
pub(crate) struct EtcdCluster {
    members: Vec<Child>,
    /// Where the members take clients.
    pub(crate) addresses: Vec<SocketAddr>,
    _folder: TempDir,
}

impl EtcdCluster {
    /// A cluster of so many members; `None` where etcd is not installed, which is said. In CI it must be.
    #[allow(dead_code, reason = "not every test has its members here")]
    pub(crate) fn start(members: usize) -> Option<Self> {
        let places = free_addresses(members).into_iter().zip(free_addresses(members)).collect();
        Self::start_at(places, |_, etcd| etcd)
    }

    /// One member, which takes those alone who show a certificate; returns also files of those that it takes.
    #[allow(dead_code, reason = "not every test needs one")]
    pub(crate) fn start_with_tls() -> Option<(Self, TlsFiles)> {
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsFiles::make(folder.path());
        let places = free_addresses(1).into_iter().zip(free_addresses(1)).collect();
        let cluster = Self::start_in(folder, places, Some(&files), |_, etcd| etcd)?;
        Some((cluster, files))
    }

    /// The same, whose members take clients and each other at these addresses; `place` lets a member run where it should.
    pub(crate) fn start_at(
        places: Vec<(SocketAddr, SocketAddr)>,
        place: impl Fn(usize, Command) -> Command,
    ) -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a folder"), places, None, place)
    }

    fn start_in(
        folder: TempDir,
        places: Vec<(SocketAddr, SocketAddr)>,
        tls: Option<&TlsFiles>,
        place: impl Fn(usize, Command) -> Command,
    ) -> Option<Self> {
        if Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "etcd is not installed: run .ci/install-packages");
            eprintln!("skipped: etcd is not installed; .ci/install-packages installs it");
            return None;
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (clients, peers): (Vec<_>, Vec<_>) = places.into_iter().unzip();
        let named = peers.iter().enumerate().map(|(number, peer)| format!("m{number}=http://{peer}"));
        let initial = named.collect::<Vec<_>>().join(",");
        let start = |number: usize| {
            let (name, client, peer) = (format!("m{number}"), clients[number], peers[number]);
            let (client, peer) = (format!("{scheme}://{client}"), format!("http://{peer}"));
            let mut etcd = Command::new("etcd");
            etcd.args(["--name", &name, "--initial-cluster", &initial, "--logger", "zap"])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .arg("--data-dir")
                .arg(folder.path().join(&name));
            if let Some(TlsFiles { authority, certificate, key }) = tls {
                etcd.arg("--client-cert-auth").arg("--trusted-ca-file").arg(authority);
                etcd.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
            }
            place(number, etcd).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcd starts")
        };
        let members = (0..clients.len()).map(start).collect();
        let cluster = EtcdCluster { members, addresses: clients, _folder: folder };
        let begun = Instant::now();
        while !cluster.addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            assert!(begun.elapsed() < PATIENCE, "etcd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(cluster)
    }

    /// As `apportion master --store` takes it.
    pub(crate) fn location(&self) -> String {
        location(&self.addresses)
    }

    /// The member that leads the others.
    #[allow(dead_code, reason = "not every test needs to know")]
    pub(crate) fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.addresses.iter().position(|address| leads(*address)) {
                return leader;
            }
            assert!(begun.elapsed() < PATIENCE, "etcd has no leader");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a member a signal, such as `-STOP`.
    pub(crate) fn signal(&self, member: usize, signal: &str) {
        let id = self.members[member].id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
}

/// Whether the member at this address says that it leads.
#[allow(dead_code, reason = "not every test needs to know")]
fn leads(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut member = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        // One that is stopped takes connections all the same.
        member.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(member, "POST /v3/maintenance/status HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}")?;
        let mut answer = String::new();
        member.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let Ok(answer) = ask() else { return false };
    let Some((_, status)) = answer.split_once("\r\n\r\n") else { return false };
    let status: serde_json::Value = serde_json::from_str(status).expect("etcd answers in JSON");
    status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended already.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// Members at these addresses, and the prefix that the tests use.
pub(crate) fn location(addresses: &[SocketAddr]) -> String {
    let hosts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    format!("etcd://{}/test", hosts.join(","))
}

/// Addresses that nobody listens at now. etcd must be told its own beforehand.
fn free_addresses(number: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> =
        (0..number).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}
