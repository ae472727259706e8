//! One file per command, or per few that are alike.

mod agent;
mod completions;
mod control;
mod framework;
mod joining;
mod lists;
mod logs;
mod master;
mod run;
mod sim;
mod spec;
mod status;
mod up;
mod why;

use std::future::Future;
use std::path::Path;

use apportion::protocol::{Quota, Rules};
use apportion::spec::Document;

use crate::arguments::{Arguments, Command, RulesCommand, SpecCommand, TokenCommand};
use crate::context::Context;
use crate::failure::Failure;

/// Does what was asked.
pub(crate) fn execute(Arguments { global, command }: Arguments) -> Result<(), Failure> {
    let context = || Context::load(global.cluster.as_deref());
    let json = global.json;
    match command {
        Command::Run(arguments) => {
            // Mistakes in specs come before those about the cluster.
            let work = run::read_all(&arguments)?;
            if arguments.local {
                return wait_for(up::run_local(arguments.agents, work, &global));
            }
            wait_for(run::run(&context()?, work, arguments.detach, &global))
        }
        Command::Up(arguments) => wait_for(up::up(&arguments, json)),
        Command::Agent(arguments) => wait_for(agent::agent(arguments, context)),
        Command::Executor => agent::executor(),
        Command::Master(arguments) => wait_for(master::run(&arguments, json)),
        Command::Batch(arguments) => wait_for(framework::batch(&arguments, context)),
        Command::Service(arguments) => wait_for(framework::service(&arguments, context)),
        Command::Status => status::print_status(&wait_for(context()?.state())?, json),
        Command::Agents => lists::agents(&wait_for(context()?.state())?, json),
        Command::Tasks { framework } => {
            lists::tasks(&wait_for(context()?.state())?, framework.as_ref(), json)
        }
        Command::Roles => lists::roles(&wait_for(context()?.state())?, json),
        Command::Frameworks => lists::frameworks(&wait_for(context()?.state())?, json),
        Command::Logs { task, follow, stderr } => wait_for(logs::logs(&context()?, &task, follow, stderr)),
        Command::Kill { task } => wait_for(control::kill(&context()?, task, json)),
        Command::Why { task: Some(task), .. } => wait_for(why::why(&context()?, task, json)),
        Command::Why { task: None, framework, role } => {
            wait_for(why::why_waiting(&context()?, framework, role, json))
        }
        Command::Weight { role, weight } => wait_for(control::weight(&context()?, role, weight, json)),
        Command::Quota { role, guarantee, limit, force } => {
            wait_for(control::quota(&context()?, role, Quota { guarantee, limit }, force, json))
        }
        Command::Offers { role, mode } => wait_for(control::offers(&context()?, role, mode, json)),
        Command::Maintenance { agent, begins_in, lasts, cancel } => {
            let window = (!cancel).then_some((begins_in, lasts));
            wait_for(control::maintenance(&context()?, agent, window, json))
        }
        Command::Gone { agent, back } => wait_for(control::gone(&context()?, agent, back, json)),
        Command::Allow { hostnames, all } => {
            let hostnames = (!all).then(|| hostnames.into_iter().collect());
            wait_for(control::allow(&context()?, hostnames, json))
        }
        Command::Rules(RulesCommand::Show) => wait_for(control::show_rules(&context()?, json)),
        Command::Rules(RulesCommand::Set { file }) => {
            let rules: Rules = read(&file)?.parse()?;
            wait_for(control::set_rules(&context()?, rules, json))
        }
        Command::Rules(RulesCommand::Clear) => {
            wait_for(control::set_rules(&context()?, Rules::default(), json))
        }
        Command::Token(TokenCommand::Create { kind, again }) => {
            wait_for(control::create_token(&context()?, kind, again, json))
        }
        Command::Sim(command) => sim::execute(command, &global),
        Command::Spec(SpecCommand::Check { files }) => spec::check(&files),
        Command::Spec(SpecCommand::Explain { file }) => spec::explain(&file),
        Command::Completions { shell } => completions::completions(shell),
    }
}

/// Drives what talks to others to its end.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Reads a file that people write.
fn read(file: &Path) -> Result<Document, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Unreadable { file: file.to_owned(), error })?;
    Ok(Document::new(file.display().to_string(), text))
}
