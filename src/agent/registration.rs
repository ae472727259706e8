//! How an agent tells a new master all that it runs: in pieces, since all of it could be larger than a message may be.

use serde::Serialize;

use super::machine::{Agent, AgentOutput};
use crate::protocol::AgentCall;
use crate::protocol::codec::encoded_len;

/// A piece ends with what makes it larger than this, which is small beside what a message may have.
const PIECE_BYTES: usize = 1 << 20;

impl Agent {
    /// What it holds, and at last who it is: then the master knows that it has heard all.
    pub(super) fn register(&self, out: &mut Vec<AgentOutput>) {
        let mut tasks = pieces(self.held_tasks());
        let mut executors = pieces(self.held_executors());
        let registers = AgentCall::Register {
            info: self.info.clone(),
            tasks: tasks.pop().unwrap_or_default(),
            executors: executors.pop().unwrap_or_default(),
        };
        let tasks = tasks.into_iter().map(|tasks| AgentCall::Holds { tasks, executors: Vec::new() });
        let executors =
            executors.into_iter().map(|executors| AgentCall::Holds { tasks: Vec::new(), executors });
        out.extend(tasks.chain(executors).chain([registers]).map(AgentOutput::ToMaster));
    }
}

fn pieces<T: Serialize>(all: Vec<T>) -> Vec<Vec<T>> {
    let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
    for each in all {
        // One that can't be encoded is told of when it is sent.
        bytes += encoded_len(&each).unwrap_or(0);
        piece.push(each);
        if bytes > PIECE_BYTES {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_and_nothing_is_lost() {
        let all: Vec<String> = (0..50).map(|length| "x".repeat(length * 10_000)).collect();
        let parts = pieces(all.clone());
        assert!(parts.len() > 5, "{}", parts.len());
        for part in &parts {
            assert!(encoded_len(part).unwrap() <= PIECE_BYTES + 500_000);
        }
        assert_eq!(parts.concat(), all);
        assert_eq!(pieces(Vec::<String>::new()), [Vec::<String>::new()]);
    }
}
