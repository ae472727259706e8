//! The role tree: who has what, and who is furthest below its fair share.

use std::collections::BTreeSet;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use super::frameworks::FrameworkSlot;
use crate::protocol::{FrameworkId, Weight};
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
    Framework {
        role: Role,
        slot: FrameworkSlot,
    },
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
    allocated: Quantities,
    /// How many allocations were made: the round-robin among equals, as in Mesos' sorter.
    count: u64,
    /// How many frameworks want offers, here and below.
    wanting: usize,
    /// Its rank among its siblings, when anyone here wants offers.
    rank: Option<Rank>,
    /// Its rank may not be right any more.
    stale: bool,
    /// The children where anyone wants offers, furthest below their fair share first.
    ranked: BTreeSet<Rank>,
}

/// What siblings are ordered by: share divided by weight, then number of allocations, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    weighted_share: u64,
    count: u64,
    name: CompactString,
    place: Place,
}

/// A role as others see it.
pub(super) struct RoleView<'a> {
    pub(super) role: &'a Role,
    pub(super) weight: Weight,
    pub(super) allocated: &'a Quantities,
    pub(super) frameworks: usize,
}

/// Roles and their frameworks, in the order in which they are served.
///
/// Between cycles, changes only mark the nodes that they concern; [`rank_for`](Self::rank_for) ranks these anew before the
/// order is asked for. Within a cycle each [`add`](Self::add) moves the nodes that it concerns at once.
#[derive(Debug)]
pub(super) struct RoleTree {
    nodes: Vec<Node>,
    unused: Vec<Place>,
    roles: FxHashMap<Role, Place>,
    /// The cluster's total for which the nodes are ranked.
    total: Quantities,
    stale: Vec<Place>,
}

impl Default for RoleTree {
    fn default() -> Self {
        RoleTree {
            nodes: vec![Node::new(Kind::Root, CompactString::default(), ROOT)],
            unused: Vec::new(),
            roles: FxHashMap::default(),
            total: Quantities::new(),
            stale: Vec::new(),
        }
    }
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
            rank: None,
            stale: false,
            ranked: BTreeSet::new(),
        }
    }

    fn rank(&self, place: Place, total: &Quantities) -> Rank {
        Rank {
            weighted_share: self.allocated.dominant_share(total).weighted_key(self.weight.milli()),
            count: self.count,
            name: self.name.clone(),
            place,
        }
    }
}

impl RoleTree {
    /// A new leaf for a framework in a role. It wants nothing yet.
    pub(super) fn add_leaf(&mut self, role: &Role, id: &FrameworkId, slot: FrameworkSlot) -> Leaf {
        let own = self.own(role);
        self.insert(Kind::Framework { role: role.clone(), slot }, id.as_str().into(), own)
    }

    /// Removes a leaf, and its role when nothing is left of it. What the leaf had is taken off its ancestors.
    pub(super) fn remove_leaf(&mut self, leaf: Leaf) {
        self.set_wants(leaf, false);
        let allocated = self.nodes[leaf].allocated.clone();
        self.subtract(leaf, &allocated);
        let own = self.remove(leaf);
        if self.nodes[own].children == 0 {
            let above = self.remove(own);
            if let Kind::Role { own, .. } = &mut self.nodes[above].kind {
                *own = None;
            }
            self.prune(above);
        }
    }

    /// The framework and the role of a leaf.
    pub(super) fn member(&self, leaf: Leaf) -> Option<(FrameworkSlot, &Role)> {
        match &self.nodes[leaf].kind {
            Kind::Framework { role, slot } => Some((*slot, role)),
            _ => None,
        }
    }

    /// What a leaf has, offered or in use.
    pub(super) fn allocated(&self, leaf: Leaf) -> &Quantities {
        &self.nodes[leaf].allocated
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
    pub(super) fn note(&mut self, leaf: Leaf, amounts: &Quantities) {
        self.change(leaf, |node| {
            node.allocated.add(amounts);
            node.count += 1;
        });
    }

    /// A leaf got one more allocation, within a cycle: it and those above it move back in the order.
    pub(super) fn add(&mut self, leaf: Leaf, amounts: &Quantities) {
        let mut place = leaf;
        while place != ROOT {
            let node = &mut self.nodes[place];
            node.allocated.add(amounts);
            node.count += 1;
            let parent = node.parent;
            // Whoever has no competitor needs no new rank before there is one.
            if self.nodes[parent].ranked.len() > 1 {
                self.rank_again(place);
            } else {
                self.mark_stale(place);
            }
            place = parent;
        }
        self.nodes[ROOT].allocated.add(amounts);
    }

    /// A leaf has less.
    pub(super) fn subtract(&mut self, leaf: Leaf, amounts: &Quantities) {
        self.change(leaf, |node| node.allocated.subtract_clamped(amounts));
    }

    /// What a leaf has turned into something else; that is no new allocation.
    pub(super) fn convert(&mut self, leaf: Leaf, from: &Quantities, into: &Quantities) {
        if from != into {
            self.change(leaf, |node| {
                node.allocated.subtract_clamped(from);
                node.allocated.add(into);
            });
        }
    }

    /// Brings all ranks up to date, for this total of the cluster.
    pub(super) fn rank_for(&mut self, total: &Quantities) {
        let stale = std::mem::take(&mut self.stale);
        if self.total == *total {
            for place in stale {
                if std::mem::take(&mut self.nodes[place].stale) {
                    self.rank_again(place);
                }
            }
            return;
        }
        self.total = total.clone();
        for place in &stale {
            self.nodes[*place].stale = false;
            self.rank_again(*place);
        }
        let mut below = vec![ROOT];
        while let Some(place) = below.pop() {
            let children = std::mem::take(&mut self.nodes[place].ranked);
            below.extend(children.iter().map(|rank| rank.place));
            let mut again = |rank: Rank| {
                let rank = self.nodes[rank.place].rank(rank.place, &self.total);
                self.nodes[rank.place].rank = Some(rank.clone());
                rank
            };
            let ranked = children.into_iter().map(&mut again).collect();
            self.nodes[place].ranked = ranked;
        }
    }

    /// The first leaf that wants offers and that `takes` agrees to, those furthest below their fair share first. As of the
    /// last [`rank_for`](Self::rank_for).
    pub(super) fn first(&self, mut takes: impl FnMut(Leaf) -> bool) -> Option<Leaf> {
        self.first_below(ROOT, &mut takes)
    }

    fn first_below(&self, place: Place, takes: &mut impl FnMut(Leaf) -> bool) -> Option<Leaf> {
        self.nodes[place].ranked.iter().find_map(|rank| match self.nodes[rank.place].kind {
            Kind::Framework { .. } => takes(rank.place).then_some(rank.place),
            _ => self.first_below(rank.place, takes),
        })
    }

    /// A role's place in the order in which roles that want offers are served, from 1, and how many they are.
    pub(super) fn rank(&self, role: &Role, total: &Quantities) -> Option<(usize, usize)> {
        let mut siblings: FxHashMap<Place, BTreeSet<Rank>> = FxHashMap::default();
        for (place, node) in self.nodes.iter().enumerate().skip(1).filter(|(_, node)| node.wanting > 0) {
            siblings.entry(node.parent).or_default().insert(node.rank(place, total));
        }
        let mut order = Vec::new();
        self.order_below(ROOT, &siblings, &mut order);
        let before = order.iter().position(|other| *other == role)?;
        Some((before + 1, order.len()))
    }

    fn order_below<'a>(
        &'a self,
        place: Place,
        siblings: &FxHashMap<Place, BTreeSet<Rank>>,
        order: &mut Vec<&'a Role>,
    ) {
        for rank in siblings.get(&place).into_iter().flatten() {
            match (&self.nodes[rank.place].kind, &self.nodes[place].kind) {
                (Kind::Own, Kind::Role { role, .. }) => order.push(role),
                _ => self.order_below(rank.place, siblings, order),
            }
        }
    }

    /// All roles, by name.
    pub(super) fn roles(&self) -> Vec<RoleView<'_>> {
        let view = |(role, place): (_, &Place)| {
            let node = &self.nodes[*place];
            let frameworks = match node.kind {
                Kind::Role { own: Some(own), .. } => self.nodes[own].children,
                _ => 0,
            };
            RoleView { role, weight: node.weight, allocated: &node.allocated, frameworks }
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
        if let Some(rank) = self.nodes[place].rank.take() {
            self.nodes[parent].ranked.remove(&rank);
        }
        self.nodes[parent].children -= 1;
        self.unused.push(place);
        parent
    }

    /// Forgets roles that are neither in use nor have a weight of their own, from here up.
    fn prune(&mut self, mut place: Place) {
        while let Kind::Role { role, own: None } = &self.nodes[place].kind {
            if self.nodes[place].children > 0 || self.nodes[place].weight != Weight::ONE {
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
                return;
            }
            self.mark_stale(place);
            place = self.nodes[place].parent;
        }
    }

    fn mark_stale(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        if !node.stale {
            node.stale = true;
            self.stale.push(place);
        }
    }

    /// Moves a node to where it belongs among its siblings.
    fn rank_again(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        let parent = node.parent;
        let rank = (node.wanting > 0).then(|| node.rank(place, &self.total));
        if node.rank == rank {
            return;
        }
        let before = std::mem::replace(&mut node.rank, rank.clone());
        let siblings = &mut self.nodes[parent].ranked;
        if let Some(before) = before {
            siblings.remove(&before);
        }
        siblings.extend(rank);
    }
}
