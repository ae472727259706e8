//! What every store must do, and what only a store that several masters share can do: refuse the writes of a deposed one.
#![cfg(feature = "etcd")]

mod etcd;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apportion::protocol::Quota;
use apportion::store::etcd::{Claim, Etcd, EtcdSecurity, Tenure};
use apportion::store::{Change, Key, MemoryStore, Record, RedbStore, Store, StoreError};
use etcd::{EtcdCluster, TlsFiles};

/// Long enough for etcd to elect another leader of its own.
const LONG_LEASE: Duration = Duration::from_secs(20);

/// The shortest that etcd gives.
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn weight(role: &str, thousandths: u32) -> Record {
    Record::Weight { role: role.parse().expect("a role"), weight: thousandths.try_into().expect("a weight") }
}

fn quota(role: &str) -> Record {
    Record::Quota { role: role.parse().expect("a role"), quota: Quota::default() }
}

/// The laws. `reopen` is what a restart of the master does.
fn conforms<S: Store>(mut store: S, reopen: impl Fn(S) -> S) {
    let first = store.begin_term().expect("a term");
    assert_eq!(store.load().expect("it can be read"), []);
    store.commit(&[]).expect("nothing is easily done");

    let (a, b) = (weight("a", 1000), weight("b", 1000));
    store.commit(&[Change::Put(b.clone()), Change::Put(a.clone()), Change::Put(quota("a"))]).expect("stored");
    assert_eq!(
        store.load().expect("it can be read"),
        [quota("a"), a.clone(), b],
        "in the order of their keys"
    );

    // The last change of a key counts, also within one commit.
    let changes = [
        Change::Put(weight("b", 2000)),
        Change::Put(weight("b", 3000)),
        Change::Delete(a.key()),
        Change::Put(weight("a", 4000)),
        Change::Put(weight("c", 1000)),
        Change::Delete(Key::Weight("c".parse().expect("a role"))),
        Change::Delete(Key::Weight("never".parse().expect("a role"))),
    ];
    store.commit(&changes).expect("stored");
    let kept = [quota("a"), weight("a", 4000), weight("b", 3000)];
    assert_eq!(store.load().expect("it can be read"), kept);

    let mut store = reopen(store);
    assert!(store.begin_term().expect("a term") > first);
    assert_eq!(store.load().expect("it can be read"), kept);

    // More than a transaction or a page holds.
    let many: Vec<Record> = (0..1200).map(|number| weight(&format!("many-{number:04}"), 1500)).collect();
    let changes: Vec<Change> = many.iter().cloned().map(Change::Put).collect();
    store.commit(&changes).expect("stored");
    let mut store = reopen(store);
    store.begin_term().expect("a term");
    assert_eq!(store.load().expect("it can be read")[3..], many);
}

#[test]
fn a_store_in_memory_conforms() {
    conforms(MemoryStore::default(), |store| store);
}

#[test]
fn a_store_in_a_file_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || RedbStore::open(&folder.path().join("registry.redb")).expect("a store");
    conforms(open(), |store| {
        drop(store);
        open()
    });
}

fn connect(location: &str) -> Etcd {
    Etcd::connect(&location.parse().expect("a location"), None).expect("a client")
}

/// Leads as soon as nobody else does.
fn lead(runtime: &tokio::runtime::Runtime, etcd: &Etcd, lease: Duration) -> Tenure {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(Claim::Won(tenure)) = runtime.block_on(etcd.claim("127.0.0.1:1", lease)) {
            return tenure;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody could lead");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_store_in_etcd_conforms() {
    let Some(cluster) = EtcdCluster::start(1) else { return };
    conforms_in(&connect(&cluster.location()));
}

#[test]
fn a_store_in_an_etcd_that_takes_those_alone_who_show_a_certificate_conforms() {
    let Some((cluster, files)) = EtcdCluster::start_with_tls() else { return };
    let secured = |TlsFiles { authority, certificate, key }: &TlsFiles| {
        let security = EtcdSecurity::load(authority, certificate, key).expect("files");
        Etcd::connect(&cluster.location().parse().expect("a location"), Some(&security)).expect("a client")
    };
    conforms_in(&secured(&files));
    let folder = tempfile::tempdir().expect("a folder");
    let strangers = TlsFiles { authority: files.authority, ..TlsFiles::make(folder.path()) };
    for wrong in [connect(&cluster.location()), secured(&strangers)] {
        let claim = runtime().block_on(wrong.claim("127.0.0.1:1", LONG_LEASE));
        assert!(matches!(claim, Err(StoreError::Unreachable { .. })), "{claim:?}");
    }
}

fn conforms_in(etcd: &Etcd) {
    let runtime = runtime();
    let first = lead(&runtime, etcd, LONG_LEASE);
    let store = first.store();
    let tenure = RefCell::new(Some(first));
    conforms(store, |_| {
        let before = tenure.take().expect("it leads");
        runtime.block_on(before.resign()).expect("etcd answers");
        let next = lead(&runtime, etcd, LONG_LEASE);
        let store = next.store();
        tenure.replace(Some(next));
        store
    });
}

#[test]
fn the_writes_of_a_deposed_master_are_refused_however_late_they_arrive() {
    let Some(cluster) = EtcdCluster::start(1) else { return };
    let runtime = runtime();
    let road = Road::to(cluster.addresses[0]);
    let (slow, quick) = (connect(&etcd::location(&[road.address])), connect(&cluster.location()));

    let deposed = lead(&runtime, &slow, SHORT_LEASE);
    let mut old_store = deposed.store();
    old_store.commit(&[Change::Put(weight("a", 1000))]).expect("it leads");
    // From here on what it sends is under way.
    road.block();
    let written = old_store.commit(&[Change::Put(weight("a", 6000))]);
    assert!(matches!(written, Err(StoreError::Deposed)), "{written:?}");
    assert!(!deposed.watch()());

    let leader = lead(&runtime, &quick, LONG_LEASE);
    assert!(leader.epoch() > deposed.epoch());
    let mut store = leader.store();
    assert_eq!(store.load().expect("it leads"), [weight("a", 1000)]);
    road.open();
    // When this has gone through, and what was held up has too, etcd has decided about all of it.
    let claim = |etcd: &Etcd| runtime.block_on(etcd.claim("127.0.0.1:2", SHORT_LEASE));
    let begun = Instant::now();
    while !road.delivered.load(Ordering::SeqCst) || !matches!(claim(&slow), Ok(Claim::Lost { .. })) {
        assert!(begun.elapsed() < PATIENCE, "the road stays blocked");
    }
    assert_eq!(store.load().expect("it leads"), [weight("a", 1000)]);
    store.commit(&[Change::Put(weight("a", 2000))]).expect("it leads");
    assert_eq!(store.load().expect("it leads"), [weight("a", 2000)]);
}

#[test]
fn a_leader_outlives_each_member_of_etcd_in_turn() {
    let Some(cluster) = EtcdCluster::start(3) else { return };
    let (runtime, etcd) = (runtime(), connect(&cluster.location()));
    let leader = lead(&runtime, &etcd, LONG_LEASE);
    let mut store = leader.store();
    for member in 0..3 {
        // One of them is etcd's own leader.
        cluster.signal(member, "-STOP");
        let record = weight("a", 1000 + u32::try_from(member).expect("small"));
        store.commit(&[Change::Put(record.clone())]).expect("two members are enough");
        assert_eq!(store.load().expect("two members are enough"), [record]);
        cluster.signal(member, "-CONT");
    }
    cluster.signal(0, "-KILL");
    store.commit(&[Change::Put(weight("a", 9000))]).expect("two members are enough");
    assert_eq!(store.load().expect("two members are enough"), [weight("a", 9000)]);
    assert!(leader.watch()());
}

/// A way to a server on which everything can be held up, and arrives later.
struct Road {
    address: SocketAddr,
    blocked: Arc<AtomicBool>,
    /// Whether something that was held up has arrived.
    delivered: Arc<AtomicBool>,
}

impl Road {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let road = Road { address, blocked: Arc::default(), delivered: Arc::default() };
        let (blocked, delivered) = (road.blocked.clone(), road.delivered.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let (blocked, delivered) = (blocked.clone(), delivered.clone());
                    std::thread::spawn(move || carry(from, to, &blocked, &delivered));
                }
            }
        });
        road
    }

    fn block(&self) {
        self.blocked.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.blocked.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, blocked: &AtomicBool, delivered: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let was_blocked = blocked.load(Ordering::SeqCst);
        while blocked.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
        delivered.fetch_or(was_blocked, Ordering::SeqCst);
    }
    // The other end may be gone.
    let _ = to.shutdown(std::net::Shutdown::Write);
}
