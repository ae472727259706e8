//! What was refused, and for which waiting tasks it was no use.

use std::sync::Arc;

use super::shelf::ClassRequest;

/// Offers that were refused since the last revival. They don't come back by themselves; so the framework has to ask for them
/// when something is to be launched that they were not looked at for.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The classes that none of the refused offers fits; `None` when nothing is refused.
    useless_for: Option<Vec<u32>>,
}

impl Refusals {
    /// Offers were refused that none of these classes fits.
    pub(super) fn note(&mut self, classes: &[u32]) {
        match &mut self.useless_for {
            Some(useless) => useless.retain(|class| classes.contains(class)),
            None => self.useless_for = Some(classes.to_vec()),
        }
    }

    /// Whether something is refused that might fit this class.
    pub(super) fn may_fit(&self, class: u32, requests: &[Arc<ClassRequest>]) -> bool {
        let Some(useless) = &self.useless_for else { return false };
        let wanted = &requests[class as usize].class;
        // What is too small for one class is too small for all that want at least as much.
        !useless.iter().any(|known| {
            let known = &requests[*known as usize].class;
            wanted.amounts.contains(&known.amounts) && wanted.gpu_models == known.gpu_models
        })
    }

    /// Whether anything is refused.
    pub(super) fn any(&self) -> bool {
        self.useless_for.is_some()
    }

    /// All refusals are forgotten.
    pub(super) fn clear(&mut self) {
        self.useless_for = None;
    }
}
