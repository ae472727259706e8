//! The role tree: who has what, and who is furthest below its fair share.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use crate::protocol::{FrameworkId, Weight};
use crate::resources::{Quantities, Role, Share};

/// The invisible root above all top-level roles.
const ROOT: usize = 0;

/// A role, or a framework in a role.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Name,
    parent: usize,
    children: Vec<usize>,
    pub(super) weight: Weight,
    pub(super) allocated: Quantities,
    /// How many allocations were made: the round-robin among equals, as in Mesos' sorter.
    count: u64,
    /// A framework that wants offers. Roles are looked through whatever this says.
    pub(super) wants: bool,
}

/// What a node stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A framework in the role above it: a leaf.
    Framework(FrameworkId, usize),
    /// A role.
    Role(Role),
}

/// Roles and their frameworks. A role that has both child roles and frameworks shares between the two sides' members as
/// Mesos does through its virtual leaf, here with the frameworks standing beside the child roles' subtrees as leaves.
#[derive(Debug)]
pub(super) struct RoleTree {
    nodes: Vec<Option<Node>>,
    roles: FxHashMap<Role, usize>,
    free: Vec<usize>,
}

impl Default for RoleTree {
    fn default() -> Self {
        let root = Node {
            name: Name::Role(Role::any()),
            parent: ROOT,
            children: Vec::new(),
            weight: Weight::ONE,
            allocated: Quantities::new(),
            count: 0,
            wants: false,
        };
        RoleTree { nodes: vec![Some(root)], roles: FxHashMap::default(), free: Vec::new() }
    }
}

impl RoleTree {
    /// The node of a role, made with its ancestors when it is new.
    pub(super) fn role(&mut self, role: &Role) -> usize {
        if let Some(place) = self.roles.get(role) {
            return *place;
        }
        let parent = role.parent().map_or(ROOT, |parent| self.role(&parent));
        let place = self.insert(Name::Role(role.clone()), parent);
        self.roles.insert(role.clone(), place);
        place
    }

    /// A new leaf for a framework.
    pub(super) fn add_leaf(&mut self, role: usize, id: FrameworkId, slot: usize) -> usize {
        self.insert(Name::Framework(id, slot), role)
    }

    fn insert(&mut self, name: Name, parent: usize) -> usize {
        let node = Node {
            name,
            parent,
            children: Vec::new(),
            weight: Weight::ONE,
            allocated: Quantities::new(),
            count: 0,
            wants: false,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place] = Some(node);
                place
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() - 1
            }
        };
        if let Some(parent) = &mut self.nodes[parent] {
            parent.children.push(place);
        }
        place
    }

    /// Removes a leaf; what it still had is taken off its ancestors.
    pub(super) fn remove_leaf(&mut self, leaf: usize) {
        let Some(allocated) = self.get(leaf).map(|node| node.allocated.clone()) else { return };
        self.subtract(leaf, &allocated);
        let Some(node) = self.nodes[leaf].take() else { return };
        if let Some(parent) = &mut self.nodes[node.parent] {
            parent.children.retain(|child| *child != leaf);
        }
        self.free.push(leaf);
    }

    pub(super) fn get(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Node> {
        self.nodes.get_mut(place).and_then(Option::as_mut)
    }

    /// All roles, by name.
    pub(super) fn roles(&self) -> Vec<(&Role, &Node)> {
        let mut roles: Vec<_> =
            self.roles.iter().filter_map(|(role, place)| Some((role, self.get(*place)?))).collect();
        roles.sort_by_key(|(role, _)| *role);
        roles
    }

    /// How many frameworks are in the role itself.
    pub(super) fn frameworks_in(&self, node: &Node) -> usize {
        let is_framework =
            |place: &&usize| self.get(**place).is_some_and(|child| matches!(child.name, Name::Framework(..)));
        node.children.iter().filter(is_framework).count()
    }

    /// A leaf has more. `counted` when it is a new allocation.
    pub(super) fn add(&mut self, leaf: usize, amounts: &Quantities, counted: bool) {
        let mut place = leaf;
        while place != ROOT {
            let Some(node) = self.get_mut(place) else { return };
            node.allocated.add(amounts);
            node.count += u64::from(counted);
            place = node.parent;
        }
    }

    /// A leaf has less.
    pub(super) fn subtract(&mut self, leaf: usize, amounts: &Quantities) {
        let mut place = leaf;
        while place != ROOT {
            let Some(node) = self.get_mut(place) else { return };
            node.allocated = node.allocated.minus_clamped(amounts);
            place = node.parent;
        }
    }

    /// Visits the leaves that want offers, those furthest below their fair share first, until `visit` takes one.
    pub(super) fn find(&self, total: &Quantities, mut visit: impl FnMut(&Node) -> bool) -> bool {
        self.find_below(ROOT, total, &mut visit)
    }

    fn find_below(&self, place: usize, total: &Quantities, visit: &mut impl FnMut(&Node) -> bool) -> bool {
        let Some(node) = self.get(place) else { return false };
        let mut order: Vec<(Share, &Node, usize)> = node
            .children
            .iter()
            .filter_map(|child| {
                let node = self.get(*child)?;
                (node.wants || matches!(node.name, Name::Role(_)))
                    .then(|| (node.allocated.dominant_share(total), node, *child))
            })
            .collect();
        order.sort_by(|a, b| compare((&a.0, a.1), (&b.0, b.1)));
        order.into_iter().any(|(_, node, place)| match node.name {
            Name::Framework(..) => visit(node),
            Name::Role(_) => self.find_below(place, total, visit),
        })
    }

    /// The role's place among its siblings, from 1, and how many they are.
    pub(super) fn rank(&self, role: &Role, total: &Quantities) -> Option<(usize, usize)> {
        let place = *self.roles.get(role)?;
        let node = self.get(place)?;
        let siblings = &self.get(node.parent)?.children;
        let own = node.allocated.dominant_share(total);
        let ahead = siblings.iter().filter_map(|sibling| self.get(*sibling)).filter(|sibling| {
            let share = sibling.allocated.dominant_share(total);
            compare((&share, sibling), (&own, node)) == Ordering::Less
        });
        Some((ahead.count() + 1, siblings.len()))
    }
}

/// The order of siblings: share divided by weight, then number of allocations, then name.
fn compare(a: (&Share, &Node), b: (&Share, &Node)) -> Ordering {
    a.0.cmp_weighted(a.1.weight.milli(), *b.0, b.1.weight.milli())
        .then(a.1.count.cmp(&b.1.count))
        .then_with(|| a.1.name.cmp(&b.1.name))
}
