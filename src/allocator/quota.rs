//! Which quotas can be kept, and what they leave of an offer.

use std::collections::BTreeMap;

use super::tree::RoleTree;
use crate::protocol::{Limits, Quota};
use crate::resources::{Kind, Quantities, Resource, Resources, Role, Scalar, Value};

/// Why a quota is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuotaError {
    /// More is guaranteed than may be had.
    #[error("{role} can't be guaranteed {guaranteed} of {kind} when it is limited to {limit}")]
    AboveLimit {
        /// The role.
        role: Role,
        /// The kind.
        kind: Kind,
        /// Its guarantee.
        guaranteed: Scalar,
        /// Its limit.
        limit: Scalar,
    },
    /// The roles just below another are guaranteed more than it is itself.
    #[error("the roles below {role} are guaranteed {children} together, but it only {guarantee}")]
    AboveParent {
        /// The parent.
        role: Role,
        /// The sum of its children's guarantees.
        children: Box<Quantities>,
        /// Its own guarantee.
        guarantee: Box<Quantities>,
    },
    /// The cluster has less than all guarantees together; forcing it is possible.
    #[error(
        "{guaranteed} would be guaranteed in all, but the cluster has {capacity}; force it if that is wanted"
    )]
    Overcommitted {
        /// All guarantees together.
        guaranteed: Box<Quantities>,
        /// What the cluster has that is not revocable.
        capacity: Box<Quantities>,
    },
    /// The role has more already; forcing it is possible.
    #[error("{role} has {held} already; force a limit of {limit} if that is wanted")]
    AlreadyAbove {
        /// The role.
        role: Role,
        /// What it is charged for.
        held: Box<Quantities>,
        /// The limit.
        limit: Limits,
    },
}

/// Checks a role's quota against those of the others; against the cluster's capacity and what the role has, too, when that
/// is given.
pub(super) fn check_quota(
    tree: &RoleTree,
    role: &Role,
    quota: &Quota,
    capacity: Option<&Quantities>,
) -> Result<(), QuotaError> {
    for (kind, guaranteed) in quota.guarantee.iter() {
        if let Some(limit) = quota.limit.get(kind).filter(|limit| guaranteed > *limit) {
            return Err(QuotaError::AboveLimit { role: role.clone(), kind: kind.clone(), guaranteed, limit });
        }
    }
    let mut guarantees: BTreeMap<&Role, &Quantities> =
        tree.quotas().map(|(role, quota)| (role, &quota.guarantee)).collect();
    guarantees.insert(role, &quota.guarantee);
    let mut below: BTreeMap<Role, Quantities> = BTreeMap::new();
    for (child, guarantee) in &guarantees {
        if let Some(parent) = child.parent() {
            below.entry(parent).or_default().add(guarantee);
        }
    }
    for (parent, children) in below {
        let guarantee = guarantees.get(&parent).map(|guarantee| (*guarantee).clone()).unwrap_or_default();
        // A role without a guarantee of its own guarantees what its children are.
        if !guarantee.is_empty() && !guarantee.contains(&children) {
            let (children, guarantee) = (Box::new(children), Box::new(guarantee));
            return Err(QuotaError::AboveParent { role: parent, children, guarantee });
        }
    }
    let Some(capacity) = capacity else { return Ok(()) };
    let is_topmost = |role: &Role| {
        !role.ancestors().any(|above| guarantees.get(&above).is_some_and(|above| !above.is_empty()))
    };
    let mut guaranteed = Quantities::new();
    for (role, guarantee) in &guarantees {
        if is_topmost(role) {
            guaranteed.add(guarantee);
        }
    }
    if !quota.guarantee.is_empty() && !capacity.contains(&guaranteed) {
        let (guaranteed, capacity) = (Box::new(guaranteed), Box::new(capacity.clone()));
        return Err(QuotaError::Overcommitted { guaranteed, capacity });
    }
    let held = tree.charged(role);
    if quota.limit.iter().any(|(kind, limit)| held.get(kind) > limit) {
        let (role, limit) = (role.clone(), quota.limit.clone());
        return Err(QuotaError::AlreadyAbove { role, held: Box::new(held), limit });
    }
    Ok(())
}

/// As much of resources that are amounts as `most` allows of each kind, and all of kinds of which it says nothing. Gpus are cut to
/// whole ones; of shared ones those are kept of which the most is there.
fn cut(resources: &Resources, most: impl Fn(&Kind) -> Option<Scalar>) -> Resources {
    let part = |resource: &Resource| {
        let (Some(held), Some(most)) = (resource.fair_amount(), most(resource.kind())) else {
            return Some(resource.clone());
        };
        if held <= most {
            return Some(resource.clone());
        }
        if let Value::Ranges(shared) = resource.value() {
            let rest = shared.most_of_gpus(u64::try_from(most.milli() / 1000).unwrap_or_default());
            return Resource::new(resource.kind().clone(), Value::Ranges(rest)).ok();
        }
        let whole = |amount: Scalar| Scalar::from_milli(amount.milli() / 1000 * 1000).unwrap_or_default();
        let amount = if *resource.kind() == Kind::Gpus { whole(most) } else { most };
        Resource::new(resource.kind().clone(), Value::Scalar(amount)).ok()
    };
    resources.iter().filter_map(part).collect()
}

/// As much of plain scalars as fits in these amounts, nothing of kinds that these do not have.
pub(super) fn cut_to(resources: &Resources, amounts: &Quantities) -> Resources {
    cut(resources, |kind| Some(amounts.get(kind)))
}

/// As much of plain scalars as the limits allow.
pub(super) fn cut_to_limits(resources: &Resources, limits: &Limits) -> Resources {
    cut(resources, |kind| limits.get(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(guarantee: &str, limit: &str) -> Quota {
        Quota { guarantee: guarantee.parse().unwrap(), limit: limit.parse().unwrap() }
    }

    #[test]
    fn quotas_that_cannot_be_kept_are_refused() {
        let role = |name: &str| name.parse::<Role>().unwrap();
        let mut tree = RoleTree::default();
        let capacity: Quantities = "cpus:10;mem:100".parse().unwrap();
        let check = |tree: &RoleTree, name: &str, quota: Quota, capacity| {
            check_quota(tree, &role(name), &quota, capacity).map_err(|error| error.to_string())
        };
        let error = check(&tree, "a", quota("cpus:2", "cpus:1"), None).unwrap_err();
        assert_eq!(error, "a can't be guaranteed 2 of cpus when it is limited to 1");
        assert_eq!(check(&tree, "a", quota("cpus:8", ""), Some(&capacity)), Ok(()));
        tree.set_quota(&role("a"), quota("cpus:8", ""));
        tree.set_quota(&role("a/x"), quota("cpus:5", ""));
        let error = check(&tree, "a/y", quota("cpus:4", ""), None).unwrap_err();
        assert_eq!(error, "the roles below a are guaranteed cpus:9 together, but it only cpus:8");
        assert_eq!(check(&tree, "a/y", quota("cpus:3", ""), Some(&capacity)), Ok(()));
        let error = check(&tree, "b", quota("cpus:3", ""), Some(&capacity)).unwrap_err();
        assert!(error.starts_with("cpus:11 would be guaranteed in all, but the cluster has cpus:10;mem:100"));
        assert_eq!(check(&tree, "b", quota("cpus:3", ""), None), Ok(()), "it is forced");
        tree.add_reserved(&role("c"), &"mem:50".parse().unwrap());
        let error = check(&tree, "c", quota("", "mem:40"), Some(&capacity)).unwrap_err();
        assert!(error.starts_with("c has mem:50 already"), "{error}");
    }

    #[test]
    fn scalars_are_cut_and_gpus_stay_whole() {
        let held: Resources = "cpus:4;mem:64;gpus:2".parse().unwrap();
        let cut = cut_to(&held, &"cpus:1.5;gpus:1.5".parse().unwrap());
        assert_eq!(cut.to_string(), "cpus:1.5;gpus:1");
        let cut = cut_to_limits(&held, &"cpus:1.5;mem:100;gpus:0".parse().unwrap());
        assert_eq!(cut.to_string(), "cpus:1.5;mem:64");
    }

    #[test]
    fn of_shared_gpus_the_emptiest_are_kept() {
        let held: Resources = "gpu_milli:[900-999,1000-1999]".parse().unwrap();
        let cut = cut_to(&held, &"gpu_milli:500".parse().unwrap());
        assert_eq!(cut.to_string(), "gpu_milli:[1000-1499]");
        let cut = cut_to_limits(&held, &"gpu_milli:1050.5".parse().unwrap());
        assert_eq!(cut.to_string(), "gpu_milli:[900-949,1000-1999]");
        assert!(cut_to(&held, &"cpus:1".parse().unwrap()).is_empty());
    }
}
