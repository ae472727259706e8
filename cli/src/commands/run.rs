//! `apportion run`: submits specs to their frameworks and follows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apportion::protocol::logs::OutputName;
use apportion::protocol::{AgentId, FrameworkId, OperatorCall, OperatorEvent};
use apportion::runtime::{OperatorClient, ReplyStream};
use apportion::spec::SpecErrors;
use apportion_batch::{BatchReply, BatchRequest, RunProgress, RunResult, RunState};
use apportion_service::{ServiceProgress, ServiceReply, ServiceRequest};
use serde::Serialize;
use tokio::task::JoinSet;

use super::spec::{Spec, parse};
use super::{logs, read};
use crate::arguments::{Global, RunArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{amounts, note, print, print_json};
use crate::progress::Progress;

/// From the start of following to the first look at how the roles share the cluster.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// From one such look to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A spec and the framework that it is for.
pub(super) struct Work {
    framework: FrameworkId,
    spec: Spec,
}

/// What was submitted, as its framework calls it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Submitted {
    Batch { framework: FrameworkId, run: String },
    Service { framework: FrameworkId, id: String, version: u32 },
}

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Outcome {
    Batch { framework: FrameworkId, result: RunResult },
    Service { id: String, ok: bool, message: String, progress: ServiceProgress },
}

impl Outcome {
    fn is_good(&self) -> bool {
        match self {
            Outcome::Batch { result, .. } => result.state == RunState::Succeeded,
            Outcome::Service { ok, .. } => *ok,
        }
    }
}

/// Reads all specs, and tells all that is wrong with any.
pub(super) fn read_all(arguments: &RunArguments) -> Result<Vec<Work>, Failure> {
    let mut work = Vec::new();
    let mut mistakes = Vec::new();
    for file in std::iter::once(&arguments.spec).chain(&arguments.also) {
        match parse(&read(file)?) {
            Ok(mut spec) => {
                let framework = match &mut spec {
                    Spec::Batch(job) => {
                        job.set_base_dir(&folder_of(file)?);
                        arguments.batch_framework.clone()
                    }
                    Spec::Service(_) => arguments.service_framework.clone(),
                };
                work.push(Work { framework, spec });
            }
            Err(SpecErrors(found)) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(work) } else { Err(SpecErrors(mistakes).into()) }
}

fn folder_of(file: &Path) -> Result<PathBuf, Failure> {
    let unreadable = |error| Failure::Unreadable { file: file.to_owned(), error };
    let absolute = file.canonicalize().map_err(unreadable)?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Submits all, and unless detached follows each to its end.
pub(super) async fn run(
    context: &Context,
    work: Vec<Work>,
    detach: bool,
    global: &Global,
) -> Result<(), Failure> {
    let client = context.connect().await?;
    let outcomes = submit_and_follow(&client, work, detach, global).await;
    client.close().await;
    let outcomes = outcomes?;
    if detach {
        return Ok(());
    }
    if global.json {
        print_json(&outcomes)?;
    } else {
        for outcome in &outcomes {
            tell(context, outcome).await?;
        }
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.is_good()).count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Unsuccessful(format!("{failed} of {} did not succeed", outcomes.len()))),
    }
}

/// How all ended; nothing when detached.
async fn submit_and_follow(
    client: &OperatorClient,
    work: Vec<Work>,
    detach: bool,
    global: &Global,
) -> Result<Vec<Outcome>, Failure> {
    let mut submitted = Vec::new();
    for work in work {
        submitted.push(submit(client, work).await?);
    }
    if detach {
        tell_submitted(&submitted, global.json)?;
        return Ok(Vec::new());
    }
    follow_all(client, submitted, global.quiet || global.json).await
}

async fn submit(client: &OperatorClient, Work { framework, spec }: Work) -> Result<Submitted, Failure> {
    let data = match spec {
        Spec::Batch(spec) => {
            let data = BatchRequest::Submit { spec: Box::new(spec) }.encode();
            return match batch_reply(&ask(client, &framework, data).await?)? {
                BatchReply::Accepted { run } => Ok(Submitted::Batch { framework, run }),
                other => Err(Failure::Answer(format!("{other:?}"))),
            };
        }
        Spec::Service(spec) => ServiceRequest::Apply { spec }.encode(),
    };
    match service_reply(&ask(client, &framework, data).await?)? {
        ServiceReply::Accepted { id, version } => Ok(Submitted::Service { framework, id, version }),
        other => Err(Failure::Answer(format!("{other:?}"))),
    }
}

/// Follows all at once, and returns how they ended in the order in which they were submitted.
async fn follow_all(
    client: &OperatorClient,
    submitted: Vec<Submitted>,
    quiet: bool,
) -> Result<Vec<Outcome>, Failure> {
    let progress = std::sync::Arc::new(Progress::new(quiet));
    let mut following = JoinSet::new();
    for (index, submitted) in submitted.into_iter().enumerate() {
        let (framework, data) = match &submitted {
            Submitted::Batch { framework, run } => {
                (framework, BatchRequest::Follow { run: run.clone() }.encode())
            }
            Submitted::Service { framework, id, .. } => {
                (framework, ServiceRequest::Follow { id: id.clone() }.encode())
            }
        };
        let answers = client.open(OperatorCall::Request { framework: framework.clone(), data })?;
        let progress = progress.clone();
        following.spawn(async move { follow(submitted, answers, &progress).await.map(|end| (index, end)) });
    }
    let mut outcomes = Vec::new();
    let mut shares = std::pin::pin!(show_shares(client, &progress));
    loop {
        let ended = tokio::select! {
            ended = following.join_next() => ended,
            () = &mut shares, if !quiet => None,
        };
        let Some(ended) = ended else { break };
        // A panic has been printed where it happened.
        outcomes.push(ended.map_err(|error| Failure::Unsuccessful(error.to_string()))??);
    }
    progress.finish();
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

async fn follow(
    submitted: Submitted,
    mut answers: ReplyStream,
    progress: &Progress,
) -> Result<Outcome, Failure> {
    while let Some(event) = answers.next().await? {
        let OperatorEvent::Reply { data, .. } = event else {
            return Err(Failure::Answer(format!("{event:?}")));
        };
        match &submitted {
            Submitted::Batch { framework, .. } => match batch_reply(&data)? {
                BatchReply::Progress(now) => show_run(progress, &now),
                BatchReply::Finished(result) => {
                    return Ok(Outcome::Batch { framework: framework.clone(), result });
                }
                other => return Err(Failure::Answer(format!("{other:?}"))),
            },
            Submitted::Service { id, .. } => match service_reply(&data)? {
                ServiceReply::Progress(now) => show_service(progress, &now),
                ServiceReply::Finished { ok, message, progress } => {
                    return Ok(Outcome::Service { id: id.clone(), ok, message, progress });
                }
                other => return Err(Failure::Answer(format!("{other:?}"))),
            },
        }
    }
    Err(Failure::Answer("the framework stopped telling before the end".to_owned()))
}

fn show_run(progress: &Progress, now: &RunProgress) {
    for step in &now.steps {
        let ended = u64::from(step.succeeded) + u64::from(step.failed);
        let mut detail =
            format!("{} running{}, {} queued", step.running, places(now, &step.name), step.queued);
        if step.failed > 0 || step.retries > 0 {
            detail = format!("{detail}, {} failed, {} retries", step.failed, step.retries);
        }
        progress.show(&format!("{} {}", now.run, step.name), ended, u64::from(step.total), &detail);
    }
}

/// How many of a step's tasks run where, such as ` (5 on agent1, 3 on agent2)`.
fn places(now: &RunProgress, step: &str) -> String {
    let prefix = format!("{}.{step}.", now.run);
    let mut by_agent = BTreeMap::<&AgentId, usize>::new();
    let of_step = now.tasks.iter().filter(|place| place.task.as_str().starts_with(&prefix));
    for agent in of_step.filter_map(|place| place.agent.as_ref()) {
        *by_agent.entry(agent).or_default() += 1;
    }
    let places: Vec<String> = by_agent.iter().map(|(agent, count)| format!("{count} on {agent}")).collect();
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

/// Tells, now and then, how the roles share the cluster. Ends only with the connection.
async fn show_shares(client: &OperatorClient, progress: &Progress) {
    let mut wait = FIRST_LOOK;
    loop {
        tokio::time::sleep(wait).await;
        wait = LOOK_AGAIN;
        let Ok(OperatorEvent::State(state)) = client.call(OperatorCall::GetState).await else {
            return std::future::pending().await;
        };
        for role in state.roles.iter().filter(|role| !role.allocated.is_empty()) {
            let percent = (role.dominant_share * 100.0).round() as u64;
            progress.show(&format!("role {} has %", role.role), percent, 100, &amounts(&role.allocated));
        }
    }
}

fn show_service(progress: &Progress, now: &ServiceProgress) {
    let mut detail = format!("{}: {} starting, {} queued", now.phase, now.starting, now.queued);
    if let Some(failure) = &now.last_failure {
        detail = format!("{detail}; last failure: {failure}");
    }
    progress.show(&now.id, u64::from(now.healthy), u64::from(now.replicas), &detail);
}

fn tell_submitted(submitted: &[Submitted], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&submitted);
    }
    submitted.iter().try_for_each(|submitted| match submitted {
        Submitted::Batch { run, .. } => print(&format!("{run}\n")),
        Submitted::Service { id, version, .. } => print(&format!("{id} version {version}\n")),
    })
}

async fn tell(context: &Context, outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Service { id, message, .. } => print(&format!("{id}: {message}\n")),
        Outcome::Batch { framework, result } => {
            let took = result.ended_at.since(result.submitted_at).as_secs_f64();
            print(&format!("{}: {} after {took:.1} s\n", result.run, result.state))?;
            for failure in &result.failures {
                note(format_args!("{}: {}", failure.place.task, failure.message));
            }
            print_answer(context, framework, result).await
        }
    }
}

/// Prints what the last tasks of a run printed. The run is what it is, also where that can't be read any more.
async fn print_answer(context: &Context, framework: &FrameworkId, result: &RunResult) -> Result<(), Failure> {
    if result.outputs.is_empty() {
        return Ok(());
    }
    let state = context.state().await?;
    for place in &result.outputs {
        let task = logs::task_of(&state, framework, &place.task);
        let printed = match task {
            Some(task) => logs::print_output(context, &state, task, OutputName::Stdout, false).await,
            None => Err(Failure::Unsuccessful("the master remembers it no more".to_owned())),
        };
        if let Err(failure) = printed {
            note(format_args!("what {} printed can't be read: {failure}", place.task));
        }
    }
    Ok(())
}

async fn ask(client: &OperatorClient, framework: &FrameworkId, data: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match client.call(OperatorCall::Request { framework: framework.clone(), data }).await? {
        OperatorEvent::Reply { data, .. } => Ok(data),
        other => Err(Failure::Answer(format!("{other:?}"))),
    }
}

fn batch_reply(data: &[u8]) -> Result<BatchReply, Failure> {
    match BatchReply::decode(data).map_err(|error| Failure::Answer(error.to_string()))? {
        BatchReply::Refused(reason) => Err(Failure::Unsuccessful(reason)),
        reply => Ok(reply),
    }
}

fn service_reply(data: &[u8]) -> Result<ServiceReply, Failure> {
    match ServiceReply::decode(data).map_err(|error| Failure::Answer(error.to_string()))? {
        ServiceReply::Refused(reason) => Err(Failure::Unsuccessful(reason)),
        reply => Ok(reply),
    }
}
