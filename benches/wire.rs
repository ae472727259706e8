//! Messages over real QUIC on the loopback interface: one in flight, and as many as go.

use std::{net::SocketAddr, time::Instant};

use apportion::{
    net::{Accepted, CertificateAuthority, Connection, Endpoint, Expect, Settings},
    protocol::identity::{Identity, IdentityKind},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

/// About what a status update is: some ids, a number, a short text.
#[derive(Clone, Serialize, Deserialize)]
struct Update {
    task: u64,
    agent: u64,
    sequence: u32,
    state: u8,
    message: String,
}

fn update(sequence: u32) -> Update {
    Update { task: 1 << 40, agent: 77, sequence, state: 3, message: "container exited, status 0".to_owned() }
}

const BATCH: u32 = 50_000;

fn variants() -> Vec<(&'static str, Settings)> {
    let default = Settings::default();
    vec![
        ("default", default.clone()),
        ("packets of 1452 bytes", Settings { loopback_mtu_bytes: 1452, ..default.clone() }),
        ("packets of 16 KiB", Settings { loopback_mtu_bytes: 16 << 10, ..default.clone() }),
        ("windows of 8 MiB", Settings { window_bytes: 8 << 20, ..default.clone() }),
        ("socket buffers of 200 KiB", Settings { socket_buffer_bytes: 200 << 10, ..default }),
    ]
}

async fn pair(settings: &Settings) -> (Connection, Connection, (Endpoint, Endpoint)) {
    let authority = CertificateAuthority::create("bench").unwrap();
    let credentials = |kind| authority.issue(&Identity::new("bench", kind, "x").unwrap()).unwrap();
    let bind: SocketAddr = ([127, 0, 0, 1], 0).into();
    let server = Endpoint::server(bind, &credentials(IdentityKind::Master), settings.clone()).unwrap();
    let client = Endpoint::client(bind, &credentials(IdentityKind::Agent), settings.clone()).unwrap();
    let expect = Expect::Kind(IdentityKind::Master);
    let accept = async {
        match server.accept().await.unwrap().establish().await.unwrap() {
            Accepted::Member(connection) => *connection,
            Accepted::Newcomer(_) => unreachable!("the client has a certificate"),
        }
    };
    let (connected, accepted) = tokio::join!(client.connect(server.local_address(), &expect), accept);
    (connected.unwrap(), accepted, (server, client))
}

fn one_way(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("wire/one way");
    group.throughput(Throughput::Elements(BATCH.into())).sample_size(10);
    for (name, settings) in variants() {
        let _guard = runtime.enter();
        let (client, server, _endpoints) = runtime.block_on(pair(&settings));
        let (outbox, sender, _receiver) = client.split::<Update, Update>();
        let (_outbox, _sender, mut receiver) = server.split::<Update, Update>();
        runtime.spawn(sender.drive());
        let (request, mut requests) = tokio::sync::mpsc::channel::<()>(1);
        let (done, mut all_done) = tokio::sync::mpsc::channel::<()>(1);
        runtime.spawn(async move {
            let mut batch = Vec::new();
            while requests.recv().await.is_some() {
                let mut received = 0;
                while received < BATCH as usize {
                    received += receiver.recv_batch(&mut batch).await.unwrap();
                    batch.clear();
                }
                done.send(()).await.unwrap();
            }
        });
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|iterations| {
                let messages: Vec<_> = (0..BATCH).map(update).collect();
                let mut elapsed = std::time::Duration::ZERO;
                for _ in 0..iterations {
                    let messages = messages.clone();
                    let start = Instant::now();
                    request.blocking_send(()).unwrap();
                    let mut messages = messages.into_iter();
                    while messages.len() > 0 {
                        outbox.push_all(messages.by_ref().take(500).collect::<Vec<_>>()).unwrap();
                    }
                    all_done.blocking_recv().unwrap();
                    elapsed += start.elapsed();
                }
                elapsed
            })
        });
    }
    group.finish();
}

fn round_trip(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("wire/round trip");
    let (client, server, _endpoints) = runtime.block_on(pair(&Settings::default()));
    let (to_server, sender, mut from_server) = client.split::<Update, Update>();
    let (to_client, answers, mut from_client) = server.split::<Update, Update>();
    runtime.spawn(sender.drive());
    runtime.spawn(answers.drive());
    runtime.spawn(async move {
        let mut batch = Vec::new();
        while from_client.recv_batch(&mut batch).await.unwrap_or(0) > 0 {
            to_client.push_all(batch.drain(..)).unwrap();
        }
    });
    let mut batch = Vec::new();
    group.bench_function("one in flight", |b| {
        b.iter(|| {
            to_server.push(update(1)).unwrap();
            runtime.block_on(from_server.recv_batch(&mut batch)).unwrap();
            batch.clear();
        })
    });
    group.finish();
}

criterion_group!(benches, one_way, round_trip);
criterion_main!(benches);
