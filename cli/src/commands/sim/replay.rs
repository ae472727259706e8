//! `apportion sim replay` and `apportion sim whatif`: masters of production, played again from their journals.

use std::fmt::Write;

use apportion_simulations::metrics::Spread;
use apportion_simulations::replay::{Journal, Replay, ReplayState, Takeover};
use apportion_simulations::values::Span;
use apportion_simulations::{Progress, Summary};
use serde_json::json;

use crate::arguments::{Global, ReplayArguments, WhatIfArguments};
use crate::commands::why::told;
use crate::failure::Failure;
use crate::output::{print, print_json, print_table};

/// Plays a journal to its end or to a time, compares what is decided, and tells why a task waited then.
pub(crate) fn replay(arguments: &ReplayArguments, global: &Global) -> Result<(), Failure> {
    let journal = Journal::open(&arguments.journal.path, arguments.journal.start)?;
    let mut replay = Replay::new(&journal)?;
    replay.run(arguments.until.map(|until| until.nanos()), |_, _, _| {})?;
    let state = replay.state().clone();
    if let Some(task) = arguments.why.as_ref().filter(|_| state.difference.is_none()) {
        let waiting = replay.why(task)?;
        if global.json {
            return print_json(&json!({ "replay": state, "why": waiting }));
        }
        let launched =
            waiting.launched_at_s.map_or(String::new(), |at| format!("it was launched at {at:.3} s\n"));
        return print(&format!("at {:.3} s: {}{launched}", state.at_s, told(&waiting.explanation)));
    }
    if global.json {
        print_json(&json!({ "replay": state, "cluster": replay.cluster() }))?;
    } else {
        print(&text(&state, &replay))?;
    }
    match &state.difference {
        None => Ok(()),
        Some(difference) => Err(Failure::Unsuccessful(format!(
            "after input {} the master of this version decides otherwise than the one that was recorded ({})",
            difference.input, state.software
        ))),
    }
}

fn text(state: &ReplayState, replay: &Replay<'_>) -> String {
    let mut text = format!(
        "{} inputs up to {:.3} s, {} of them allocations; {} outputs",
        state.inputs, state.at_s, state.ticks, state.outputs
    );
    match &state.difference {
        None => text.push_str(", all as recorded\n"),
        Some(difference) => {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\nthe first difference is at {:.3} s, input {}: {}\n{} outputs were recorded; the replay has {}:\n",
                difference.at_s,
                difference.input,
                difference.told,
                difference.recorded,
                difference.replayed.len()
            );
            difference.replayed.iter().for_each(|output| text.push_str(&format!("  {output}\n")));
        }
    }
    if state.torn_bytes > 0 {
        let _ = writeln!(text, "a crash cut off the last entry ({} bytes)", state.torn_bytes);
    }
    let cluster = replay.cluster();
    let agents = cluster.agents.iter().filter(|agent| agent.connected).count();
    let tasks = cluster.tasks.iter().filter(|task| !task.state.is_terminal()).count();
    let frameworks = cluster.frameworks.iter().filter(|framework| framework.connected).count();
    let _ = writeln!(text, "then {agents} agents, {frameworks} frameworks and {tasks} tasks were there");
    text
}

/// Runs on from a journal as it was and with something changed, and prints both side by side.
pub(crate) fn whatif(arguments: &WhatIfArguments, global: &Global) -> Result<(), Failure> {
    let journal = Journal::open(&arguments.journal.path, arguments.journal.start)?;
    let takeover = Takeover::new(&journal, arguments.from.map(Span::nanos))?;
    if arguments.scenario {
        return print(&takeover.scenario_text());
    }
    let run = |settings| -> Result<_, Failure> {
        Ok(takeover.scenario(settings)?.resolve()?.run(&mut Progress::silent())?)
    };
    let (before, after) = (run(&[])?, run(&arguments.settings)?);
    if let Some(folder) = &arguments.out {
        before.write(&folder.join("as-it-was"))?;
        after.write(&folder.join("what-if"))?;
    }
    if global.json {
        return print_json(&json!({ "as_it_was": before.summary(), "what_if": after.summary() }));
    }
    print_table(
        ["", "as it was", "what if", "difference"],
        rows(before.summary(), after.summary()),
        "no numbers",
    )
}

fn rows(before: &Summary, after: &Summary) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    let mut row = |name: String, before: f64, after: f64| {
        rows.push([name, format!("{before:.3}"), format!("{after:.3}"), format!("{:+.3}", after - before)]);
    };
    row("tasks finished".to_owned(), before.tasks_finished as f64, after.tasks_finished as f64);
    row("tasks pending".to_owned(), before.tasks_pending as f64, after.tasks_pending as f64);
    row("makespan, s".to_owned(), before.makespan_s, after.makespan_s);
    for (kind, used) in &before.utilisation {
        let changed = after.utilisation.get(kind).map_or(0.0, |used| used.mean);
        row(format!("{kind} used, mean"), used.mean, changed);
    }
    let none = Spread::default();
    for (name, own) in &before.frameworks {
        let changed = after.frameworks.get(name).map_or(&none, |own| &own.wait_s);
        row(format!("{name}: mean wait, s"), own.wait_s.mean, changed.mean);
        row(format!("{name}: longest wait, s"), own.wait_s.max, changed.max);
    }
    for (name, own) in &before.roles {
        let changed = after.roles.get(name).map_or(0.0, |own| own.dominant_share.mean);
        row(format!("role {name}: dominant share, mean"), own.dominant_share.mean, changed);
    }
    rows
}
