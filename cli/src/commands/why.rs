//! `apportion why`: what stands in a task's way.

use std::fmt::Write;

use apportion::protocol::{DemandGroup, Explanation, FrameworkId, OperatorCall, OperatorEvent, Waiting};
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
        // It wants to choose among all that fits, and does not say how many of these it will use.
        Some(group) if group.count == DemandGroup::ANY_NUMBER => {
            format!("anything that fits {}", group.shape)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_chooses_among_all_that_fits_has_no_number() {
        let told = |count| {
            told_waiting(&Waiting {
                framework: "web".parse().unwrap(),
                role: "web".parse().unwrap(),
                group: Some(DemandGroup::new(count, "cpus:1".parse().unwrap())),
                explanation: Explanation::default(),
            })
        };
        assert!(told(3).starts_with("web waits for room for 3 of cpus:1 in role web\n"));
        assert!(
            told(DemandGroup::ANY_NUMBER)
                .starts_with("web waits for anything that fits cpus:1 in role web\n")
        );
    }
}
