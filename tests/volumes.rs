//! Persistent volumes on a real agent: what is in them outlives the tasks that use them, and ends with the volume.
#![cfg(feature = "runtime")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apportion::allocator::PreemptionOptions;
use apportion::isolation::IsolationPreference;
use apportion::protocol::{
    Command, CommandInfo, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus, Work,
};
use apportion::resources::{Kind, Resources};
use apportion::runtime::{ExecutorLauncher, InProgram, LocalCluster, LocalConfig};
use apportion::scheduler::{Ack, Driver, Offer, Scheduler};
use tokio::sync::mpsc;

/// Nothing here takes long; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn volume() -> Resources {
    "disk(data)[notes:kept/notes]:64".parse().expect("a volume")
}

/// What is done with the next offer.
enum Next {
    Create(&'static str),
    Use(&'static str),
    /// And made again.
    Recreate(&'static str),
}

/// Runs one task after the other, each with the volume.
struct Notes {
    todo: Vec<Next>,
    ended: mpsc::UnboundedSender<TaskStatus>,
}

impl Scheduler for Notes {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("notes", "data".parse().expect("a role"))
    }

    fn resource_offers(&mut self, _driver: &mut Driver, offers: &mut [Offer]) {
        for offer in offers {
            // What is left while a task has the volume is of no use.
            if !offer.remaining().iter().any(|resource| resource.kind() == &Kind::Disk) {
                continue;
            }
            let Some(next) = self.todo.pop() else { return };
            let line = match next {
                Next::Create(line) => {
                    offer.create_volumes(volume()).expect("there is disk");
                    line
                }
                Next::Use(line) => line,
                Next::Recreate(line) => {
                    offer.destroy_volumes(volume()).expect("there is the volume");
                    offer.create_volumes(volume()).expect("there is disk again");
                    line
                }
            };
            let id = TaskId::new(format!("t{}", self.todo.len())).expect("a valid id");
            let command = Arc::new(CommandInfo::new(Command::Shell(line.to_owned())));
            let resources = volume() + &Resources::cpus_mem(100, 32);
            offer.launch(TaskInfo::new(id, resources, Work::Command(command))).expect("it fits");
        }
    }

    fn status_update(&mut self, _driver: &mut Driver, status: &TaskStatus) -> Ack {
        if status.state.is_terminal() {
            self.ended.send(status.clone()).expect("the test goes on");
        }
        Ack::Now
    }
}

#[tokio::test]
async fn what_is_in_a_volume_outlives_its_tasks_and_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = LocalConfig {
        agents: vec!["cpus:2;mem:512;disk(data):64".parse().expect("resources")],
        listen: LOOPBACK,
        state_dir: folder.path().to_owned(),
        isolation: IsolationPreference::Auto,
        recovery_timeout: None,
        launcher: ExecutorLauncher::InProgram(InProgram::commands()),
        preemption: PreemptionOptions::default(),
    };
    let mut cluster = LocalCluster::start(config).expect("a cluster");
    let (ended, mut ends) = mpsc::unbounded_channel();
    // The last first.
    let todo = vec![
        Next::Recreate("test -z \"$(ls kept/notes)\""),
        Next::Use("grep -q remember kept/notes/a"),
        Next::Create("echo remember > kept/notes/a"),
    ];
    let framework = cluster.run_framework("notes", Notes { todo, ended }).expect("a framework");
    for task in ["t2", "t1", "t0"] {
        let end = tokio::time::timeout(PATIENCE, ends.recv()).await.expect("in time").expect("an end");
        assert_eq!((end.task.as_str(), end.state), (task, TaskState::Finished), "{end:?}");
    }
    drop(framework);
    cluster.stop().await.expect("all ends");
}
