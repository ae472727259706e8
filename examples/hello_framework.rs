//! A whole framework: says hello so many times, on whatever machines have room, and again where that failed.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::net::Credentials;
use apportion::protocol::{Command, CommandInfo, FrameworkInfo, TaskId, TaskState, Work};
use apportion::resources::{Resources, Role, Shape};
use apportion::runtime::{FrameworkConfig, ShutdownHandle, run_scheduler};
use apportion::scheduler::harness::{TestMaster, TestMasterBuilder};
use apportion::scheduler::{Plan, Planned, Reconciler, TaskRequest, View};

struct Hello {
    wanted: usize,
    said: usize,
    launched: usize,
    shape: Arc<Shape>,
    command: Arc<CommandInfo>,
}

impl Hello {
    fn new(wanted: usize) -> Self {
        let command = Arc::new(CommandInfo::new(Command::Shell("echo hello".into())));
        let shape = Arc::new(Shape::from(Resources::cpus_mem(500, 64)));
        Hello { wanted, said: 0, launched: 0, shape, command }
    }
}

impl Reconciler for Hello {
    fn framework_info(&self) -> FrameworkInfo {
        FrameworkInfo::new("hello", Role::any())
    }

    fn reconcile(&mut self, view: &View<'_>, plan: &mut Plan) {
        for (id, task) in view.terminal() {
            self.said += usize::from(task.state() == TaskState::Finished);
            plan.forget(id.clone());
        }
        for _ in self.said + view.live().count() + view.queued()..self.wanted {
            self.launched += 1;
            let id = TaskId::new(format!("hello.{}", self.launched)).expect("a short name without slashes");
            let work = Work::Command(self.command.clone());
            plan.launch(TaskRequest::new(id, Role::any(), self.shape.clone(), work));
        }
    }
}

/// One machine with room for four at a time.
fn cluster(hello: Hello) -> TestMaster<Planned<Hello>> {
    let machine = Resources::builder().cpus(2).mem_mib(1024).build();
    TestMasterBuilder::default().agent("a1", machine).start(Planned::new(hello))
}

/// Runs in virtual time; or, with the address of a master and a file of credentials, on a real cluster until it is stopped.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [master, credentials] => {
            let credentials = Credentials::load(Path::new(credentials))?;
            let config = FrameworkConfig { master: master.parse()?, credentials };
            let (_handle, shutdown) = ShutdownHandle::new();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run_scheduler(Planned::new(Hello::new(6)), config, shutdown))?;
        }
        _ => rehearse(),
    }
    Ok(())
}

fn rehearse() {
    let mut cluster = cluster(Hello::new(6));
    while let Some(task) = cluster.running().first() {
        println!("{:>4} s: {task} runs", cluster.now().as_nanos() / 1_000_000_000);
        cluster.finish(task.as_str());
        cluster.advance(Duration::from_secs(1));
    }
    println!("said hello {} times", cluster.scheduler().reconciler().said);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_hello_as_often_as_wanted_whatever_fails() {
        let mut cluster = cluster(Hello::new(6));
        assert_eq!(cluster.running().len(), 4);
        cluster.fail("hello.1");
        for _ in 0..6 {
            cluster.advance(Duration::from_secs(10));
            let task = cluster.running()[0].clone();
            cluster.finish(task.as_str());
        }
        assert_eq!(cluster.scheduler().reconciler().said, 6);
        assert!(cluster.running().is_empty());
    }
}
