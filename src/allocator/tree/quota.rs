//! Quotas in the tree: what roles are charged for, what is set aside for them, and what they may still have.

use super::{Kind, Leaf, Place, ROOT, RoleTree};
use crate::allocator::agents::Amounts;
use crate::protocol::{Limits, Quota};
use crate::resources::{Quantities, Role};

/// What concerns quotas of a node.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// What is allocated but not charged for: the reserved, which is charged for anyway, and the revocable.
    pub(super) exempt: Quantities,
    /// What is reserved to the role or those below it, on all agents, used or not.
    reserved: Quantities,
    pub(super) quota: Option<Box<Quota>>,
    /// What must be kept back for guarantees of the role and those below it that are not met.
    required: Quantities,
    /// The sum of it over the child roles.
    pub(super) required_below: Quantities,
    /// In how many roles, here and below, frameworks want offers while their role's guarantee is not met.
    needy: usize,
}

impl Charges {
    /// Whether nothing is set or reserved.
    pub(super) fn are_default(&self) -> bool {
        self.quota.is_none() && self.reserved.is_empty()
    }

    /// The role's own quota.
    pub(super) fn quota(&self) -> Quota {
        self.quota.as_deref().cloned().unwrap_or_default()
    }

    pub(super) fn is_needy(&self) -> bool {
        self.needy > 0
    }
}

impl RoleTree {
    /// Whether any role has a quota.
    pub(in crate::allocator) fn has_quota(&self) -> bool {
        self.guaranteed > 0 || self.limited > 0
    }

    /// Whether any role's guarantee is not met while frameworks want offers for it.
    pub(in crate::allocator) fn is_anyone_needy(&self) -> bool {
        self.nodes[ROOT].charges.is_needy()
    }

    /// All quotas.
    pub(in crate::allocator) fn quotas(&self) -> impl Iterator<Item = (&Role, &Quota)> {
        self.roles
            .iter()
            .filter_map(|(role, place)| Some((role, self.nodes[*place].charges.quota.as_deref()?)))
    }

    /// Sets a role's quota, used or not; the default one takes it away.
    pub(in crate::allocator) fn set_quota(&mut self, role: &Role, quota: Quota) {
        let place = self.role(role);
        let before = self.nodes[place].charges.quota.take();
        let before = before.as_deref();
        self.guaranteed -= usize::from(before.is_some_and(|quota| !quota.guarantee.is_empty()));
        self.limited -= usize::from(before.is_some_and(|quota| !quota.limit.is_none()));
        self.guaranteed += usize::from(!quota.guarantee.is_empty());
        self.limited += usize::from(!quota.limit.is_none());
        self.nodes[place].charges.quota = (!quota.is_default()).then(|| Box::new(quota));
        self.settle_roles(place);
        self.prune(place);
    }

    /// Something is reserved to a role on some agent.
    pub(in crate::allocator) fn add_reserved(&mut self, role: &Role, amounts: &Quantities) {
        let place = self.role(role);
        self.change_reserved(place, |reserved| reserved.add(amounts));
    }

    /// Something is not reserved to a role any more.
    pub(in crate::allocator) fn subtract_reserved(&mut self, role: &Role, amounts: &Quantities) {
        let place = self.role(role);
        self.change_reserved(place, |reserved| reserved.subtract_clamped(amounts));
        self.prune(place);
    }

    fn change_reserved(&mut self, role: Place, change: impl Fn(&mut Quantities)) {
        let mut place = role;
        while place != ROOT {
            change(&mut self.nodes[place].charges.reserved);
            place = self.nodes[place].parent;
        }
        self.settle_roles(role);
    }

    /// What a role is charged for.
    pub(in crate::allocator) fn charged(&self, role: &Role) -> Quantities {
        self.roles.get(role).map(|place| self.charged_at(*place)).unwrap_or_default()
    }

    pub(super) fn charged_at(&self, place: Place) -> Quantities {
        let node = &self.nodes[place];
        let mut charged = node.allocated.minus_clamped(&node.charges.exempt);
        charged.add(&node.charges.reserved);
        charged
    }

    /// What all frameworks together have that is neither reserved nor revocable.
    pub(in crate::allocator) fn unexempt(&self) -> Quantities {
        self.nodes[ROOT].allocated.minus_clamped(&self.nodes[ROOT].charges.exempt)
    }

    /// What must be kept back for all guarantees that are not met.
    pub(in crate::allocator) fn kept_back(&self) -> &Quantities {
        &self.nodes[ROOT].charges.required_below
    }

    /// What a leaf's role lacks of its guarantee, without what is kept back for the roles below it.
    pub(in crate::allocator) fn lacking(&self, leaf: Leaf) -> Quantities {
        let own = self.nodes[leaf].parent;
        self.lacking_at(self.nodes[own].parent)
    }

    fn lacking_at(&self, role: Place) -> Quantities {
        self.unmet_at(role).minus_clamped(&self.nodes[role].charges.required_below)
    }

    fn unmet_at(&self, role: Place) -> Quantities {
        match &self.nodes[role].charges.quota {
            Some(quota) if !quota.guarantee.is_empty() => {
                quota.guarantee.minus_clamped(&self.charged_at(role))
            }
            _ => Quantities::new(),
        }
    }

    /// What the limits of a leaf's role and of those above it leave; `None` when there are none.
    pub(in crate::allocator) fn room(&self, leaf: Leaf) -> Option<Limits> {
        if self.limited == 0 {
            return None;
        }
        let mut room: Option<Limits> = None;
        let mut place = leaf;
        while place != ROOT {
            let node = &self.nodes[place];
            if let Some(quota) = node.charges.quota.as_ref().filter(|quota| !quota.limit.is_none()) {
                let left = quota.limit.minus(&self.charged_at(place));
                room = Some(match room {
                    Some(room) => room.and(left),
                    None => left,
                });
            }
            place = node.parent;
        }
        room
    }

    /// The role, the leaf's own or one above it, whose limit is exceeded with so much more, and by how much.
    pub(in crate::allocator) fn exceeded(
        &self,
        leaf: Leaf,
        more: &Quantities,
    ) -> Option<(&Role, Quantities)> {
        let mut place = leaf;
        while place != ROOT {
            let node = &self.nodes[place];
            if let (Kind::Role { role, .. }, Some(quota)) = (&node.kind, &node.charges.quota) {
                let room = quota.limit.minus(&self.charged_at(place));
                let most: Quantities = room.iter().map(|(kind, most)| (kind.clone(), most)).collect();
                let limited = more.iter().filter(|(kind, _)| room.get(kind).is_some());
                let limited: Quantities = limited.map(|(kind, amount)| (kind.clone(), amount)).collect();
                let exceeding = limited.minus_clamped(&most);
                if !exceeding.is_empty() {
                    return Some((role, exceeding));
                }
            }
            place = node.parent;
        }
        None
    }

    /// Works out anew what is kept back for roles from a leaf up, after what they have or want has changed.
    pub(super) fn settle_guarantees(&mut self, leaf: Leaf) {
        if self.guaranteed > 0 {
            let own = self.nodes[leaf].parent;
            self.settle_roles(self.nodes[own].parent);
        }
    }

    /// As [`settle_guarantees`](Self::settle_guarantees), from a role up.
    fn settle_roles(&mut self, role: Place) {
        let mut place = role;
        while place != ROOT {
            let mut required = self.unmet_at(place);
            let parent = self.nodes[place].parent;
            let charges = &mut self.nodes[place].charges;
            required = required.max(&charges.required_below);
            if required != charges.required {
                let before = std::mem::replace(&mut charges.required, required.clone());
                let above = &mut self.nodes[parent].charges.required_below;
                above.subtract_clamped(&before);
                above.add(&required);
            }
            self.settle_need(place);
            place = parent;
        }
    }

    /// Notes whether a role's own frameworks want offers while its guarantee is not met.
    fn settle_need(&mut self, role: Place) {
        let Kind::Role { own: Some(own), .. } = self.nodes[role].kind else { return };
        let is_needy = self.nodes[own].wanting > 0 && !self.lacking_at(role).is_empty();
        if is_needy == self.nodes[own].charges.is_needy() {
            return;
        }
        let mut place = own;
        loop {
            let charges = &mut self.nodes[place].charges;
            if is_needy {
                charges.needy += 1;
            } else {
                charges.needy -= 1;
            }
            if place == ROOT {
                return;
            }
            self.mark_stale(place);
            place = self.nodes[place].parent;
        }
    }
}

impl Amounts {
    /// What quotas are charged for of these.
    pub(in crate::allocator) fn charged(&self) -> Quantities {
        self.exempt.as_ref().map_or_else(|| self.scalars.clone(), |exempt| self.scalars.minus_clamped(exempt))
    }
}
