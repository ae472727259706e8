//! The framework's process dies at any time; its next life goes on with all runs.

use std::time::Duration;

use apportion::protocol::{Operation, SchedulerCall};
use apportion::resources::Resources;
use apportion::scheduler::Planned;
use apportion::scheduler::harness::{TestMaster, TestMasterBuilder};
use apportion::spec::Document;
use apportion_batch::{BatchFramework, BatchReply, BatchRequest, BatchSpec, RunResult, RunState};
use proptest::prelude::*;

type Cluster = TestMaster<Planned<BatchFramework>>;

fn framework() -> Planned<BatchFramework> {
    Planned::new(BatchFramework::new("batch", vec!["research".parse().unwrap()]))
}

fn cluster() -> Cluster {
    let machine = Resources::builder().cpus(2).mem_mib(1024).build();
    TestMasterBuilder::default()
        .agent("a1", machine.clone())
        .agent("a2", machine)
        .tasks_finish_after(Duration::from_secs(2))
        .start(framework())
}

fn submit(cluster: &mut Cluster, steps: &str) -> String {
    let text = format!("schema = 1\nkind = 'batch'\nid = '/j'\nrole = 'research'\n{steps}");
    let spec = BatchSpec::parse(&Document::new("job.toml", text)).unwrap();
    match &ask(cluster, &BatchRequest::Submit { spec: Box::new(spec) })[..] {
        [BatchReply::Accepted { run }] => run.clone(),
        other => panic!("{other:?}"),
    }
}

fn ask(cluster: &mut Cluster, request: &BatchRequest) -> Vec<BatchReply> {
    let replies = cluster.request(&request.encode());
    replies.iter().map(|(data, _)| BatchReply::decode(data).unwrap()).collect()
}

fn result(cluster: &Cluster, run: &str) -> Option<RunResult> {
    cluster.scheduler().reconciler().result(run).cloned()
}

/// The ids of all tasks that were ever launched.
fn launched(cluster: &Cluster) -> Vec<String> {
    let accepts = cluster.calls().iter().filter_map(|call| match call {
        SchedulerCall::Accept { operations, .. } => Some(operations),
        _ => None,
    });
    let tasks = accepts.flatten().flat_map(Operation::tasks).map(|task| task.id.to_string());
    tasks.collect()
}

fn restart(cluster: &mut Cluster, away: Duration) {
    cluster.restart(framework());
    cluster.advance(away);
    cluster.reconnect();
}

const STEPS: &str = "[[step]]\nname = 'a'\ncmd = ['a']\ncount = 12\ncpus = 1\nmemory = '64MiB'\n\
                     [[step]]\nname = 'b'\ncmd = ['b']\ncount = 3\nneeds = ['a']\ncpus = 1\nmemory = '64MiB'\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_task_runs_once_whenever_the_framework_dies(
        deaths in prop::collection::vec((0_u64..4000, 0_u64..5000), 0..6)
    ) {
        let mut cluster = cluster();
        let run = submit(&mut cluster, STEPS);
        for (after, away) in deaths {
            cluster.advance(Duration::from_millis(after));
            restart(&mut cluster, Duration::from_millis(away));
        }
        cluster.advance(Duration::from_secs(120));
        let result = result(&cluster, &run).expect("it has ended");
        prop_assert_eq!(result.state, RunState::Succeeded);
        let succeeded: Vec<u32> = result.steps.iter().map(|step| step.progress.succeeded).collect();
        prop_assert_eq!(succeeded, [12, 3]);
        let mut tasks = launched(&cluster);
        prop_assert_eq!(tasks.len(), 15);
        tasks.sort();
        tasks.dedup();
        prop_assert_eq!(tasks.len(), 15);
        prop_assert!(cluster.tasks().is_empty());
    }
}

#[test]
fn what_was_cancelled_stays_so_and_how_runs_ended_is_known() {
    let mut cluster = cluster();
    let run = submit(&mut cluster, STEPS);
    let other = submit(&mut cluster, STEPS);
    assert_eq!(cluster.running().len(), 4);
    cluster.disconnect();
    ask(&mut cluster, &BatchRequest::Cancel { run: run.clone() });
    cluster.restart(framework());
    cluster.reconnect();
    cluster.advance(Duration::from_secs(60));
    restart(&mut cluster, Duration::from_secs(1));
    assert_eq!(result(&cluster, &run).map(|result| result.state), Some(RunState::Cancelled));
    assert_eq!(result(&cluster, &other).map(|result| result.state), Some(RunState::Succeeded));
    assert!(submit(&mut cluster, STEPS).ends_with("-3"), "no number comes again");
}

#[test]
fn what_failed_is_not_tried_more_often_than_it_may() {
    let mut cluster = cluster();
    let retry = "[[step]]\nname = 'a'\ncmd = ['a']\ncpus = 1\nmemory = '64MiB'\nretry = { limit = 2, backoff = '1s' }";
    let run = submit(&mut cluster, retry);
    for attempt in 1..=3 {
        cluster.fail(&format!("{run}.a.0.{attempt}"));
        restart(&mut cluster, Duration::ZERO);
        cluster.advance(Duration::from_millis(1));
    }
    let result = result(&cluster, &run).expect("it has ended");
    assert_eq!((result.state, result.failures.len()), (RunState::Failed, 3));
}
