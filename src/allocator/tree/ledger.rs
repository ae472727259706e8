//! What roles have and what they are entitled to, as a ledger of its own in which takings and givings can be tried.

use rustc_hash::FxHashMap;

use super::{Kind, Leaf, Place, ROOT, RoleTree};
use crate::allocator::agents::Amounts;
use crate::protocol::Limits;
use crate::resources::Quantities;

/// A whole share, in the units of [`Share::weighted_key`](crate::resources::Share::weighted_key).
const WHOLE: u64 = 1 << 52;

/// The weight, in thousandths, that leaves a share as it is.
const UNWEIGHTED: u32 = 1000;

/// By what right a role is given something that others have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::allocator) enum Claim {
    /// Its guarantee, which outranks fair shares.
    Guarantee,
    /// Its fair share.
    FairShare,
}

/// What concerns one node.
#[derive(Clone, Debug)]
struct Account {
    parent: Place,
    held: Quantities,
    charged: Quantities,
    guarantee: Quantities,
    /// What is kept back for roles below is not the role's own to claim.
    below: Quantities,
    limit: Limits,
    /// The share that is due to the node: its weight's part of what is due to its parent, among those siblings that have or want
    /// anything.
    fair: u64,
}

impl Account {
    fn share(&self, total: &Quantities) -> u64 {
        self.held.dominant_share(total).weighted_key(UNWEIGHTED)
    }

    fn unmet(&self) -> Quantities {
        self.guarantee.minus_clamped(&self.charged)
    }

    /// What is not met, and not kept back for roles below.
    fn lacking(&self) -> Quantities {
        self.unmet().minus_clamped(&self.below)
    }

    /// What has to be kept back for the node and those below it.
    fn required(&self) -> Quantities {
        self.unmet().max(&self.below)
    }
}

/// How some nodes stand.
#[derive(Debug)]
pub(in crate::allocator) struct Standing(FxHashMap<Place, Rights>);

/// How a node stands with what it is entitled to.
#[derive(Debug)]
struct Rights {
    share: u64,
    unmet: Quantities,
    lacking: Quantities,
}

/// See the module's documentation. Its nodes are roles, and the groups of their own frameworks.
#[derive(Clone, Debug)]
pub(in crate::allocator) struct Ledger {
    total: Quantities,
    accounts: FxHashMap<Place, Account>,
    /// Without any guarantee nothing is kept back.
    is_any_guaranteed: bool,
    kept_back: Quantities,
}

impl RoleTree {
    /// The ledger of this moment; shares are of `total`.
    pub(in crate::allocator) fn ledger(&self, total: Quantities) -> Ledger {
        // Parents come before their children.
        let mut roles: Vec<_> = self.roles.iter().collect();
        roles.sort();
        let own = |place: Place| match self.nodes[place].kind {
            Kind::Role { own, .. } => own,
            _ => None,
        };
        let places: Vec<Place> =
            roles.into_iter().flat_map(|(_, place)| [Some(*place), own(*place)]).flatten().collect();
        let mut weights: FxHashMap<Place, u64> = FxHashMap::default();
        for node in places.iter().map(|place| &self.nodes[*place]).filter(|node| node.is_active()) {
            *weights.entry(node.parent).or_default() += u64::from(node.weight.milli());
        }
        let mut accounts: FxHashMap<Place, Account> = FxHashMap::default();
        for place in places {
            let node = &self.nodes[place];
            let above = accounts.get(&node.parent).map_or(WHOLE, |parent| parent.fair);
            let part = |all: &u64| u128::from(above) * u128::from(node.weight.milli()) / u128::from(*all);
            let part = weights.get(&node.parent).filter(|_| node.is_active()).map_or(0, part);
            let quota = node.charges.quota.as_deref();
            let account = Account {
                parent: node.parent,
                held: node.allocated.clone(),
                charged: self.charged_at(place),
                guarantee: quota.map(|quota| quota.guarantee.clone()).unwrap_or_default(),
                below: node.charges.required_below.clone(),
                limit: quota.map(|quota| quota.limit.clone()).unwrap_or_default(),
                fair: u64::try_from(part).unwrap_or(WHOLE),
            };
            accounts.insert(place, account);
        }
        let is_any_guaranteed = accounts.values().any(|account| !account.guarantee.is_empty());
        Ledger { total, accounts, is_any_guaranteed, kept_back: self.kept_back().clone() }
    }

    /// Where the frameworks of a leaf's role are.
    pub(in crate::allocator) fn group_of(&self, leaf: Leaf) -> Place {
        self.nodes[leaf].parent
    }

    /// Whether a framework wants offers for a role.
    pub(in crate::allocator) fn wants(&self, leaf: Leaf) -> bool {
        self.nodes[leaf].wanting > 0
    }
}

impl super::Node {
    fn is_active(&self) -> bool {
        self.wanting > 0 || !self.allocated.is_empty()
    }
}

impl Ledger {
    /// Whether a role has less than what it is entitled to: its own guarantee, or, if that counts, at any level a fair share.
    pub(in crate::allocator) fn is_deprived(&self, group: Place, counts_fair: bool) -> bool {
        let below_fair = |place: &Place| {
            self.accounts.get(place).is_some_and(|account| account.share(&self.total) < account.fair)
        };
        !self.lacking(group).is_empty() || (counts_fair && self.path(group).iter().any(below_fair))
    }

    /// By what right a role may be given so much more, if at all: as far as its guarantee is not met, or else its fair share,
    /// which depends on [whose it is](Self::may_pass).
    pub(in crate::allocator) fn claim(
        &self,
        group: Place,
        amounts: &Amounts,
        counts_fair: bool,
    ) -> Option<Claim> {
        let within_limits =
            self.path(group).iter().filter_map(|place| self.accounts.get(place)).all(|account| {
                let room = account.limit.minus(&account.charged);
                amounts
                    .charged()
                    .iter()
                    .all(|(kind, amount)| room.get(kind).is_none_or(|most| amount <= most))
            });
        if !within_limits {
            return None;
        }
        let lacking = self.lacking(group);
        let guarantee = self.role_of(group).map(|role| &role.guarantee);
        let charged = amounts.charged();
        let mut guaranteed = charged
            .iter()
            .filter(|(kind, _)| guarantee.is_some_and(|all| !all.get(kind).is_zero()))
            .peekable();
        if guaranteed.peek().is_some() && guaranteed.all(|(kind, amount)| amount <= lacking.get(kind)) {
            return Some(Claim::Guarantee);
        }
        counts_fair.then_some(Claim::FairShare)
    }

    /// How a group and the roles above it stand, before anything is taken for it.
    pub(in crate::allocator) fn standing(&self, group: Place) -> Standing {
        let standing = |place: Place| {
            let account = self.accounts.get(&place)?;
            let (share, unmet, lacking) = (account.share(&self.total), account.unmet(), account.lacking());
            Some((place, Rights { share, unmet, lacking }))
        };
        Standing(self.path(group).into_iter().filter_map(standing).collect())
    }

    /// Whether `given` may pass to one group when `taken` is taken from another for it: the other keeps what it is entitled to by
    /// the same right or a higher one, the one gets no more than what it is entitled to, and the roles above both, which lose the
    /// difference, keep what they are entitled to or had before.
    pub(in crate::allocator) fn may_pass(
        &mut self,
        claim: Claim,
        before: &Standing,
        (to, given): (Place, &Amounts),
        (from, taken): (Place, &Amounts),
    ) -> bool {
        if !self.may_part(claim, to, from) {
            return false;
        }
        let unmet = self.unmet_apart(from, to);
        let exceeds = |account: &&Account| account.share(&self.total) > account.fair;
        if claim == Claim::FairShare && !self.apart(from, to).all(|giver| exceeds(&giver)) {
            return false;
        }
        self.take(from, taken);
        self.give(to, given);
        let keeps_fair = |account: &Account| account.share(&self.total) >= account.fair;
        let passes = self.unmet_apart(from, to) == unmet
            && self.shared(to, from).all(|place| self.is_spared(place, claim, before))
            && (claim == Claim::Guarantee
                || self.apart(from, to).all(keeps_fair)
                    && self.apart(to, from).all(|taker| taker.share(&self.total) <= taker.fair));
        self.take(to, given);
        self.give(from, taken);
        passes
    }

    /// Whether one group can have more at another's cost at all.
    ///
    /// What a role below has counts for the guarantee of a role already; and of that, the roles below are guaranteed parts, which are
    /// not told apart from what is left to the role's own frameworks.
    fn may_part(&self, claim: Claim, to: Place, from: Place) -> bool {
        let role_above = |group: Place, other: Place| {
            let role = self.accounts.get(&group)?.parent;
            self.path(other).contains(&role).then_some(role)
        };
        let is_guaranteed = |place| self.accounts.get(&place).is_some_and(|role| !role.guarantee.is_empty());
        let is_within = claim == Claim::Guarantee && role_above(to, from).is_some();
        let is_above = role_above(from, to).is_some_and(is_guaranteed);
        to != from && !is_within && !is_above
    }

    /// Whether a role above both keeps what it is entitled to, or had before.
    fn is_spared(&self, place: Place, claim: Claim, before: &Standing) -> bool {
        let (Some(role), Some(before)) = (self.accounts.get(&place), before.0.get(&place)) else {
            return true;
        };
        before.unmet.contains(&role.unmet())
            && before.lacking.contains(&role.lacking())
            && (claim == Claim::Guarantee || role.share(&self.total) >= role.fair.min(before.share))
    }

    /// The nodes above both.
    fn shared(&self, one: Place, other: Place) -> impl Iterator<Item = Place> {
        let above = self.path(other);
        self.path(one).into_iter().filter(move |place| above.contains(place))
    }

    /// What is above one group and not above the other.
    fn apart(&self, one: Place, other: Place) -> impl Iterator<Item = &Account> {
        let above = self.path(other);
        let apart = self.path(one).into_iter().filter(move |place| !above.contains(place));
        apart.filter_map(|place| self.accounts.get(&place))
    }

    fn unmet_apart(&self, one: Place, other: Place) -> Vec<Quantities> {
        self.apart(one, other).map(Account::unmet).collect()
    }

    /// What must be kept back for all guarantees that are not met.
    pub(in crate::allocator) fn kept_back(&self) -> &Quantities {
        &self.kept_back
    }

    /// How far a group is above its fair share where it parts from another, in a unit of its own.
    pub(in crate::allocator) fn excess(&self, group: Place, beside: Place) -> i64 {
        let other = self.path(beside);
        let apart = self.path(group).into_iter().rfind(|place| !other.contains(place));
        let excess = |account: &Account| {
            let share = i64::try_from(account.share(&self.total)).unwrap_or(i64::MAX);
            share.saturating_sub_unsigned(account.fair)
        };
        apart.and_then(|place| self.accounts.get(&place)).map_or(0, excess)
    }

    /// A group has more.
    pub(in crate::allocator) fn give(&mut self, group: Place, amounts: &Amounts) {
        let charged = amounts.charged();
        self.change(group, |account| {
            account.held.add(&amounts.scalars);
            account.charged.add(&charged);
        });
    }

    /// A group has less.
    pub(in crate::allocator) fn take(&mut self, group: Place, amounts: &Amounts) {
        let charged = amounts.charged();
        self.change(group, |account| {
            account.held.subtract_clamped(&amounts.scalars);
            account.charged.subtract_clamped(&charged);
        });
    }

    fn change(&mut self, group: Place, change: impl Fn(&mut Account)) {
        // What is kept back for a node, before and after, is part of what is for those above it.
        let (mut before, mut after) = (Quantities::new(), Quantities::new());
        for place in self.path(group) {
            let Some(account) = self.accounts.get_mut(&place) else { continue };
            if !self.is_any_guaranteed {
                change(account);
                continue;
            }
            let required = account.required();
            account.below.add(&after);
            account.below.subtract_clamped(&before);
            change(account);
            (before, after) = (required, account.required());
        }
        self.kept_back.add(&after);
        self.kept_back.subtract_clamped(&before);
    }

    /// What a group's role lacks of its own guarantee.
    pub(in crate::allocator) fn lacking(&self, group: Place) -> Quantities {
        self.role_of(group).map(Account::lacking).unwrap_or_default()
    }

    fn role_of(&self, group: Place) -> Option<&Account> {
        self.accounts.get(&self.accounts.get(&group)?.parent)
    }

    /// A group and the roles above it, from below.
    fn path(&self, group: Place) -> Vec<Place> {
        let above = |place: &Place| Some(self.accounts.get(place)?.parent).filter(|parent| *parent != ROOT);
        std::iter::successors(Some(group), above).collect()
    }
}
