//! A network that loses, delays, repeats and reorders datagrams, or carries none at all.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Stands between clients and a server; clients take its address for the server's.
pub(crate) struct Network {
    address: SocketAddr,
    quality: Arc<Quality>,
}

/// How the network is now.
struct Quality {
    is_cut: AtomicBool,
    /// How many of a hundred datagrams are lost; as many arrive twice, and as many late.
    loss_percent: AtomicU32,
    is_over: AtomicBool,
}

impl Network {
    /// A perfect network in front of a server. What happens to a datagram follows from the seed and the number of the datagram.
    pub(crate) fn before(server: SocketAddr, seed: u64) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = front.local_addr().expect("it is bound");
        let quality = Arc::new(Quality {
            is_cut: AtomicBool::new(false),
            loss_percent: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
        });
        let carrier =
            Carrier { front, server, quality: quality.clone(), random: seed, clients: HashMap::new() };
        std::thread::spawn(move || carrier.carry());
        Network { address, quality }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it carries anything.
    pub(crate) fn set_cut(&self, is_cut: bool) {
        self.quality.is_cut.store(is_cut, Ordering::Relaxed);
    }

    pub(crate) fn lose_percent(&self, percent: u32) {
        self.quality.loss_percent.store(percent, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.quality.is_over.store(true, Ordering::Relaxed);
    }
}

/// What a late datagram is late by.
const DELAY: Duration = Duration::from_millis(40);

/// How often sockets without a datagram are looked at.
const POLL: Duration = Duration::from_micros(200);

struct Carrier {
    front: UdpSocket,
    server: SocketAddr,
    quality: Arc<Quality>,
    random: u64,
    /// The socket towards the server of each client.
    clients: HashMap<SocketAddr, Arc<UdpSocket>>,
}

/// A datagram on its way: through which socket, to whom.
type Parcel = (Arc<UdpSocket>, SocketAddr, Vec<u8>);

impl Carrier {
    fn carry(mut self) {
        self.front.set_nonblocking(true).expect("a socket");
        let front = Arc::new(self.front.try_clone().expect("a socket"));
        let mut late: BTreeMap<(Instant, u64), Parcel> = BTreeMap::new();
        let mut buffer = vec![0; 1 << 16];
        let mut number = 0;
        while !self.quality.is_over.load(Ordering::Relaxed) {
            let mut arrived: Vec<Parcel> = Vec::new();
            while let Ok((length, client)) = self.front.recv_from(&mut buffer) {
                arrived.push((self.socket_of(client), self.server, buffer[..length].to_vec()));
            }
            for (client, socket) in &self.clients {
                while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                    arrived.push((front.clone(), *client, buffer[..length].to_vec()));
                }
            }
            let is_idle = arrived.is_empty();
            for parcel in arrived {
                number += 1;
                for delay in self.fates() {
                    late.insert(
                        (Instant::now() + delay, number * 2 + u64::from(delay.is_zero())),
                        parcel.clone(),
                    );
                }
            }
            while late.first_key_value().is_some_and(|((due, _), _)| *due <= Instant::now()) {
                let Some((_, (socket, to, bytes))) = late.pop_first() else { break };
                // What a socket does not take is lost.
                let _ = socket.send_to(&bytes, to);
            }
            if is_idle {
                std::thread::sleep(POLL);
            }
        }
    }

    fn socket_of(&mut self, client: SocketAddr) -> Arc<UdpSocket> {
        let open = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            Arc::new(socket)
        };
        self.clients.entry(client).or_insert_with(open).clone()
    }

    /// After which delays a datagram arrives; it can do so twice, or never.
    fn fates(&mut self) -> Vec<Duration> {
        if self.quality.is_cut.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let percent = self.quality.loss_percent.load(Ordering::Relaxed);
        let dice = self.roll();
        match dice {
            _ if dice < percent => Vec::new(),
            _ if dice < 2 * percent => vec![Duration::ZERO, DELAY],
            _ if dice < 3 * percent => vec![DELAY],
            _ => vec![Duration::ZERO],
        }
    }

    /// A number below 100. (SplitMix64, Steele et al. 2014.)
    fn roll(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % 100) as u32
    }
}
