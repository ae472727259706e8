//! The framework with its queue and matching, against the real master in virtual time.

use std::time::Duration;

use apportion::resources::Resources;
use apportion::scheduler::Planned;
use apportion::scheduler::harness::{TestMaster, TestMasterBuilder};
use apportion::spec::Document;
use apportion_service::{
    Phase, REPLACE_UNREACHABLE_AFTER, ServiceFramework, ServiceProgress, ServiceReply, ServiceRequest,
    ServiceSpec,
};

type Cluster = TestMaster<Planned<ServiceFramework>>;

/// Two machines with room for four instances each, and a framework that has no role yet.
fn cluster() -> Cluster {
    let machine = || Resources::builder().cpus(4).mem_mib(1024).build();
    let framework = ServiceFramework::new("service", Vec::new());
    TestMasterBuilder::default().agent("a1", machine()).agent("a2", machine()).start(Planned::new(framework))
}

fn apply(cluster: &mut Cluster, replicas: u32, line: &str) {
    let text = format!(
        "schema = 1\nkind = 'service'\nid = '/web'\nrole = 'shop'\nreplicas = {replicas}\n\
         [task]\nshell = '{line}'\ncpus = 1\nmemory = '64MiB'\n"
    );
    let spec =
        Box::new(ServiceSpec::parse(&Document::new("web.toml", text)).expect("a spec without mistakes"));
    let replies = cluster.request(&ServiceRequest::Apply { spec }.encode());
    let reply = ServiceReply::decode(&replies[0].0).expect("a reply");
    assert!(matches!(reply, ServiceReply::Accepted { .. }), "{reply:?}");
}

fn progress(cluster: &Cluster) -> ServiceProgress {
    cluster.scheduler().reconciler().service(cluster.now(), "/web").expect("it is known")
}

/// Past what makes an instance healthy.
fn settle(cluster: &mut Cluster) {
    for _ in 0..10 {
        cluster.advance(Duration::from_secs(15));
    }
}

#[test]
fn a_service_converges_and_replaces_what_fails_after_its_backoff() {
    let mut cluster = cluster();
    apply(&mut cluster, 3, "serve");
    assert_eq!(cluster.running().len(), 3);
    settle(&mut cluster);
    assert_eq!((progress(&cluster).healthy, progress(&cluster).phase), (3, Phase::Succeeded));
    let failed = cluster.running()[0].clone();
    cluster.fail(failed.as_str());
    cluster.advance(Duration::from_millis(500));
    assert_eq!(cluster.running().len(), 2, "the backoff of a second is not over");
    settle(&mut cluster);
    assert_eq!(cluster.running().len(), 3);
    assert!(!cluster.running().contains(&failed));
}

#[test]
fn it_scales_both_ways() {
    let mut cluster = cluster();
    apply(&mut cluster, 2, "serve");
    settle(&mut cluster);
    apply(&mut cluster, 6, "serve");
    settle(&mut cluster);
    assert_eq!(cluster.running().len(), 6);
    apply(&mut cluster, 1, "serve");
    settle(&mut cluster);
    assert_eq!(cluster.running().len(), 1);
}

#[test]
fn a_new_version_is_rolled_out_without_a_gap() {
    let mut cluster = cluster();
    apply(&mut cluster, 4, "serve one");
    settle(&mut cluster);
    apply(&mut cluster, 4, "serve two");
    for _ in 0..40 {
        assert!(cluster.running().len() >= 4, "{:?}", cluster.running());
        cluster.advance(Duration::from_secs(5));
    }
    let now = progress(&cluster);
    assert_eq!((now.version, now.healthy, now.outdated, now.phase), (2, 4, 0, Phase::Succeeded));
}

#[test]
fn a_version_that_never_becomes_healthy_is_rolled_back() {
    let mut cluster = cluster();
    apply(&mut cluster, 2, "serve");
    settle(&mut cluster);
    apply(&mut cluster, 2, "crash");
    for _ in 0..400 {
        let new: Vec<_> =
            cluster.running().into_iter().filter(|task| task.as_str().contains("-v2-")).collect();
        for task in new {
            cluster.fail(task.as_str());
        }
        cluster.advance(Duration::from_secs(5));
        assert!(cluster.running().iter().filter(|task| !task.as_str().contains("-v2-")).count() >= 2);
    }
    let now = progress(&cluster);
    assert_eq!((now.healthy, now.outdated), (2, 0), "{now:?}");
    assert!(cluster.running().iter().all(|task| !task.as_str().contains("-v2-")));
}

#[test]
fn instances_of_a_lost_machine_come_up_on_another() {
    let mut cluster = cluster();
    apply(&mut cluster, 4, "serve");
    settle(&mut cluster);
    let (_, agent, _) = cluster.tasks()[0].clone();
    cluster.lose_agent(agent.as_str());
    settle(&mut cluster);
    assert_eq!(cluster.running().len(), 0, "it may yet come back");
    cluster.advance(REPLACE_UNREACHABLE_AFTER);
    settle(&mut cluster);
    assert_eq!(cluster.running().len(), 4);
}

#[test]
fn a_framework_that_starts_anew_goes_on_with_its_instances_and_deployments() {
    let mut cluster = cluster();
    apply(&mut cluster, 4, "serve one");
    settle(&mut cluster);
    let before = cluster.running();
    let restart = |cluster: &mut Cluster| {
        cluster.restart(Planned::new(ServiceFramework::new("service", Vec::new())));
        cluster.advance(Duration::from_secs(1));
        cluster.reconnect();
    };
    restart(&mut cluster);
    settle(&mut cluster);
    assert_eq!(cluster.running(), before, "nothing was replaced");
    assert_eq!((progress(&cluster).healthy, progress(&cluster).phase), (4, Phase::Succeeded));
    // In the middle of an update.
    apply(&mut cluster, 4, "serve two");
    for _ in 0..40 {
        restart(&mut cluster);
        assert!(cluster.running().len() >= 4, "{:?}", cluster.running());
        cluster.advance(Duration::from_secs(14));
    }
    let now = progress(&cluster);
    assert_eq!((now.version, now.healthy, now.outdated, now.phase), (2, 4, 0, Phase::Succeeded));
    let replies = cluster.request(&ServiceRequest::Stop { id: "/web".to_owned() }.encode());
    assert!(matches!(ServiceReply::decode(&replies[0].0), Ok(ServiceReply::Accepted { .. })));
    restart(&mut cluster);
    assert!(cluster.running().is_empty());
    // Ids of tasks never come again, not of a service that was stopped and is asked for again.
    restart(&mut cluster);
    apply(&mut cluster, 1, "serve one");
    assert!(cluster.running()[0].as_str().starts_with("web-v3-"), "{:?}", cluster.running());
}
