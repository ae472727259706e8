//! The offers of one callback, and which of them a task is launched on.

use apportion::resources::{Quantities, Resources, Role};
use apportion::scheduler::{BestFit, Offer, Score, Spread, TaskRequest};

use super::options::Placement;
use crate::scenario::GPU_MODEL;
use crate::workload::TaskClass;

/// The offers of one callback.
pub(super) struct Shelf<'a> {
    offers: &'a mut [Offer],
    slots: Vec<Slot>,
    placement: Placement,
    role: &'a Role,
}

/// What is known of an offer.
#[derive(Clone)]
struct Slot {
    free: Quantities,
    /// How many tasks may still be launched on it.
    budget: u32,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(offers: &'a mut [Offer], per_offer: u32, placement: Placement, role: &'a Role) -> Self {
        let slot = |offer: &Offer| Slot { free: offer.remaining().quantities(), budget: per_offer };
        let slots = offers.iter().map(slot).collect();
        Shelf { offers, slots, placement, role }
    }

    /// Where a task of a class goes, among the offers from `first` on, and with what; moves `first` to the first that fits,
    /// since offers only shrink.
    pub(super) fn choose(&self, class: &ClassRequest, first: &mut usize) -> Option<(usize, Resources)> {
        self.choose_among(&self.slots, class, first)
    }

    fn choose_among(
        &self,
        slots: &[Slot],
        class: &ClassRequest,
        first: &mut usize,
    ) -> Option<(usize, Resources)> {
        let mut best: Option<(f64, usize, Resources)> = None;
        let mut fits = false;
        for (at, (slot, offer)) in slots.iter().zip(&*self.offers).enumerate().skip(*first) {
            if slot.budget == 0 || !slot.free.contains(&class.class.amounts) || !class.takes_gpus_of(offer) {
                continue;
            }
            let Some(found) = offer.remaining().find(&class.class.resources, self.role) else { continue };
            if !fits {
                (fits, *first) = (true, at);
            }
            let score = match self.placement {
                Placement::FirstFit => return Some((at, found)),
                Placement::BestFit => BestFit.score(&class.request, offer),
                Placement::WorstFit => Spread.score(&class.request, offer),
            };
            if best.as_ref().is_none_or(|(highest, ..)| score > *highest) {
                best = Some((score, at, found));
            }
        }
        if !fits {
            *first = self.slots.len();
        }
        best.map(|(_, at, found)| (at, found))
    }

    /// Where `count` tasks of a class go together, whatever the offers' budgets; `None` when they don't all fit. Nothing is taken.
    pub(super) fn choose_all(&self, class: &ClassRequest, count: u32) -> Option<Vec<usize>> {
        let mut trial = self.slots.clone();
        trial.iter_mut().for_each(|slot| slot.budget = u32::MAX);
        let mut first = 0;
        (0..count)
            .map(|_| {
                let (at, _) = self.choose_among(&trial, class, &mut first)?;
                trial[at].free = trial[at].free.minus_clamped(&class.class.amounts);
                Some(at)
            })
            .collect()
    }

    /// The offer at a place, to launch a task of a class on.
    pub(super) fn take(&mut self, at: usize, class: &ClassRequest) -> &mut Offer {
        let slot = &mut self.slots[at];
        slot.free = slot.free.minus_clamped(&class.class.amounts);
        slot.budget = slot.budget.saturating_sub(1);
        &mut self.offers[at]
    }

    /// What a task of a class takes of the offer at a place.
    pub(super) fn resources(&self, at: usize, class: &ClassRequest) -> Option<Resources> {
        self.offers[at].remaining().find(&class.class.resources, self.role)
    }
}

/// A class as placement policies see it.
#[derive(Clone, Debug)]
pub(super) struct ClassRequest {
    pub(super) class: TaskClass,
    pub(super) request: TaskRequest,
}

impl ClassRequest {
    fn takes_gpus_of(&self, offer: &Offer) -> bool {
        let models = &self.class.gpu_models;
        models.is_empty() || offer.attributes().get(GPU_MODEL).is_some_and(|model| models.contains(model))
    }
}
