//! `apportion kill`, `weight` and `token create`: what changes the cluster.

use apportion::protocol::{IdentityKind, OperatorCall, OperatorEvent, Weight};
use apportion::resources::Role;
use serde_json::json;

use crate::arguments::TaskArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Stops a task.
pub(crate) async fn kill(context: &Context, arguments: TaskArguments, json: bool) -> Result<(), Failure> {
    let TaskArguments { task, framework } = arguments;
    let told = format!("{task} was asked to stop");
    done(context.ask(OperatorCall::Kill { framework, task }).await?, &told, json)
}

/// Sets a role's weight.
pub(crate) async fn weight(context: &Context, role: Role, weight: Weight, json: bool) -> Result<(), Failure> {
    let told = format!("role {role} has weight {}", f64::from(weight.milli()) / 1000.0);
    done(context.ask(OperatorCall::SetWeight { role, weight }).await?, &told, json)
}

/// Makes a token and prints it.
pub(crate) async fn create_token(context: &Context, kind: IdentityKind, json: bool) -> Result<(), Failure> {
    let token = new_token(context, kind).await?;
    if json { print_json(&json!({ "token": token })) } else { print(&format!("{token}\n")) }
}

/// A token with which one process of that kind can join.
pub(super) async fn new_token(context: &Context, kind: IdentityKind) -> Result<String, Failure> {
    match context.ask(OperatorCall::CreateToken { kind }).await? {
        OperatorEvent::Token(token) => Ok(token),
        other => Err(Failure::Answer(format!("{other:?}"))),
    }
}

fn done(answer: OperatorEvent, told: &str, json: bool) -> Result<(), Failure> {
    match answer {
        OperatorEvent::Done if json => print_json(&json!({ "done": told })),
        OperatorEvent::Done => print(&format!("{told}\n")),
        other => Err(Failure::Answer(format!("{other:?}"))),
    }
}
