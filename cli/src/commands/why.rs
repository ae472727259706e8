//! `apportion why`: what stands in a task's way.

use std::fmt::Write;

use apportion::protocol::{Explanation, OperatorCall, OperatorEvent};

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
    for obstacle in &explanation.obstacles {
        let _ = writeln!(text, "- {obstacle}\n  {}", obstacle.remedy());
    }
    if explanation.obstacles.is_empty() {
        text.push_str("nothing is known to stand in its way\n");
    }
    text
}
