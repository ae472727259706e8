//! What belongs to runs of tasks, found by their numbers.

use std::collections::VecDeque;

use super::agent::RunId;

/// Things of runs. Runs are numbered in the order of their starts, and most of those that go on are among the last: so the things lie
/// in a row, from that of the oldest run on that has one.
#[derive(Debug)]
pub(super) struct ByRun<T> {
    /// The number of the run whose place is the first.
    first: u32,
    places: VecDeque<Option<T>>,
}

impl<T> Default for ByRun<T> {
    fn default() -> Self {
        ByRun { first: 0, places: VecDeque::new() }
    }
}

impl<T> ByRun<T> {
    /// Gives a run a thing; it started after all that were given one.
    pub(super) fn push(&mut self, run: RunId, thing: T) {
        if self.places.is_empty() {
            self.first = run.0;
        }
        while self.first + (self.places.len() as u32) < run.0 {
            self.places.push_back(None);
        }
        self.places.push_back(Some(thing));
    }

    /// The thing of a run, if it has one.
    pub(super) fn get(&self, run: RunId) -> Option<&T> {
        self.places.get(run.0.checked_sub(self.first)? as usize)?.as_ref()
    }

    /// Takes a run's thing away.
    pub(super) fn remove(&mut self, run: RunId) -> Option<T> {
        let thing = self.places.get_mut(run.0.checked_sub(self.first)? as usize)?.take()?;
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        Some(thing)
    }

    /// All that have one, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RunId, &T)> {
        let numbered = (self.first..).zip(&self.places);
        numbered.filter_map(|(number, thing)| Some((RunId(number), thing.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1..3_u32, any::<prop::sample::Index>(), any::<bool>()), 0..60)) {
            let (mut runs, mut model, mut next) = (ByRun::default(), BTreeMap::new(), 0);
            for (step, which, removes) in steps {
                if removes {
                    let run = RunId(which.index(next as usize + 1) as u32);
                    prop_assert_eq!(runs.remove(run), model.remove(&run.0));
                    prop_assert_eq!(runs.get(run), None);
                } else {
                    next += step;
                    runs.push(RunId(next), next);
                    model.insert(next, next);
                }
                let all: Vec<_> = runs.iter().map(|(run, thing)| (run.0, *thing)).collect();
                prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
            }
        }
    }
}
