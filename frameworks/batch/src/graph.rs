//! The order of steps: which wait for which, and proof that none waits for itself.

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// How a step must have ended for another one to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `needs = ["a"]`: all its indexes succeeded.
    Succeeded,
    /// `needs = ["a.done"]`: it ended, whichever way; also when it was skipped.
    Done,
    /// `needs = ["a.failed"]`: it failed.
    Failed,
}

/// One entry of a step's `needs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The step that is waited for, by its place in the spec.
    pub(crate) step: usize,
    /// How it must have ended.
    pub(crate) condition: Condition,
}

/// Steps that can't be put in order. Steps are given by their place in the spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GraphError {
    #[error("step '{name}' needs '{need}', but there is no step of that name")]
    UnknownStep { step: usize, need_at: usize, name: String, need: String },
    #[error("steps wait for each other: {}", path.join(" -> "))]
    Cycle { step: usize, path: Vec<String> },
}

/// The steps of a job, put in order.
#[derive(Clone, Debug)]
pub(crate) struct StepGraph {
    needs: Vec<Vec<Need>>,
    order: Vec<usize>,
    sinks: Vec<usize>,
}

impl StepGraph {
    /// The graph of steps that are given by name and needs.
    pub(crate) fn new<'a>(steps: &[(&'a str, &'a [String])]) -> Result<Self, GraphError> {
        let mut graph = DiGraph::<(), ()>::new();
        for _ in steps {
            graph.add_node(());
        }
        let mut needs = Vec::with_capacity(steps.len());
        for (step, (name, texts)) in steps.iter().enumerate() {
            let mut resolved = Vec::with_capacity(texts.len());
            for (need_at, text) in texts.iter().enumerate() {
                let need = resolve(steps, text).ok_or_else(|| GraphError::UnknownStep {
                    step,
                    need_at,
                    name: (*name).to_owned(),
                    need: text.clone(),
                })?;
                graph.update_edge(NodeIndex::new(need.step), NodeIndex::new(step), ());
                resolved.push(need);
            }
            needs.push(resolved);
        }
        let order = toposort(&graph, None).map_err(|_| cycle(&graph, steps))?;
        let sinks = graph.node_indices().filter(|node| graph.neighbors(*node).next().is_none());
        Ok(StepGraph {
            needs,
            sinks: sinks.map(NodeIndex::index).collect(),
            order: order.into_iter().map(NodeIndex::index).collect(),
        })
    }

    /// What a step waits for.
    pub(crate) fn needs(&self, step: usize) -> &[Need] {
        &self.needs[step]
    }

    /// All steps, each after those that it waits for.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whether no step waits for this one: what it prints is what the job prints.
    pub(crate) fn is_sink(&self, step: usize) -> bool {
        self.sinks.contains(&step)
    }
}

/// Reads `a`, `a.done` or `a.failed`.
fn resolve(steps: &[(&str, &[String])], text: &str) -> Option<Need> {
    let (name, condition) = match text.split_once('.') {
        None => (text, Condition::Succeeded),
        Some((name, "done")) => (name, Condition::Done),
        Some((name, "failed")) => (name, Condition::Failed),
        Some(_) => return None,
    };
    let step = steps.iter().position(|(step, _)| *step == name)?;
    Some(Need { step, condition })
}

/// One cycle of a graph that has some, as a path from a step to itself along what runs after what.
fn cycle(graph: &DiGraph<(), ()>, steps: &[(&str, &[String])]) -> GraphError {
    let on_cycle = |component: &Vec<NodeIndex>| {
        component.len() > 1 || component.iter().any(|node| graph.contains_edge(*node, *node))
    };
    let component = tarjan_scc(graph).into_iter().find(on_cycle).unwrap_or_default();
    // Whoever goes on inside a strongly connected component comes back to where they were.
    let mut path: Vec<NodeIndex> = component.iter().min().copied().into_iter().collect();
    while let Some(last) = path.last().copied() {
        let next = graph.neighbors(last).filter(|next| component.contains(next)).min();
        let Some(next) = next else { break };
        let seen_at = path.iter().position(|node| *node == next);
        path.push(next);
        if let Some(start) = seen_at {
            path.drain(..start);
            break;
        }
    }
    let step = path.first().map_or(0, |node| node.index());
    GraphError::Cycle { step, path: path.iter().map(|node| steps[node.index()].0.to_owned()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(steps: &[(&str, &[&str])]) -> Result<StepGraph, GraphError> {
        let owned: Vec<(&str, Vec<String>)> = steps
            .iter()
            .map(|(name, needs)| (*name, needs.iter().map(|need| (*need).to_owned()).collect()))
            .collect();
        let borrowed: Vec<(&str, &[String])> =
            owned.iter().map(|(name, needs)| (*name, needs.as_slice())).collect();
        StepGraph::new(&borrowed)
    }

    #[test]
    fn steps_come_after_what_they_need() {
        let graph = graph(&[("c", &["b.done", "a"]), ("b", &["a.failed"]), ("a", &[])]).unwrap();
        assert_eq!(graph.order(), [2, 1, 0]);
        assert_eq!(graph.needs(1), [Need { step: 2, condition: Condition::Failed }]);
        assert!(graph.is_sink(0) && !graph.is_sink(1) && !graph.is_sink(2));
    }

    #[test]
    fn a_cycle_is_named_by_its_path() {
        let message = |steps: &[(&str, &[&str])]| graph(steps).unwrap_err().to_string();
        assert_eq!(
            message(&[("in", &[]), ("a", &["in", "c"]), ("b", &["a"]), ("c", &["b.done"])]),
            "steps wait for each other: a -> b -> c -> a"
        );
        assert_eq!(message(&[("a", &["a"])]), "steps wait for each other: a -> a");
    }

    #[test]
    fn an_unknown_step_is_named() {
        for need in ["b", "a.succeeded", "b.done", ""] {
            let error = graph(&[("a", &[need])]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("step 'a' needs '{need}', but there is no step of that name")
            );
        }
    }
}
