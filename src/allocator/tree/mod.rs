//! The role tree: who has what, who is furthest below its fair share, and what quotas leave to whom.
//!
//! Top-level roles stand below an invisible root, child roles below their parents. The frameworks of a role stand together
//! below one node of their own beside its child roles, as behind Mesos' virtual leaf. Amounts are counted on all nodes from
//! a framework up; [`order`] keeps siblings in the order in which they are served, [`quota`] what is guaranteed and limited.

mod ledger;
mod order;
mod quota;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

pub(super) use self::ledger::{Claim, Ledger, Standing};
use self::order::Order;
pub(super) use self::order::{Lane, Walk};
use self::quota::Charges;
use super::agents::{Agent, Amounts, Change};
use super::demand::Demand;
use super::frameworks::FrameworkSlot;
use super::options::Ties;
use super::profile::FrameworkProfile;
use crate::protocol::{Capabilities, FrameworkId, OfferConstraints, OfferMode, Quota, Weight};
use crate::resources::{Quantities, Role};

/// A node's place in the tree; given to another when the node is gone.
type Place = usize;

/// The place of a framework in a role.
pub(super) type Leaf = Place;

/// The invisible root above all top-level roles.
const ROOT: Place = 0;

/// What the frameworks of a role stand under, beside the role's child roles: Mesos' virtual leaf.
const OWN: &str = ".";

/// What a node stands for.
#[derive(Debug)]
enum Kind {
    Root,
    /// A role, and where its own frameworks are.
    Role {
        role: Role,
        own: Option<Place>,
    },
    /// The frameworks of the role above, as one.
    Own,
    Framework(Box<Member>),
}

/// A framework in a role, and what of it decides about offers.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) slot: FrameworkSlot,
    pub(super) role: Role,
    pub(super) capabilities: Capabilities,
    /// One of these amounts suffices for an offer; `None`: the cluster's.
    pub(super) min_allocatable: Option<Vec<Quantities>>,
    pub(super) constraints: Option<OfferConstraints>,
    /// How its role's resources are offered.
    pub(super) offer_mode: OfferMode,
    /// What it waits for, if it has said so.
    pub(super) demand: Option<Demand>,
}

impl Member {
    /// Whether it can deal with an agent, and wants offers of it.
    pub(super) fn is_open_to(&self, agent: &Agent) -> bool {
        self.capabilities.contain(agent.needed)
            && self.constraints.as_ref().is_none_or(|constraints| constraints.allow(&agent.profile))
    }

    /// Whether more of an agent than its resources decides about whether it is wanted.
    fn is_choosy(&self) -> bool {
        self.constraints.is_some() || self.demand.as_ref().is_some_and(Demand::is_choosy)
    }
}

/// A role, the frameworks of a role, or a framework in a role.
#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Orders siblings that are equal otherwise.
    name: CompactString,
    parent: Place,
    children: usize,
    weight: Weight,
    /// What it has, offered or in use.
    allocated: Quantities,
    /// How many allocations were made: the round-robin among equals, as in Mesos' sorter.
    count: u64,
    /// How many frameworks want offers, here and below.
    wanting: usize,
    order: Order,
    charges: Charges,
}

impl Node {
    fn new(kind: Kind, name: CompactString, parent: Place) -> Self {
        Node {
            kind,
            name,
            parent,
            children: 0,
            weight: Weight::ONE,
            allocated: Quantities::new(),
            count: 0,
            wanting: 0,
            order: Order::default(),
            charges: Charges::default(),
        }
    }
}

/// A role as others see it.
pub(super) struct RoleView<'a> {
    pub(super) role: &'a Role,
    pub(super) weight: Weight,
    pub(super) quota: Quota,
    pub(super) allocated: &'a Quantities,
    pub(super) frameworks: usize,
}

/// Roles and their frameworks.
///
/// Between cycles, changes only mark the nodes that they concern; [`rank_for`](Self::rank_for) ranks these anew before the
/// order is asked for. Within a cycle each [`add`](Self::add) moves the nodes that it concerns at once.
#[derive(Debug)]
pub(super) struct RoleTree {
    ties: Ties,
    nodes: Vec<Node>,
    unused: Vec<Place>,
    roles: FxHashMap<Role, Place>,
    /// The cluster's total for which the nodes are ranked.
    total: Quantities,
    stale: Vec<Place>,
    /// How many roles are guaranteed something.
    guaranteed: usize,
    /// How many roles are limited.
    limited: usize,
    /// How many leaves do not take any agent.
    choosy: usize,
}

impl Default for RoleTree {
    fn default() -> Self {
        RoleTree::new(Ties::default())
    }
}

impl RoleTree {
    /// No roles yet; equals are served in the order of `ties`.
    pub(super) fn new(ties: Ties) -> Self {
        RoleTree {
            ties,
            nodes: vec![Node::new(Kind::Root, CompactString::default(), ROOT)],
            unused: Vec::new(),
            roles: FxHashMap::default(),
            total: Quantities::new(),
            stale: Vec::new(),
            guaranteed: 0,
            limited: 0,
            choosy: 0,
        }
    }

    /// A new leaf for a framework in a role. It wants nothing yet, and can deal with nothing special.
    pub(super) fn add_leaf(&mut self, role: &Role, id: &FrameworkId, slot: FrameworkSlot) -> Leaf {
        let own = self.own(role);
        let member = Member {
            slot,
            role: role.clone(),
            capabilities: Capabilities::NONE,
            min_allocatable: None,
            constraints: None,
            offer_mode: OfferMode::default(),
            demand: None,
        };
        self.insert(Kind::Framework(Box::new(member)), id.as_str().into(), own)
    }

    /// Removes a leaf that has nothing any more, and its role when nothing is left of it.
    pub(super) fn remove_leaf(&mut self, leaf: Leaf) {
        self.set_wants(leaf, false);
        self.choosy -= usize::from(self.member(leaf).is_some_and(Member::is_choosy));
        let own = self.remove(leaf);
        if self.nodes[own].children == 0 {
            let above = self.remove(own);
            if let Kind::Role { own, .. } = &mut self.nodes[above].kind {
                *own = None;
            }
            self.prune(above);
        }
    }

    /// What decides about a leaf's offers.
    pub(super) fn member(&self, leaf: Leaf) -> Option<&Member> {
        match &self.nodes[leaf].kind {
            Kind::Framework(member) => Some(member),
            _ => None,
        }
    }

    /// Changes what a leaf waits for; `None` when it has not said what.
    pub(super) fn change_demand<T>(
        &mut self,
        leaf: Leaf,
        change: impl FnOnce(&mut Demand) -> T,
    ) -> Option<T> {
        match &mut self.nodes[leaf].kind {
            Kind::Framework(member) => member.demand.as_mut().map(change),
            _ => None,
        }
    }

    /// Sets what a leaf waits for. Returns whether that is more than before.
    pub(super) fn set_demand(&mut self, leaf: Leaf, demand: Option<Demand>) -> bool {
        let Kind::Framework(member) = &mut self.nodes[leaf].kind else { return false };
        self.choosy -= usize::from(member.is_choosy());
        let before = std::mem::replace(&mut member.demand, demand);
        self.choosy += usize::from(member.is_choosy());
        match &member.demand {
            Some(demand) => demand.asks_more_than(before.as_ref()),
            None => before.is_some(),
        }
    }

    /// Sets how a leaf is offered resources.
    pub(super) fn set_offer_mode(&mut self, leaf: Leaf, mode: OfferMode) {
        if let Kind::Framework(member) = &mut self.nodes[leaf].kind {
            member.offer_mode = mode;
        }
    }

    /// Takes over what a framework says about itself.
    pub(super) fn set_profile(&mut self, leaf: Leaf, profile: &FrameworkProfile) {
        if let Kind::Framework(member) = &mut self.nodes[leaf].kind {
            member.capabilities = profile.capabilities;
            member.min_allocatable = profile.min_allocatable.get(&member.role).cloned();
            self.choosy -= usize::from(member.is_choosy());
            member.constraints = profile.constraints.get(&member.role).cloned();
            self.choosy += usize::from(member.is_choosy());
        }
    }

    /// Whether any framework wants offers of some agents only.
    pub(super) fn is_anyone_choosy(&self) -> bool {
        self.choosy > 0
    }

    /// What a leaf has, offered or in use.
    pub(super) fn allocated(&self, leaf: Leaf) -> &Quantities {
        &self.nodes[leaf].allocated
    }

    /// Whether a leaf wants offers.
    pub(super) fn is_wanting(&self, leaf: Leaf) -> bool {
        self.nodes[leaf].wanting > 0
    }

    /// Whether anyone wants offers.
    pub(super) fn is_anyone_wanting(&self) -> bool {
        self.nodes[ROOT].wanting > 0
    }

    /// Whether a framework wants offers for a role.
    pub(super) fn set_wants(&mut self, leaf: Leaf, wants: bool) {
        if (self.nodes[leaf].wanting > 0) == wants {
            return;
        }
        self.change(leaf, |node| {
            if wants {
                node.wanting += 1;
            } else {
                node.wanting -= 1;
            }
        });
    }

    /// Sets a role's weight, used or not.
    pub(super) fn set_weight(&mut self, role: &Role, weight: Weight) {
        let place = self.role(role);
        self.nodes[place].weight = weight;
        self.mark_stale(place);
        self.prune(place);
    }

    /// A leaf got one more allocation, outside a cycle.
    pub(super) fn note(&mut self, leaf: Leaf, got: &Change) {
        self.change(leaf, |node| {
            node.count += 1;
            node.gain(&got.amounts);
        });
        self.gain_shared(leaf, got);
    }

    /// A leaf got one more allocation, within a cycle: it and those above it move back in the order.
    pub(super) fn add(&mut self, leaf: Leaf, got: &Change) {
        if self.guaranteed > 0 || !got.shared.is_empty() {
            self.note(leaf, got);
            self.rank_stale();
            return;
        }
        let mut place = leaf;
        while place != ROOT {
            let node = &mut self.nodes[place];
            node.count += 1;
            node.gain(&got.amounts);
            let parent = node.parent;
            // Whoever has no competitor needs no new rank before there is one.
            if self.has_competitors(place) {
                self.rank_again(place);
            } else {
                self.mark_stale(place);
            }
            place = parent;
        }
        self.nodes[ROOT].gain(&got.amounts);
    }

    /// A leaf has less.
    pub(super) fn subtract(&mut self, leaf: Leaf, lost: &Change) {
        self.change(leaf, |node| node.lose(&lost.amounts));
        self.each_alone_in_having(leaf, lost, Node::lose);
    }

    /// What a leaf has turned into something else; that is no new allocation.
    pub(super) fn convert(&mut self, leaf: Leaf, from: &Change, into: &Change) {
        self.change(leaf, |node| {
            node.lose(&from.amounts);
            node.gain(&into.amounts);
        });
        self.each_alone_in_having(leaf, from, Node::lose);
        self.gain_shared(leaf, into);
    }

    fn gain_shared(&mut self, leaf: Leaf, got: &Change) {
        self.each_alone_in_having(leaf, got, Node::gain);
    }

    /// Calls `count` with all nodes, from a leaf up, below which nobody else has copies of a shared volume.
    fn each_alone_in_having(&mut self, leaf: Leaf, changed: &Change, count: fn(&mut Node, &Amounts)) {
        for volume in &changed.shared {
            let with_copies: Vec<Place> =
                volume.others.iter().flat_map(|other| self.upwards(*other)).collect();
            let alone: Vec<Place> =
                self.upwards(leaf).take_while(|place| !with_copies.contains(place)).collect();
            for place in alone {
                count(&mut self.nodes[place], &volume.amounts);
                if place != ROOT {
                    self.mark_stale(place);
                }
            }
            self.settle_guarantees(leaf);
        }
    }

    /// A node and all above it, up to the root.
    fn upwards(&self, place: Place) -> impl Iterator<Item = Place> {
        let above = |place: &Place| (*place != ROOT).then(|| self.nodes[*place].parent);
        std::iter::successors(Some(place), above)
    }

    /// All roles, by name.
    pub(super) fn roles(&self) -> Vec<RoleView<'_>> {
        let view = |(role, place): (_, &Place)| {
            let node = &self.nodes[*place];
            let frameworks = match node.kind {
                Kind::Role { own: Some(own), .. } => self.nodes[own].children,
                _ => 0,
            };
            let quota = node.charges.quota();
            RoleView { role, weight: node.weight, quota, allocated: &node.allocated, frameworks }
        };
        let mut roles: Vec<_> = self.roles.iter().map(view).collect();
        roles.sort_by_key(|view| view.role);
        roles
    }

    /// The node of a role, made with its ancestors when it is new.
    fn role(&mut self, role: &Role) -> Place {
        if let Some(place) = self.roles.get(role) {
            return *place;
        }
        let parent = role.parent().map_or(ROOT, |parent| self.role(&parent));
        let name = role.components().next_back().unwrap_or_default().into();
        let place = self.insert(Kind::Role { role: role.clone(), own: None }, name, parent);
        self.roles.insert(role.clone(), place);
        place
    }

    /// Where the frameworks of a role are.
    fn own(&mut self, role: &Role) -> Place {
        let above = self.role(role);
        if let Kind::Role { own: Some(own), .. } = self.nodes[above].kind {
            return own;
        }
        let place = self.insert(Kind::Own, CompactString::const_new(OWN), above);
        if let Kind::Role { own, .. } = &mut self.nodes[above].kind {
            *own = Some(place);
        }
        place
    }

    fn insert(&mut self, kind: Kind, name: CompactString, parent: Place) -> Place {
        let node = Node::new(kind, name, parent);
        self.nodes[parent].children += 1;
        match self.unused.pop() {
            Some(place) => {
                self.nodes[place] = node;
                place
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// Takes a node without children out, and returns its parent.
    fn remove(&mut self, place: Place) -> Place {
        let parent = self.nodes[place].parent;
        self.leave_order(place);
        self.nodes[parent].children -= 1;
        self.unused.push(place);
        parent
    }

    /// Forgets roles that are not in use and about which nothing is set, from here up.
    fn prune(&mut self, mut place: Place) {
        while let Kind::Role { role, own: None } = &self.nodes[place].kind {
            let node = &self.nodes[place];
            if node.children > 0 || node.weight != Weight::ONE || !node.charges.are_default() {
                return;
            }
            self.roles.remove(role);
            place = self.remove(place);
        }
    }

    /// Changes a leaf and all nodes above it alike.
    fn change(&mut self, leaf: Leaf, mut change: impl FnMut(&mut Node)) {
        let mut place = leaf;
        loop {
            change(&mut self.nodes[place]);
            if place == ROOT {
                break;
            }
            self.mark_stale(place);
            place = self.nodes[place].parent;
        }
        self.settle_guarantees(leaf);
    }
}

impl Node {
    fn gain(&mut self, amounts: &Amounts) {
        self.allocated.add(&amounts.scalars);
        if let Some(exempt) = &amounts.exempt {
            self.charges.exempt.add(exempt);
        }
    }

    fn lose(&mut self, amounts: &Amounts) {
        self.allocated.subtract_clamped(&amounts.scalars);
        if let Some(exempt) = &amounts.exempt {
            self.charges.exempt.subtract_clamped(exempt);
        }
    }
}
