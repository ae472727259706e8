//! A gang on several agents: all of it starts, or none; and it starts again as it started.

use std::time::Duration;

use apportion::protocol::SchedulerCall;
use apportion::resources::Resources;
use apportion::scheduler::Planned;
use apportion::scheduler::harness::{TestMaster, TestMasterBuilder};
use apportion::spec::Document;
use apportion_batch::{BatchFramework, BatchRequest, BatchSpec};

const JOB: &str = "
schema = 1
kind = 'batch'
id = '/ml/ranks'
role = 'ml'
[[step]]
name = 'train'
cmd = ['true']
count = 3
gang = true
cpus = 1
memory = '64 MiB'
retry = { limit = 1, backoff = '1s' }
";

fn running(test: &TestMaster<Planned<BatchFramework>>) -> Vec<String> {
    test.running().iter().map(ToString::to_string).collect()
}

#[test]
fn a_gang_waits_for_room_and_starts_again_together() {
    let framework = BatchFramework::new("batch", vec!["ml".parse().unwrap()]);
    let mut test = TestMasterBuilder::default()
        .agent("a1", Resources::cpus_mem(2000, 512))
        .start(Planned::new(framework));
    let spec = BatchSpec::parse(&Document::new("job.toml", JOB)).unwrap();
    test.request(&BatchRequest::Submit { spec: Box::new(spec) }.encode());
    test.advance(Duration::from_secs(10));
    assert!(running(&test).is_empty(), "two of them have room");

    test.add_agent("a2", Resources::cpus_mem(2000, 512));
    test.advance(Duration::from_secs(10));
    assert_eq!(running(&test), ["ranks-1.train.0.1", "ranks-1.train.1.1", "ranks-1.train.2.1"]);
    let accepts =
        || test.calls().iter().filter(|call| matches!(call, SchedulerCall::AcceptSet { .. })).count();
    assert_eq!(accepts(), 1);

    test.fail("ranks-1.train.1.1");
    test.advance(Duration::from_secs(30));
    assert_eq!(running(&test), ["ranks-1.train.0.2", "ranks-1.train.1.2", "ranks-1.train.2.2"]);
}
