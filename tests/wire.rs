//! The wire, with real QUIC on the loopback interface: members, newcomers and strangers.
#![cfg(feature = "runtime")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use apportion::{
    net::{
        ALPN_MESSAGES, Accepted, CertificateAuthority, CloseCode, Connection, Credentials, Digest, Endpoint,
        Expect, JoinError, JoinSecret, JoinToken, NetError, OutboxError, Settings, TokenBook, join,
    },
    protocol::{
        codec::{MAX_FRAME_BYTES, encode_frame},
        identity::{Identity, IdentityKind},
    },
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Message {
    Number(u64),
    Text(String),
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const ANY_MASTER: Expect = Expect::Kind(IdentityKind::Master);

fn identity(kind: IdentityKind) -> Identity {
    Identity::new("test", kind, "x").unwrap()
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("test").unwrap()
}

fn master(authority: &CertificateAuthority) -> Endpoint {
    let credentials = authority.issue(&identity(IdentityKind::Master)).unwrap();
    Endpoint::server(LOOPBACK, &credentials, Settings { joins: true, ..Settings::default() }).unwrap()
}

fn client(authority: &CertificateAuthority, kind: IdentityKind) -> Endpoint {
    let credentials = authority.issue(&identity(kind)).unwrap();
    Endpoint::client(LOOPBACK, &credentials, Settings::default()).unwrap()
}

async fn accept(server: &Endpoint) -> Result<Accepted, NetError> {
    server.accept().await.expect("the endpoint is open").establish().await
}

async fn accept_member(server: &Endpoint) -> Connection {
    match accept(server).await.unwrap() {
        Accepted::Member(connection) => *connection,
        Accepted::Newcomer(request) => panic!("not a member: {request:?}"),
    }
}

/// An agent's connection to a master, from both ends, and what keeps it alive.
async fn pair() -> (Connection, Connection, (Endpoint, Endpoint)) {
    let authority = authority();
    let (server, client) = (master(&authority), client(&authority, IdentityKind::Agent));
    let (connected, accepted) =
        tokio::join!(client.connect(server.local_address(), &ANY_MASTER), accept_member(&server));
    (connected.unwrap(), accepted, (server, client))
}

/// A QUIC client that keeps to no rules but TLS's.
async fn stranger(address: SocketAddr, credentials: &Credentials, shows: bool, protocol: &str) -> Stranger {
    let pem = credentials.to_pem();
    let pem = pem.as_bytes();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[1].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll(provider)));
    let mut config = if shows {
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pem).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
    let connecting =
        endpoint.connect_with(quinn::ClientConfig::new(Arc::new(crypto)), address, "any").unwrap();
    Stranger { result: connecting.await, _endpoint: endpoint }
}

struct Stranger {
    result: Result<quinn::Connection, quinn::ConnectionError>,
    _endpoint: quinn::Endpoint,
}

impl Stranger {
    /// Sends bytes on the main stream and waits for the server's word.
    async fn send(self, bytes: &[u8]) -> String {
        let connection = match self.result {
            Ok(connection) => connection,
            Err(error) => return error.to_string(),
        };
        if let Ok((mut send, _receive)) = connection.open_bi().await {
            // The server may refuse before it has read everything.
            let _ = send.write_all(bytes).await;
            return connection.closed().await.to_string();
        }
        connection.closed().await.to_string()
    }
}

#[derive(Debug)]
struct TrustsAll(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A hello as it is on the wire.
fn hello(role: IdentityKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_frame(&(role, "stranger"), &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn both_sides_know_each_other_and_exchange_messages() {
    let (agent, master, _endpoints) = pair().await;
    assert_eq!(agent.peer(), &identity(IdentityKind::Master));
    assert_eq!(master.peer(), &identity(IdentityKind::Agent));
    assert!(master.software().starts_with("apportion/"));

    let (to_master, sender, mut from_master) = agent.split::<Message, Message>();
    let (to_agent, answers, mut from_agent) = master.split::<Message, Message>();
    let (sender, answers) = (tokio::spawn(sender.drive()), tokio::spawn(answers.drive()));

    to_master.push(Message::Text("register".into())).unwrap();
    let mut batch = Vec::new();
    assert_eq!(from_agent.recv_batch(&mut batch).await.unwrap(), 1);
    to_agent.push(Message::Number(7)).unwrap();
    assert_eq!(from_master.recv_batch(&mut batch).await.unwrap(), 1);
    assert_eq!(batch, [Message::Text("register".into()), Message::Number(7)]);

    drop((to_master, to_agent));
    assert_eq!(from_agent.recv_batch(&mut batch).await.unwrap(), 0);
    assert_eq!(from_master.recv_batch(&mut batch).await.unwrap(), 0);
    sender.await.unwrap().unwrap();
    answers.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hundred_thousand_messages_come_in_order() {
    const COUNT: u64 = 100_000;
    let (agent, master, _endpoints) = pair().await;
    let (outbox, sender, _unused) = agent.split::<Message, Message>();
    let (_quiet, _unsent, mut receiver) = master.split::<Message, Message>();
    let driver = tokio::spawn(sender.drive());
    for chunk in (0..COUNT).collect::<Vec<_>>().chunks(1000) {
        outbox.push_all(chunk.iter().map(|number| Message::Number(*number))).unwrap();
    }
    drop(outbox);
    let mut received = Vec::new();
    while receiver.recv_batch(&mut received).await.unwrap() > 0 {}
    assert!(received.iter().cloned().eq((0..COUNT).map(Message::Number)));
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_outbox_says_so_and_queues_nothing() {
    let (agent, _master, _endpoints) = pair().await;
    let (outbox, sender, _receiver) = agent.split_with_limit::<Message, Message>(3);
    outbox.push(Message::Number(1)).unwrap();
    let refused = outbox.push_all([2, 3, 4].map(Message::Number));
    assert_eq!(refused, Err(OutboxError::Full { limit: 3 }));
    assert_eq!(outbox.len(), 1);
    drop(sender);
    assert_eq!(outbox.push(Message::Number(2)), Err(OutboxError::Closed));
}

#[tokio::test]
async fn an_outbox_is_bounded_by_bytes_too() {
    let (agent, _master, _endpoints) = pair().await;
    let (outbox, _sender, _receiver) = agent.split::<Message, Message>();
    let mebibyte = "x".repeat(1 << 20);
    let error = loop {
        match outbox.push(Message::Text(mebibyte.clone())) {
            Ok(()) => assert!(outbox.len() < 64),
            Err(error) => break error,
        }
    };
    assert_eq!((error, outbox.len()), (OutboxError::TooLarge { limit_bytes: 64 << 20 }, 63));
}

#[tokio::test]
async fn bulk_streams_carry_frames_then_bytes_beside_the_messages() {
    let (agent, master, _endpoints) = pair().await;
    let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let send = async {
        let (mut writer, _reader) = agent.link().open_bulk().await.unwrap();
        writer.write_frame(&Message::Text("stdout".into())).await.unwrap();
        writer.write_all(&content).await.unwrap();
        writer.shutdown().await.unwrap();
        agent.link().closed().await
    };
    let receive = async {
        let (_writer, mut reader) = master.link().accept_bulk().await.unwrap();
        let about: Message = reader.read_frame().await.unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        master.link().close(CloseCode::Replaced, "a newer connection took over");
        (about, bytes)
    };
    let (end, (about, bytes)) = tokio::join!(send, receive);
    assert_eq!((about, bytes == content), (Message::Text("stdout".into()), true));
    assert_eq!(end.to_string(), "closed by the peer (replaced): a newer connection took over");
}

#[tokio::test]
async fn a_bulk_stream_that_nobody_reads_holds_up_no_messages() {
    let (agent, master, _endpoints) = pair().await;
    let (mut writer, _reader) = agent.link().open_bulk().await.unwrap();
    // Twice what may be under way, so the writing can't end.
    let content = vec![0; 2 * Settings::default().window_bytes as usize];
    let blocked = tokio::spawn(async move { writer.write_all(&content).await });
    let _unread = master.link().accept_bulk().await.unwrap();

    let (outbox, sender, _receiver) = agent.split::<Message, Message>();
    let (_outbox, _sender, mut receiver) = master.split::<Message, Message>();
    tokio::spawn(sender.drive());
    for number in 0..100 {
        outbox.push(Message::Text("x".repeat(50_000))).unwrap();
        outbox.push(Message::Number(number)).unwrap();
    }
    let mut received = Vec::new();
    while received.len() < 200 {
        receiver.recv_batch(&mut received).await.unwrap();
    }
    assert!(!blocked.is_finished());
}

#[tokio::test]
async fn hostile_bytes_close_that_connection_alone() {
    let authority = authority();
    let server = master(&authority);
    let (good, agent) =
        (client(&authority, IdentityKind::Agent), authority.issue(&identity(IdentityKind::Agent)).unwrap());
    let (connected, accepted) =
        tokio::join!(good.connect(server.local_address(), &ANY_MASTER), accept_member(&server));
    let (outbox, sender, _receiver) = connected.unwrap().split::<Message, Message>();
    tokio::spawn(sender.drive());
    let (_outbox, _sender, mut from_good) = accepted.split::<Message, Message>();

    let mut bytes = hello(IdentityKind::Agent);
    bytes.extend_from_slice(&[3, 0, 0, 0, 0xff, 0xff, 0xff]);
    let serve = async {
        let (_outbox, _sender, mut receiver) = accept_member(&server).await.split::<Message, Message>();
        receiver.recv_batch(&mut Vec::new()).await.unwrap_err()
    };
    let hostile =
        async { stranger(server.local_address(), &agent, true, ALPN_MESSAGES).await.send(&bytes).await };
    let (error, told) = tokio::join!(serve, hostile);
    assert_eq!(error.close_code(), CloseCode::Malformed);
    assert!(told.contains("not a valid wire::Message") && told.contains("code 1"), "{told}");

    outbox.push(Message::Number(1)).unwrap();
    assert_eq!(from_good.recv_batch(&mut Vec::new()).await.unwrap(), 1);
}

#[tokio::test]
async fn an_oversized_frame_is_refused_by_its_length() {
    let authority = authority();
    let server = master(&authority);
    let agent = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let mut bytes = hello(IdentityKind::Agent);
    bytes.extend_from_slice(&(MAX_FRAME_BYTES as u32 + 1).to_le_bytes());
    let serve = async {
        let (_outbox, _sender, mut receiver) = accept_member(&server).await.split::<Message, Message>();
        receiver.recv_batch(&mut Vec::new()).await.unwrap_err()
    };
    let hostile =
        async { stranger(server.local_address(), &agent, true, ALPN_MESSAGES).await.send(&bytes).await };
    let (error, told) = tokio::join!(serve, hostile);
    assert_eq!(error.close_code(), CloseCode::Oversized);
    assert!(told.contains("a frame of 16777217 bytes exceeds the limit of 16777216"), "{told}");
}

#[tokio::test]
async fn a_message_too_large_to_send_ends_the_connection_on_both_sides() {
    let (agent, master, _endpoints) = pair().await;
    let (outbox, sender, _receiver) = agent.split::<Message, Message>();
    let (_outbox, _sender, mut receiver) = master.split::<Message, Message>();
    outbox.push(Message::Text("x".repeat(MAX_FRAME_BYTES))).unwrap();
    let mut none = Vec::new();
    let (sent, received) = tokio::join!(sender.drive(), receiver.recv_batch(&mut none));
    assert!(matches!(sent, Err(NetError::Codec(_))), "{sent:?}");
    assert!(
        matches!(received, Err(NetError::ClosedByPeer { code: CloseCode::Internal, .. })),
        "{received:?}"
    );
}

#[tokio::test]
async fn a_client_of_a_later_version_is_told_which_we_speak() {
    let authority = authority();
    let server = master(&authority);
    let agent = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let client =
        async { stranger(server.local_address(), &agent, true, "apportion/2").await.send(&[]).await };
    let (error, told) = tokio::join!(accept(&server), client);
    let text = "no common protocol version: this side speaks apportion/1; the peer asked for apportion/2";
    assert_eq!(error.unwrap_err().to_string(), text);
    assert!(told.contains(text), "{told}");
}

#[tokio::test]
async fn a_server_of_another_version_is_named_as_such() {
    let authority = authority();
    let credentials = authority.issue(&identity(IdentityKind::Master)).unwrap();
    let pem = credentials.to_pem();
    let pem = pem.as_bytes();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect();
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pem).unwrap())
            .unwrap();
    config.alpn_protocols = vec![b"apportion/99".to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let server =
        quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(crypto)), LOOPBACK).unwrap();
    let client = client(&authority, IdentityKind::Agent);
    let serve = async { server.accept().await.unwrap().await.unwrap_err() };
    let (error, _) = tokio::join!(client.connect(server.local_addr().unwrap(), &ANY_MASTER), serve);
    let error = error.unwrap_err();
    assert!(matches!(error, NetError::VersionMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("this side speaks apportion/1"), "{error}");
}

#[tokio::test]
async fn a_server_of_a_foreign_authority_is_not_trusted() {
    let server = master(&authority());
    let client = client(&authority(), IdentityKind::Agent);
    let (refused, served) =
        tokio::join!(client.connect(server.local_address(), &ANY_MASTER), accept(&server));
    let error = refused.unwrap_err();
    assert!(matches!(error, NetError::UntrustedPeer { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("the peer's certificate is not trusted: invalid peer certificate"),
        "{error}"
    );
    assert!(matches!(served.unwrap_err(), NetError::CertificateRefused { .. }));
}

#[tokio::test]
async fn a_client_of_a_foreign_authority_is_refused() {
    let (ours, foreign) = (authority(), authority());
    let server = master(&ours);
    let credentials =
        foreign.issue(&identity(IdentityKind::Agent)).unwrap().trusting(ours.certificate_pem()).unwrap();
    let client = Endpoint::client(LOOPBACK, &credentials, Settings::default()).unwrap();
    let (refused, served) =
        tokio::join!(client.connect(server.local_address(), &ANY_MASTER), accept(&server));
    let error = refused.unwrap_err();
    assert!(matches!(error, NetError::CertificateRefused { .. }), "{error:?}");
    assert!(matches!(served.unwrap_err(), NetError::UntrustedPeer { .. }));
}

#[tokio::test]
async fn several_authorities_may_be_trusted() {
    let (cluster, executors) = (authority(), authority());
    let agent =
        cluster.issue(&identity(IdentityKind::Agent)).unwrap().trusting(executors.certificate_pem()).unwrap();
    let server = Endpoint::server(LOOPBACK, &agent, Settings::default()).unwrap();
    let executor = executors
        .issue(&identity(IdentityKind::Executor))
        .unwrap()
        .trusting(cluster.certificate_pem())
        .unwrap();
    let client = Endpoint::client(LOOPBACK, &executor, Settings::default()).unwrap();
    let expect = Expect::Exactly(identity(IdentityKind::Agent));
    let (connected, accepted) =
        tokio::join!(client.connect(server.local_address(), &expect), accept_member(&server));
    assert_eq!(connected.unwrap().peer(), &identity(IdentityKind::Agent));
    assert_eq!(accepted.peer(), &identity(IdentityKind::Executor));
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_no_stream() {
    let authority = authority();
    let server = master(&authority);
    let agent = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let hello = hello(IdentityKind::Agent);
    let client =
        async { stranger(server.local_address(), &agent, false, ALPN_MESSAGES).await.send(&hello).await };
    let (error, told) = tokio::join!(accept(&server), client);
    assert!(matches!(error, Err(NetError::NoCertificate)), "{error:?}");
    assert!(told.contains("a certificate is required, and none was shown"), "{told}");
}

#[tokio::test]
async fn an_agents_certificate_cannot_act_as_a_framework() {
    let authority = authority();
    let server = master(&authority);
    let agent = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let hello = hello(IdentityKind::Framework);
    let client =
        async { stranger(server.local_address(), &agent, true, ALPN_MESSAGES).await.send(&hello).await };
    let (error, told) = tokio::join!(accept(&server), client);
    let text = "identity spiffe://test/agent/x may not act as framework";
    assert_eq!(error.unwrap_err().to_string(), text);
    assert!(told.contains(text) && told.contains("code 3"), "{told}");
}

#[tokio::test]
async fn a_trusted_peer_of_the_wrong_kind_is_not_talked_to() {
    let authority = authority();
    let credentials = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let server = Endpoint::server(LOOPBACK, &credentials, Settings::default()).unwrap();
    let client = client(&authority, IdentityKind::Framework);
    let (refused, served) =
        tokio::join!(client.connect(server.local_address(), &ANY_MASTER), accept(&server));
    assert_eq!(refused.unwrap_err().to_string(), "expected any master, found spiffe://test/agent/x");
    let told = served.unwrap_err();
    assert!(matches!(told, NetError::ClosedByPeer { code: CloseCode::WrongIdentity, .. }), "{told:?}");
}

#[tokio::test]
async fn a_server_that_was_killed_and_started_again_says_that_connections_are_lost() {
    let authority = authority();
    let credentials = authority.issue(&identity(IdentityKind::Master)).unwrap();
    // Silence alone would end no connection.
    let settings = Settings {
        keep_alive: Duration::from_millis(50),
        idle_timeout: Duration::from_secs(3600),
        ..Settings::default()
    };
    let (tell, told) = std::sync::mpsc::channel();
    let (kill, killed) = tokio::sync::oneshot::channel();
    let first = settings.clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _kept = runtime.block_on(async {
            let server = Endpoint::server(LOOPBACK, &credentials, first).unwrap();
            tell.send(server.local_address()).unwrap();
            let connection = accept_member(&server).await;
            killed.await.unwrap();
            (server, connection)
        });
        // Nothing is sent any more, and the socket is gone.
        drop(runtime);
    });
    let address = told.recv().unwrap();
    let agent = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let client = Endpoint::client(LOOPBACK, &agent, settings.clone()).unwrap();
    let (_outbox, sender, mut receiver) =
        client.connect(address, &ANY_MASTER).await.unwrap().split::<Message, Message>();
    let _sending = tokio::spawn(sender.drive());
    kill.send(()).unwrap();
    server.join().unwrap();
    // Later credentials of the same party: what peers hold of it lasts.
    let again = authority.issue(&identity(IdentityKind::Master)).unwrap();
    let _again = Endpoint::server(address, &again, settings).unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(30), receiver.recv_batch(&mut Vec::new())).await;
    let error = lost.expect("it is told").unwrap_err();
    assert!(error.to_string().contains("reset"), "{error}");
}

#[tokio::test]
async fn silence_at_the_address_is_a_timeout() {
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let credentials = authority().issue(&identity(IdentityKind::Agent)).unwrap();
    let settings = Settings { handshake_timeout: Duration::from_millis(50), ..Settings::default() };
    let client = Endpoint::client(LOOPBACK, &credentials, settings).unwrap();
    let error = client.connect(silent.local_addr().unwrap(), &ANY_MASTER).await.unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told_at_once() {
    let nobody = std::net::UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let credentials = authority().issue(&identity(IdentityKind::Agent)).unwrap();
    // Only the refusal can end this: no handshake may take too long.
    let settings = Settings { handshake_timeout: Duration::MAX, ..Settings::default() };
    let client = Endpoint::client(LOOPBACK, &credentials, settings).unwrap();
    let error = client.connect(nobody, &ANY_MASTER).await.unwrap_err();
    assert!(matches!(error, NetError::Refused { address } if address == nobody), "{error:?}");
}

/// A master that decides about one newcomer by its book, at a given time.
async fn serve_join(server: &Endpoint, authority: &CertificateAuthority, book: &mut TokenBook, now: u64) {
    match accept(server).await {
        Ok(Accepted::Newcomer(request)) => {
            let decision = book.redeem(now, request.secret(), "test", request.name());
            request.answer(authority, decision).await.unwrap();
        }
        other => panic!("no newcomer: {other:?}"),
    }
}

fn token(book: &mut TokenBook, fingerprint: Digest) -> JoinToken {
    book.create(IdentityKind::Agent, fingerprint, JoinSecret::random().unwrap(), 1000)
}

#[tokio::test]
async fn a_token_admits_once() {
    let (authority, settings) = (authority(), Settings::default());
    let (server, mut book) = (master(&authority), TokenBook::default());
    let token: JoinToken = token(&mut book, authority.fingerprint()).to_string().parse().unwrap();

    let (joined, ()) = tokio::join!(
        join(server.local_address(), &token, "node-1", &settings),
        serve_join(&server, &authority, &mut book, 0)
    );
    let credentials = joined.unwrap();
    assert_eq!(credentials.identity().to_string(), "spiffe://test/agent/node-1");

    let client = Endpoint::client(LOOPBACK, &credentials, settings.clone()).unwrap();
    let (connected, accepted) =
        tokio::join!(client.connect(server.local_address(), &ANY_MASTER), accept_member(&server));
    connected.unwrap();
    assert_eq!(accepted.peer(), credentials.identity());

    let (again, ()) = tokio::join!(
        join(server.local_address(), &token, "node-2", &settings),
        serve_join(&server, &authority, &mut book, 0)
    );
    let error = again.unwrap_err();
    assert!(matches!(error, NetError::Join(JoinError::Used)), "{error:?}");
    assert_eq!(error.to_string(), "join refused: the token was used before; each is good for one join");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let (authority, settings) = (authority(), Settings::default());
    let (server, mut book) = (master(&authority), TokenBook::default());
    let token = token(&mut book, authority.fingerprint());
    let (refused, ()) = tokio::join!(
        join(server.local_address(), &token, "node-1", &settings),
        serve_join(&server, &authority, &mut book, 1500)
    );
    assert!(refused.unwrap_err().to_string().contains("the token expired 500 ms ago"));
}

#[tokio::test]
async fn a_newcomer_does_not_show_its_token_to_another_authority() {
    let (ours, foreign) = (authority(), authority());
    let server = master(&foreign);
    let token = token(&mut TokenBook::default(), ours.fingerprint());
    let settings = Settings::default();
    let (refused, served) =
        tokio::join!(join(server.local_address(), &token, "node-1", &settings), accept(&server));
    assert!(matches!(refused, Err(NetError::UntrustedPeer { .. })), "{refused:?}");
    assert!(served.is_err());
}

#[tokio::test]
async fn a_newcomer_does_not_show_its_token_to_an_agent() {
    let authority = authority();
    let credentials = authority.issue(&identity(IdentityKind::Agent)).unwrap();
    let server =
        Endpoint::server(LOOPBACK, &credentials, Settings { joins: true, ..Settings::default() }).unwrap();
    let token = token(&mut TokenBook::default(), authority.fingerprint());
    let settings = Settings::default();
    let (refused, served) =
        tokio::join!(join(server.local_address(), &token, "node-1", &settings), accept(&server));
    assert!(matches!(refused, Err(NetError::UnexpectedPeer { .. })), "{refused:?}");
    assert!(served.is_err());
}

#[tokio::test]
async fn where_nobody_joins_a_newcomer_is_told_so() {
    let authority = authority();
    let credentials = authority.issue(&identity(IdentityKind::Master)).unwrap();
    let server = Endpoint::server(LOOPBACK, &credentials, Settings::default()).unwrap();
    let token = token(&mut TokenBook::default(), authority.fingerprint());
    let settings = Settings::default();
    let (refused, served) =
        tokio::join!(join(server.local_address(), &token, "node-1", &settings), accept(&server));
    assert!(refused.unwrap_err().to_string().contains("this endpoint takes no joins"));
    assert!(matches!(served, Err(NetError::JoinsNotTaken)));
}
