//! Messages under way: each edge keeps its order, whatever its latency.

use apportion::time::Time;
use rustc_hash::FxHashMap;

use crate::random::Stream;
use crate::scenario::LatencyModel;
use crate::values::{Length, Span};

/// One direction between the master and another party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Edge {
    FromAgent(u32),
    ToAgent(u32),
    FromFramework(u32),
    ToFramework(u32),
}

/// How long messages take.
#[derive(Debug)]
pub(super) struct Post {
    latency: LatencyModel,
    seed: u64,
    edges: FxHashMap<Edge, (Stream, Time)>,
}

impl Post {
    pub(super) fn new(latency: LatencyModel, seed: u64) -> Self {
        Post { latency, seed, edges: FxHashMap::default() }
    }

    /// When a message that is sent now arrives; `None` when it does at once.
    pub(super) fn arrival(&mut self, now: Time, edge: Edge) -> Option<Time> {
        let latency = match edge {
            Edge::FromAgent(_) => &self.latency.from_agents,
            Edge::ToAgent(_) => &self.latency.to_agents,
            Edge::FromFramework(_) => &self.latency.from_frameworks,
            Edge::ToFramework(_) => &self.latency.to_frameworks,
        };
        match latency {
            Length::Same(Span::ZERO) => None,
            Length::Same(span) => Some(now + span.duration()),
            drawn => {
                let (stream, last) = self
                    .edges
                    .entry(edge)
                    .or_insert_with(|| (Stream::named(self.seed, &format!("latency/{edge:?}")), Time::ZERO));
                // A message never overtakes the one before it.
                *last = (*last).max(now + drawn.draw(stream).duration());
                Some(*last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_an_edge_keep_their_order() {
        let latency: Length = serde_json::from_str(r#"{"distribution":"exponential","mean":"1s"}"#).unwrap();
        let mut post = Post::new(LatencyModel::uniform(&latency), 1);
        let mut last = Time::ZERO;
        for second in 0..1000 {
            let sent = Time::from_nanos(second * 100_000_000);
            let arrival = post.arrival(sent, Edge::ToAgent(3)).unwrap();
            assert!(arrival >= last && arrival >= sent);
            last = arrival;
        }
        assert!(last > Time::from_secs(99));
    }
}
