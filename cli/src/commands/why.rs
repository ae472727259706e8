//! `apportion why`: what stands in a task's way.

use std::fmt::Write;

use apportion::protocol::{Explanation, FrameworkId, OperatorCall, OperatorEvent, Waiting};
use apportion::resources::Role;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Prints why a task does not run.
pub(crate) async fn why(context: &Context, task: String, json: bool) -> Result<(), Failure> {
    let explanation = match context.ask(OperatorCall::Explain { task }).await? {
        OperatorEvent::Explained(explanation) => explanation,
        other => return Err(Failure::Answer(format!("{other:?}"))),
    };
    if json { print_json(&explanation) } else { print(&told(&explanation)) }
}

/// An explanation as text.
pub(super) fn told(explanation: &Explanation) -> String {
    let mut text = explanation.task.clone().unwrap_or_default();
    if let Some((role, wanted)) = &explanation.wants {
        // Writing to a string can't fail.
        let _ = write!(text, " waits for {wanted} in role {role}");
    }
    text.push('\n');
    list_obstacles(&mut text, explanation);
    text
}

/// Prints why frameworks have no offers.
pub(crate) async fn why_waiting(
    context: &Context,
    framework: Option<FrameworkId>,
    role: Option<Role>,
    json: bool,
) -> Result<(), Failure> {
    let waiting = match context.ask(OperatorCall::ExplainWaiting { framework, role }).await? {
        OperatorEvent::ExplainedWaiting(waiting) => waiting,
        other => return Err(Failure::Answer(format!("{other:?}"))),
    };
    if json {
        print_json(&waiting)
    } else if waiting.is_empty() {
        print("nobody waits for anything\n")
    } else {
        print(&waiting.iter().map(told_waiting).collect::<String>())
    }
}

fn told_waiting(Waiting { framework, role, group, explanation }: &Waiting) -> String {
    let wanted = match group {
        Some(group) => format!("room for {} of {}", group.count, group.shape),
        None => "offers".to_owned(),
    };
    let mut text = format!("{framework} waits for {wanted} in role {role}\n");
    list_obstacles(&mut text, explanation);
    text
}

fn list_obstacles(text: &mut String, explanation: &Explanation) {
    for obstacle in &explanation.obstacles {
        // Writing to a string can't fail.
        let _ = writeln!(text, "- {obstacle}\n  {}", obstacle.remedy());
    }
    if explanation.obstacles.is_empty() {
        text.push_str("nothing is known to stand in its way\n");
    }
}
