//! The offers of one callback, and which of them a task is launched on.

use apportion::protocol::AgentId;
use apportion::resources::{Quantities, Resources, Role};
use apportion::scheduler::gpus::{GpuDemand, GpuNode, TypicalDemand};
use apportion::scheduler::{Alignment, BestFit, Offer, Placement, Score, Spread, TaskRequest};

use super::devices::{DeviceBook, has_gpus};
use super::own::OwnPlacement;
use crate::packing;
use crate::random::Stream;
use crate::scenario::GPU_MODEL;
use crate::workload::TaskClass;

/// What a placement needs to choose.
#[derive(Debug)]
pub(super) struct Chooser {
    pub(super) placement: Placement,
    /// Goes before the placement.
    pub(super) own: Option<OwnPlacement>,
    pub(super) typical: Vec<TypicalDemand>,
    pub(super) alignment: Alignment,
    pub(super) stream: Stream,
    pub(super) book: DeviceBook,
}

/// The offers of one callback.
pub(super) struct Shelf<'a> {
    offers: &'a mut [Offer],
    slots: Vec<Slot>,
    role: &'a Role,
    /// A task had better go on an offer that no further task goes on, so that it waits until the rest of it is offered again.
    puts_off: bool,
}

/// What is known of an offer.
#[derive(Clone)]
struct Slot {
    free: Quantities,
    /// Its devices; `None` when it has none.
    node: Option<GpuNode>,
    /// How many tasks may still be launched on it.
    budget: u32,
}

/// Where a task goes: the place of an offer, and devices.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) at: usize,
    pub(super) devices: Vec<usize>,
}

/// A class as placement policies see it.
#[derive(Clone, Debug)]
pub(super) struct ClassRequest {
    pub(super) class: TaskClass,
    pub(super) request: TaskRequest,
    pub(super) demand: GpuDemand,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(
        offers: &'a mut [Offer],
        per_offer: u32,
        chooser: &mut Chooser,
        role: &'a Role,
    ) -> Self {
        let slot = |offer: &Offer| {
            let free = offer.remaining().quantities();
            let node = has_gpus(&free).then(|| chooser.book.node(offer, &free));
            Slot { free, node, budget: per_offer }
        };
        let slots = offers.iter().map(slot).collect();
        Shelf { offers, slots, role, puts_off: false }
    }

    /// Where a task of a class goes, among the offers from `first` on; moves `first` to the first that fits, since offers only
    /// shrink.
    pub(super) fn choose(
        &mut self,
        class: &ClassRequest,
        chooser: &mut Chooser,
        first: &mut usize,
    ) -> Option<Spot> {
        let spot = self.choose_among(&self.slots, class, chooser, first)?;
        let is_used_up = self.slots[spot.at].budget == 0;
        self.puts_off |= is_used_up;
        (!is_used_up).then_some(spot)
    }

    /// Whether tasks were put off until the rest of an offer is offered again. They are to choose among all that is offered now.
    pub(super) fn puts_off(&self) -> bool {
        self.puts_off
    }

    fn choose_among(
        &self,
        slots: &[Slot],
        class: &ClassRequest,
        chooser: &mut Chooser,
        first: &mut usize,
    ) -> Option<Spot> {
        // Where it matters which offer a task goes on, one that is used up may still be the best.
        let prefers =
            chooser.own.is_some() || !matches!(chooser.placement, Placement::FirstFit | Placement::Random);
        let (mut best, mut fitting): (Option<(f64, Spot)>, usize) = (None, 0);
        for (at, (slot, offer)) in slots.iter().zip(&*self.offers).enumerate().skip(*first) {
            let may_take = prefers || slot.budget > 0;
            if !may_take
                || !slot.fits(class, offer)
                || offer.remaining().find(&class.class.shape.resources, self.role).is_none()
            {
                continue;
            }
            fitting += 1;
            if fitting == 1 {
                *first = at;
            }
            if chooser.placement == Placement::Random {
                // Each of those that fit is kept with the same likelihood.
                if chooser.stream.below(fitting) == 0 {
                    best = Some((0.0, Spot { at, devices: slot.random_devices(class, &mut chooser.stream) }));
                }
                continue;
            }
            let (score, devices) = slot.score(class, offer, chooser);
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, Spot { at, devices }));
            }
            if chooser.placement == Placement::FirstFit {
                break;
            }
        }
        if fitting == 0 {
            *first = slots.len();
        }
        best.map(|(_, spot)| spot)
    }

    /// Where `count` tasks of a class go together, whatever the offers' budgets; `None` when they don't all fit. Nothing is taken.
    pub(super) fn choose_all(
        &self,
        class: &ClassRequest,
        chooser: &mut Chooser,
        count: u32,
    ) -> Option<Vec<Spot>> {
        let mut trial = self.slots.clone();
        trial.iter_mut().for_each(|slot| slot.budget = u32::MAX);
        let mut first = 0;
        (0..count)
            .map(|_| {
                let spot = self.choose_among(&trial, class, chooser, &mut first)?;
                trial[spot.at].take(class, &spot.devices);
                Some(spot)
            })
            .collect()
    }

    /// The agent of the offer at a place.
    pub(super) fn agent(&self, at: usize) -> &AgentId {
        self.offers[at].agent()
    }

    /// A spot on the offer at a place, if a task of a class fits there.
    pub(super) fn spot_at(&self, at: usize, class: &ClassRequest, chooser: &Chooser) -> Option<Spot> {
        let (slot, offer) = (&self.slots[at], &self.offers[at]);
        (slot.budget > 0 && slot.fits(class, offer))
            .then(|| Spot { at, devices: slot.score(class, offer, chooser).1 })
    }

    /// The offer of a spot, to launch a task of a class on, and what the task takes of it.
    pub(super) fn take(&mut self, spot: &Spot, class: &ClassRequest) -> Option<(&mut Offer, Resources)> {
        self.slots[spot.at].take(class, &spot.devices);
        let offer = &mut self.offers[spot.at];
        let resources = offer.remaining().find_shape_on(&class.class.shape, self.role, &spot.devices)?;
        Some((offer, resources))
    }
}

impl Slot {
    fn fits(&self, class: &ClassRequest, offer: &Offer) -> bool {
        let models = &class.class.gpu_models;
        self.free.contains(&class.class.amounts)
            && (models.is_empty()
                || offer.attributes().get(GPU_MODEL).is_some_and(|model| models.contains(model)))
            && self.node.as_ref().is_none_or(|node| node.fits(&class.demand))
    }

    fn score(&self, class: &ClassRequest, offer: &Offer, chooser: &Chooser) -> (f64, Vec<usize>) {
        if let Some(own) = &chooser.own {
            let by_device =
                |node: &GpuNode| packing::score(chooser.placement, node, &class.demand, &chooser.typical);
            let devices = self.node.as_ref().map_or_else(Vec::new, |node| by_device(node).devices);
            return (own.score(&class.request, offer), devices);
        }
        if let Some(node) = &self.node {
            let choice = packing::score(chooser.placement, node, &class.demand, &chooser.typical);
            return (choice.score, choice.devices);
        }
        let score = match chooser.placement {
            Placement::BestFit => BestFit.score(&class.request, offer),
            Placement::WorstFit => Spread.score(&class.request, offer),
            Placement::DotProduct => chooser.alignment.score(&class.request, offer),
            // Policies about GPUs put tasks without them where there are none.
            Placement::GpuPacking | Placement::GpuClustering | Placement::GradientDescent => f64::INFINITY,
            Placement::FirstFit | Placement::Random => 0.0,
        };
        (score, Vec::new())
    }

    fn random_devices(&self, class: &ClassRequest, stream: &mut Stream) -> Vec<usize> {
        self.node.as_ref().map_or_else(Vec::new, |node| packing::random_devices(node, &class.demand, stream))
    }

    fn take(&mut self, class: &ClassRequest, devices: &[usize]) {
        self.free = self.free.minus_clamped(&class.class.amounts);
        self.budget = self.budget.saturating_sub(1);
        if let Some(node) = &mut self.node {
            node.take(&class.demand, devices);
        }
    }
}
