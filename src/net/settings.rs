//! What can be tuned about connections, and how it becomes QUIC's configuration.

use std::{net::IpAddr, sync::Arc, time::Duration};

use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Four of these fit into the idle timeout, so that three lost packets end nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A machine that is silent for this long is gone, or its network is.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Covers a master that takes in all its agents at once after a restart.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// At a round trip of 1 ms this is 1 GB/s, and it stays in the processor's cache: 8 MiB measure a tenth slower (`benches/wire.rs`).
const WINDOW_BYTES: u32 = 1 << 20;

/// A master's one socket takes the bursts of all its agents.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Large, and just below where segmentation offload must end: a tenth faster than Ethernet's size (`benches/wire.rs`). Larger payloads
/// gain a little more, but multiply the endpoint's receive buffer.
const LOOPBACK_MTU_BYTES: u16 = 6400;

/// Round trips are guessed at this before they are measured: machines of a cluster are near, and QUIC's own guess of 333 ms would delay
/// each repair in a handshake by a second.
const INITIAL_RTT: Duration = Duration::from_millis(20);

/// So many packets are acknowledged together when they come thick and fast.
const ACKNOWLEDGED_PACKETS: u32 = 16;

/// Streams that a peer may have open: the main one, and those for logs and files. Times the window, what one peer can make us hold.
const MAX_CONCURRENT_STREAMS: u32 = 64;

/// Largest UDP payload to probe for on a network: Ethernet's, without jumbo frames.
const NETWORK_MTU_BYTES: u16 = 1452;

/// From this payload on, segmentation offload could pass what the kernel takes at once (64 KiB in up to ten segments).
const OFFLOAD_LIMIT_BYTES: u16 = 6500;

/// What can be tuned about an endpoint's connections. The defaults suit a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How this program names itself to its peers, for their logs.
    pub software: String,
    /// How often a silent connection says that it lives. Shorter than the idle timeout.
    pub keep_alive: Duration,
    /// After how long a silent peer counts as gone.
    pub idle_timeout: Duration,
    /// How long a connection may take until both hellos are exchanged.
    pub handshake_timeout: Duration,
    /// Whether newcomers may ask to join here.
    pub joins: bool,
    /// How many bytes a peer may send ahead of our reading, on each stream, so that one that nobody reads holds up no other; and how many
    /// we send ahead of the peer's acknowledgements.
    pub window_bytes: u32,
    /// Largest UDP payload on the loopback interface, whose packets may be larger than a network's; at least 1452 bytes count.
    pub loopback_mtu_bytes: u16,
    /// Socket buffers to ask the system for, in bytes; it may grant less.
    pub socket_buffer_bytes: usize,
}

/// Fewer of QUIC's own acknowledgements: each costs as much as a packet with messages. Losses are found by time and by gaps as before.
fn acknowledgements() -> AckFrequencyConfig {
    let mut config = AckFrequencyConfig::default();
    config.ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_PACKETS));
    config
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            software: concat!("apportion/", env!("CARGO_PKG_VERSION")).to_owned(),
            keep_alive: KEEP_ALIVE,
            idle_timeout: IDLE_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            joins: false,
            window_bytes: WINDOW_BYTES,
            loopback_mtu_bytes: LOOPBACK_MTU_BYTES,
            socket_buffer_bytes: SOCKET_BUFFER_BYTES,
        }
    }
}

impl Settings {
    pub(super) fn endpoint(&self) -> EndpointConfig {
        let mut config = EndpointConfig::default();
        // Refused only below 1200 bytes, which QUIC requires; then the default stays.
        let _ = config.max_udp_payload_size(self.loopback_mtu_bytes.max(NETWORK_MTU_BYTES));
        config
    }

    /// The transport for connections with a peer at `address`.
    pub(super) fn transport(&self, address: IpAddr) -> Arc<TransportConfig> {
        let mtu =
            if address.to_canonical().is_loopback() { self.loopback_mtu_bytes } else { NETWORK_MTU_BYTES };
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(mtu);

        let idle_ms = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(MAX_CONCURRENT_STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
            .stream_receive_window(VarInt::from_u32(self.window_bytes))
            .send_window(self.window_bytes.into())
            .initial_rtt(INITIAL_RTT)
            .mtu_discovery_config(Some(discovery))
            .ack_frequency_config(Some(acknowledgements()))
            .enable_segmentation_offload(mtu < OFFLOAD_LIMIT_BYTES);
        Arc::new(config)
    }
}
