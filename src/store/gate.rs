//! What a machine puts out waits until the changes behind it are durable.

use std::collections::VecDeque;

/// Changes on their way to where they are durable, and outputs that wait for them: nobody sees the effect of what a crash could
/// undo.
#[derive(Debug)]
pub(crate) struct Gate<C, O> {
    /// Whether changes are kept anywhere; otherwise nothing waits.
    is_kept: bool,
    /// Changes that the input under way has made.
    changes: Vec<C>,
    /// Whether an output must wait for one of them.
    is_awaited: bool,
    /// The number of the last write that was handed out and is waited for.
    last: u64,
    /// All writes up to this one are durable.
    durable: u64,
    /// Outputs, with the write that they wait for.
    held: VecDeque<(u64, O)>,
}

impl<C, O> Default for Gate<C, O> {
    fn default() -> Self {
        Gate {
            is_kept: false,
            changes: Vec::new(),
            is_awaited: false,
            last: 0,
            durable: 0,
            held: VecDeque::new(),
        }
    }
}

impl<C, O> Gate<C, O> {
    /// From now on changes are kept.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Takes note of a change that must be durable before anything else is put out.
    pub(crate) fn note(&mut self, change: C) {
        if self.is_kept {
            self.changes.push(change);
            self.is_awaited = true;
        }
    }

    /// Takes note of a change that nothing waits for: its loss would only cost work.
    pub(crate) fn note_in_passing(&mut self, change: C) {
        if self.is_kept {
            self.changes.push(change);
        }
    }

    /// Hands out the changes that an input made, as the output that `store` makes of them, and holds back what it put out from
    /// `start` on until those, and all before, are durable.
    pub(crate) fn gate(&mut self, start: usize, out: &mut Vec<O>, store: impl FnOnce(u64, Vec<C>) -> O) {
        let changes = std::mem::take(&mut self.changes);
        if std::mem::take(&mut self.is_awaited) {
            self.last += 1;
        }
        if self.durable < self.last {
            self.held.extend(out.drain(start..).map(|output| (self.last, output)));
        }
        if !changes.is_empty() {
            out.push(store(self.last, changes));
        }
    }

    /// Lets go what waited for writes up to this one.
    pub(crate) fn release(&mut self, number: u64, out: &mut Vec<O>) {
        self.durable = self.durable.max(number.min(self.last));
        while let Some((_, output)) = self.held.pop_front_if(|(waits_for, _)| *waits_for <= self.durable) {
            out.push(output);
        }
    }

    /// Drops what waits and is not to be put out any more.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&O) -> bool) {
        self.held.retain(|(_, output)| stays(output));
    }
}
