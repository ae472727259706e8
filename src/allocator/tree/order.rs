//! The order in which roles and frameworks are served: by fair share, or at random.

use std::collections::BTreeSet;
use std::ops::Bound;

use compact_str::CompactString;
use rustc_hash::FxHashMap;

use super::{Kind, Leaf, Node, Place, ROOT, RoleTree};
use crate::allocator::options::Ties;
use crate::allocator::random::Random;
use crate::resources::{Quantities, Role};

/// Where a node stands among its siblings.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Its rank, when anyone here wants offers.
    rank: Option<Rank>,
    /// The rank may not be right any more.
    stale: bool,
    /// The rank was not right when it was looked at last. That makes no difference as long as there is no competitor.
    outdated: bool,
    /// The children where anyone wants offers, furthest below their fair share first.
    ranked: BTreeSet<Rank>,
    /// Those of them where a guarantee is not met.
    needy: BTreeSet<Rank>,
}

/// What siblings are ordered by: share divided by weight, then number of allocations (unless ties are broken by name), then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    weighted_share: u64,
    count: u64,
    name: CompactString,
    place: Place,
}

/// Where a leaf stands in the order in which all are served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::allocator) struct Position(Vec<Rank>);

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::allocator) enum Lane {
    /// All that want offers.
    All,
    /// Those that want offers for a role whose guarantee is not met.
    Needy,
}

/// A walk through the leaves for one agent. The order is that of its beginning, whatever was added since.
#[derive(Debug)]
pub(in crate::allocator) struct Walk {
    lane: Lane,
    /// The ranks, from the root down, of the leaf that took something last, as they were before.
    last: Vec<Rank>,
    /// The nodes that have been moved in the order by this walk's takers.
    moved: Vec<Place>,
    /// The leaves still to come, last first, when the order is random.
    random: Option<Vec<Leaf>>,
}

impl Walk {
    /// By fair share.
    pub(in crate::allocator) fn new(lane: Lane) -> Self {
        Walk { lane, last: Vec::new(), moved: Vec::new(), random: None }
    }
}

impl Node {
    fn rank(&self, place: Place, total: &Quantities, ties: Ties) -> Rank {
        Rank {
            weighted_share: self.allocated.dominant_share(total).weighted_key(self.weight.milli()),
            count: if ties == Ties::FewerAllocations { self.count } else { 0 },
            name: self.name.clone(),
            place,
        }
    }
}

impl RoleTree {
    /// Brings all ranks up to date, for this total of the cluster.
    pub(in crate::allocator) fn rank_for(&mut self, total: &Quantities) {
        if self.total == *total {
            self.rank_stale();
            return;
        }
        self.total.clone_from(total);
        self.rank_stale();
        let mut below = vec![ROOT];
        while let Some(place) = below.pop() {
            let children = std::mem::take(&mut self.nodes[place].order.ranked);
            self.nodes[place].order.needy.clear();
            for Rank { place: child, .. } in children {
                below.push(child);
                self.nodes[child].order.rank = None;
                self.rank_again(child);
            }
        }
    }

    /// Ranks those anew that changed.
    pub(super) fn rank_stale(&mut self) {
        while let Some(place) = self.stale.pop() {
            if !std::mem::take(&mut self.nodes[place].order.stale) {
                continue;
            }
            if self.is_alone(place) && self.guaranteed == 0 {
                self.nodes[place].order.outdated = true;
            } else {
                self.rank_again(place);
            }
        }
    }

    /// Whether a node is the only one of its siblings that wants offers, and is known to.
    fn is_alone(&self, place: Place) -> bool {
        let node = &self.nodes[place];
        node.wanting > 0 && node.order.rank.is_some() && !self.has_competitors(place)
    }

    /// A node is about to get a competitor: if it has been the only one, its rank matters from now on.
    fn update_only_one(&mut self, parent: Place) {
        let ranked = &self.nodes[parent].order.ranked;
        if ranked.len() == 1
            && let Some(Rank { place, .. }) = ranked.first()
            && self.nodes[*place].order.outdated
        {
            self.rank_again(*place);
        }
    }

    pub(super) fn mark_stale(&mut self, place: Place) {
        let order = &mut self.nodes[place].order;
        if !order.stale {
            order.stale = true;
            self.stale.push(place);
        }
    }

    pub(super) fn has_competitors(&self, place: Place) -> bool {
        self.nodes[self.nodes[place].parent].order.ranked.len() > 1
    }

    /// Moves a node to where it belongs among its siblings.
    pub(super) fn rank_again(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        let (parent, is_needy) = (node.parent, node.charges.is_needy());
        if node.wanting == 0 && node.order.rank.is_none() {
            return;
        }
        let rank = (node.wanting > 0).then(|| node.rank(place, &self.total, self.ties));
        let before = std::mem::replace(&mut node.order.rank, rank.clone());
        node.order.outdated = false;
        if before.is_none() {
            self.update_only_one(parent);
        }
        let siblings = &mut self.nodes[parent].order;
        if before != rank {
            if let Some(before) = &before {
                siblings.ranked.remove(before);
                siblings.needy.remove(before);
            }
            siblings.ranked.extend(rank.clone());
        }
        match rank {
            Some(rank) if is_needy => siblings.needy.insert(rank),
            Some(rank) => siblings.needy.remove(&rank),
            None => false,
        };
    }

    pub(super) fn leave_order(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        let parent = node.parent;
        if let Some(rank) = node.order.rank.take() {
            self.nodes[parent].order.ranked.remove(&rank);
            self.nodes[parent].order.needy.remove(&rank);
        }
    }

    /// A walk in a random order, where roles and frameworks come early in proportion to their weights.
    pub(in crate::allocator) fn random_walk(&self, lane: Lane, random: &mut Random) -> Walk {
        let mut groups = Vec::new();
        self.weigh_below(ROOT, 1.0, &mut groups);
        let groups = random.shuffle_weighted(groups);
        let mut leaves: Vec<Leaf> = Vec::new();
        for own in groups {
            let mut members: Vec<Leaf> = self.nodes[own].order.ranked.iter().map(|rank| rank.place).collect();
            members.sort_by(|a, b| self.nodes[*a].name.cmp(&self.nodes[*b].name));
            random.shuffle(&mut members);
            leaves.extend(members);
        }
        leaves.reverse();
        Walk { random: Some(leaves), ..Walk::new(lane) }
    }

    /// Lists the groups of frameworks below a node, each with its part of the node's weight.
    fn weigh_below(&self, place: Place, weight: f64, groups: &mut Vec<(f64, Place)>) {
        let mut children: Vec<Place> = self.nodes[place].order.ranked.iter().map(|rank| rank.place).collect();
        children.sort_by(|a, b| self.nodes[*a].name.cmp(&self.nodes[*b].name));
        let of = |place: Place| f64::from(self.nodes[place].weight.milli());
        let sum: f64 = children.iter().map(|child| of(*child)).sum();
        for child in children {
            let part = weight * of(child) / sum;
            match self.nodes[child].kind {
                Kind::Own => groups.push((part, child)),
                _ => self.weigh_below(child, part, groups),
            }
        }
    }

    /// The next leaf of the walk that `takes` agrees to. As of the last [`rank_for`](Self::rank_for).
    pub(in crate::allocator) fn next(
        &self,
        walk: &mut Walk,
        mut takes: impl FnMut(Leaf) -> bool,
    ) -> Option<Leaf> {
        if let Some(leaves) = &mut walk.random {
            while let Some(leaf) = leaves.pop() {
                if takes(leaf) {
                    return Some(leaf);
                }
            }
            return None;
        }
        self.next_below(ROOT, walk, &walk.last, &mut takes)
    }

    /// Notes who takes something, before it is added to what it has.
    pub(in crate::allocator) fn took(&self, walk: &mut Walk, leaf: Leaf) {
        let mut last = Vec::new();
        let mut place = leaf;
        while place != ROOT {
            // Those above an earlier taker have been moved since: what counts is where they were.
            let before = walk.last.iter().find(|rank| rank.place == place);
            last.extend(before.or(self.nodes[place].order.rank.as_ref()).cloned());
            walk.moved.push(place);
            place = self.nodes[place].parent;
        }
        last.reverse();
        walk.last = last;
    }

    fn next_below(
        &self,
        place: Place,
        walk: &Walk,
        last: &[Rank],
        takes: &mut impl FnMut(Leaf) -> bool,
    ) -> Option<Leaf> {
        let (node, mut from) = (&self.nodes[place], Bound::Unbounded);
        if let Some((last, deeper)) = last.split_first() {
            if !deeper.is_empty()
                && let Some(found) = self.next_below(last.place, walk, deeper, takes)
            {
                return Some(found);
            }
            from = Bound::Excluded(last);
        }
        let siblings = match (walk.lane, &node.kind) {
            (Lane::Needy, Kind::Root | Kind::Role { .. }) => &node.order.needy,
            _ => &node.order.ranked,
        };
        let mut visit = |rank: &Rank| match self.nodes[rank.place].kind {
            _ if walk.moved.contains(&rank.place) => None,
            Kind::Framework(_) => takes(rank.place).then_some(rank.place),
            _ => self.next_below(rank.place, walk, &[], takes),
        };
        match from {
            Bound::Unbounded => siblings.iter().find_map(visit),
            from => siblings.range((from, Bound::Unbounded)).find_map(&mut visit),
        }
    }

    /// Lists what is waited for, none of which is nothing; `false` when not all that want offers have stated that.
    pub(in crate::allocator) fn list_demanded(&self, shapes: &mut Vec<Quantities>) -> bool {
        self.demanded_below(ROOT, shapes)
    }

    fn demanded_below(&self, place: Place, shapes: &mut Vec<Quantities>) -> bool {
        self.nodes[place].order.ranked.iter().all(|Rank { place, .. }| match &self.nodes[*place].kind {
            Kind::Framework(member) => member.demand.as_ref().is_some_and(|demand| {
                let before = shapes.len();
                shapes.extend(demand.unmet().cloned());
                !shapes[before..].iter().any(Quantities::is_empty)
            }),
            _ => self.demanded_below(*place, shapes),
        })
    }

    /// Where a leaf stands now, whether it wants offers or not.
    pub(in crate::allocator) fn position(&self, leaf: Leaf, total: &Quantities) -> Position {
        let mut ranks = Vec::new();
        let mut place = leaf;
        while place != ROOT {
            let node = &self.nodes[place];
            ranks.push(node.rank(place, total, self.ties));
            place = node.parent;
        }
        ranks.reverse();
        Position(ranks)
    }

    /// A role's place in the order in which roles that want offers are served, from 1, and how many they are.
    pub(in crate::allocator) fn rank(&self, role: &Role, total: &Quantities) -> Option<(usize, usize)> {
        let mut siblings: FxHashMap<Place, BTreeSet<Rank>> = FxHashMap::default();
        for (place, node) in self.nodes.iter().enumerate().skip(1).filter(|(_, node)| node.wanting > 0) {
            siblings.entry(node.parent).or_default().insert(node.rank(place, total, self.ties));
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
}
