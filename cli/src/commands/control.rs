//! `apportion kill`, `weight`, `quota`, `offers`, `maintenance`, `gone`, `allow`, `rules` and `token create`: what changes the cluster.

use std::collections::BTreeSet;

use apportion::protocol::{
    AgentId, IdentityKind, OfferMode, OperatorCall, OperatorEvent, Quota, Rules, Unavailability, Weight,
};
use apportion::resources::Role;
use apportion::runtime::Clock;
use apportion::spec::Delay;
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

/// Sets a role's quota.
pub(crate) async fn quota(
    context: &Context,
    role: Role,
    quota: Quota,
    force: bool,
    json: bool,
) -> Result<(), Failure> {
    let told = match quota_told(&quota).as_slice() {
        [] => format!("role {role} has no quota"),
        parts => format!("role {role} {}", parts.join(" and ")),
    };
    done(context.ask(OperatorCall::SetQuota { role, quota, force }).await?, &told, json)
}

/// Sets how a role's resources are offered.
pub(crate) async fn offers(
    context: &Context,
    role: Role,
    mode: OfferMode,
    json: bool,
) -> Result<(), Failure> {
    let told = format!("the offers to role {role} are {mode}");
    done(context.ask(OperatorCall::SetOfferMode { role, mode }).await?, &told, json)
}

/// A quota in words.
pub(super) fn quota_told(quota: &Quota) -> Vec<String> {
    let guarantee = (!quota.guarantee.is_empty()).then(|| format!("is guaranteed {}", quota.guarantee));
    let limit = (!quota.limit.is_none()).then(|| format!("is limited to {}", quota.limit));
    guarantee.into_iter().chain(limit).collect()
}

/// Says when an agent will be away: from when on, counted from now, and for how long; `None`: it will not.
pub(crate) async fn maintenance(
    context: &Context,
    agent: AgentId,
    window: Option<(Delay, Option<Delay>)>,
    json: bool,
) -> Result<(), Failure> {
    let told = match &window {
        Some((begins_in, Some(lasts))) => format!("agent {agent} is away in {begins_in} for {lasts}"),
        Some((begins_in, None)) => format!("agent {agent} is away in {begins_in}"),
        None => format!("agent {agent} is not going to be away"),
    };
    let unavailability = window.map(|(begins_in, lasts)| Unavailability {
        start: Clock::start().now() + begins_in.duration(),
        duration: lasts.map(Delay::duration),
    });
    done(context.ask(OperatorCall::SetMaintenance { agent, unavailability }).await?, &told, json)
}

/// Says that an agent is gone for good, or takes that back.
pub(crate) async fn gone(context: &Context, agent: AgentId, back: bool, json: bool) -> Result<(), Failure> {
    let (told, call) = match back {
        false => (format!("agent {agent} is gone"), OperatorCall::MarkGone { agent }),
        true => (format!("agent {agent} may come back"), OperatorCall::TakeBack { agent }),
    };
    done(context.ask(call).await?, &told, json)
}

/// Sets the machines of which alone something is offered; `None`: all.
pub(crate) async fn allow(
    context: &Context,
    hostnames: Option<BTreeSet<String>>,
    json: bool,
) -> Result<(), Failure> {
    let told = match &hostnames {
        Some(hostnames) => {
            let names: Vec<&str> = hostnames.iter().map(String::as_str).collect();
            format!("only what is on {} is offered", names.join(", "))
        }
        None => "what is on all machines is offered".to_owned(),
    };
    done(context.ask(OperatorCall::SetAllowList { hostnames }).await?, &told, json)
}

/// Prints who may do what.
pub(crate) async fn show_rules(context: &Context, json: bool) -> Result<(), Failure> {
    let rules = match context.ask(OperatorCall::GetRules).await? {
        OperatorEvent::Rules(rules) => rules,
        other => return Err(Failure::Answer(format!("{other:?}"))),
    };
    if json {
        return print_json(&rules);
    }
    if rules == Rules::default() {
        return print("everyone in the cluster may do everything\n");
    }
    print(&toml::to_string(&rules).map_err(|error| Failure::Answer(error.to_string()))?)
}

/// Sets who may do what.
pub(crate) async fn set_rules(context: &Context, rules: Rules, json: bool) -> Result<(), Failure> {
    let told = match rules.allow.len() {
        0 => "everyone in the cluster may do everything".to_owned(),
        1 => "only what one rule allows may be done".to_owned(),
        number => format!("only what {number} rules allow may be done"),
    };
    done(context.ask(OperatorCall::SetRules { rules }).await?, &told, json)
}

/// Makes a token and prints it, and frees the name of who is to join with it again.
pub(crate) async fn create_token(
    context: &Context,
    kind: IdentityKind,
    again: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    if let Some(name) = again {
        free_name(context, kind, name).await?;
    }
    let token = new_token(context, kind).await?;
    if json { print_json(&json!({ "token": token })) } else { print(&format!("{token}\n")) }
}

/// Lets a party join again under its name.
pub(super) async fn free_name(context: &Context, kind: IdentityKind, name: String) -> Result<(), Failure> {
    match context.ask(OperatorCall::FreeName { kind, name }).await? {
        OperatorEvent::Done => Ok(()),
        other => Err(Failure::Answer(format!("{other:?}"))),
    }
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
