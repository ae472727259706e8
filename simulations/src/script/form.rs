//! What people write.

use std::collections::BTreeMap;

use apportion::allocator::{
    AttributeConstraint, DemandGroup, Limits, OfferConstraints, Pattern, Predicate, PreemptionOptions,
    PreemptionPolicy, Selector,
};
use apportion::protocol::{AgentId, FrameworkId, OfferMode};
use apportion::resources::{Quantities, Resources, Role};
use apportion::spec::{Delay, Document, SpecErrors};
use serde::Deserialize;

use super::text::{Attribute, Hosts, Name, Plainly, Text};

/// The schema of scripts that this version reads.
const SCHEMA: u32 = 1;

/// A script, ready to be [played](Script::play).
///
/// ```
/// use apportion::spec::Document;
/// use apportion_simulations::script::Script;
///
/// let text = r#"
///     schema = 1
///     name = "one-framework"
///     [[step]]
///     add_agent = { id = "agent1", resources = "cpus:2;mem:1024" }
///     [[step]]
///     add_framework = { id = "fw1", roles = ["role1"] }
///     [[step]]
///     expect = [{ framework = "fw1", role = "role1", agent = "agent1", resources = "cpus:2;mem:1024" }]
/// "#;
/// let script = Script::parse(Document::new("one.toml", text))?;
/// script.play(|step| println!("{step}"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) document: Document,
    pub(super) table: ScriptTable,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Its mistakes, with their places.
    pub fn parse(document: Document) -> Result<Self, SpecErrors> {
        let table: ScriptTable = document.parse()?;
        if table.schema != SCHEMA {
            let message = format!("schema {} is not known; this version reads schema {SCHEMA}", table.schema);
            return Err(document.error_at(&["schema"], message).into());
        }
        Ok(Script { document, table })
    }

    /// The script's name.
    pub fn name(&self) -> &str {
        &self.table.name
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptTable {
    schema: u32,
    name: String,
    #[serde(default)]
    pub(super) options: Options,
    #[serde(default)]
    pub(super) step: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub(super) allocation_interval: Option<Delay>,
    pub(super) event: Option<bool>,
    pub(super) min_allocatable: Option<Vec<Text<Quantities>>>,
    #[serde(default)]
    pub(super) sorter: Sorter,
    #[serde(default)]
    pub(super) shuffle_agents: bool,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) fairness_excluded: Vec<Text<apportion::resources::Kind>>,
    pub(super) region: Option<String>,
    pub(super) gang_hold: Option<Delay>,
    pub(super) preemption: Option<PreemptionPolicy>,
    pub(super) preemption_after: Option<Delay>,
    pub(super) preemption_grace: Option<Delay>,
}

impl Options {
    pub(super) fn preemption(&self) -> PreemptionOptions {
        let defaults = PreemptionOptions::default();
        PreemptionOptions {
            policy: self.preemption.unwrap_or_default(),
            after: self.preemption_after.map_or(defaults.after, Delay::duration),
            grace: self.preemption_grace.map_or(defaults.grace, Delay::duration),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sorter {
    #[default]
    Drf,
    Random,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    AddAgent(AddAgent),
    UpdateAgent(UpdateAgent),
    RemoveAgent(Name),
    AddFramework(AddFramework),
    RemoveFramework(Name),
    Suppress(Roles),
    Revive(Roles),
    Decline(Decline),
    Accept(Accept),
    Finish(Name),
    Advance(Delay),
    SetQuota(SetQuota),
    SetWeight(SetWeight),
    SetOffers(SetOffers),
    Reserve(Reserve),
    Unreserve(Reserve),
    SetConstraints(SetConstraints),
    SetMaintenance(SetMaintenance),
    SetDemand(SetDemand),
    SetAllowList(Hosts),
    Explain(Explain),
    Pause(Plainly),
    Resume(Plainly),
    Expect(Vec<Expected>),
    ExpectPreemptions(Vec<Preempted>),
    ExpectShares(BTreeMap<String, f64>),
}

impl Step {
    /// The key under which the step is written.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Step::AddAgent(_) => "add_agent",
            Step::UpdateAgent(_) => "update_agent",
            Step::RemoveAgent(_) => "remove_agent",
            Step::AddFramework(_) => "add_framework",
            Step::RemoveFramework(_) => "remove_framework",
            Step::Suppress(_) => "suppress",
            Step::Revive(_) => "revive",
            Step::Decline(_) => "decline",
            Step::Accept(_) => "accept",
            Step::Finish(_) => "finish",
            Step::Advance(_) => "advance",
            Step::SetQuota(_) => "set_quota",
            Step::SetWeight(_) => "set_weight",
            Step::SetOffers(_) => "set_offers",
            Step::Reserve(_) => "reserve",
            Step::Unreserve(_) => "unreserve",
            Step::SetConstraints(_) => "set_constraints",
            Step::SetMaintenance(_) => "set_maintenance",
            Step::SetDemand(_) => "set_demand",
            Step::SetAllowList(_) => "set_allow_list",
            Step::Explain(_) => "explain",
            Step::Pause(_) => "pause",
            Step::Resume(_) => "resume",
            Step::Expect(_) => "expect",
            Step::ExpectPreemptions(_) => "expect_preemptions",
            Step::ExpectShares(_) => "expect_shares",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddAgent {
    pub(super) id: Text<AgentId>,
    pub(super) resources: Text<Resources>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) hostname: Option<String>,
    pub(super) region: Option<String>,
    pub(super) zone: Option<String>,
    #[serde(default)]
    pub(super) used: BTreeMap<String, Text<Resources>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateAgent {
    #[serde(alias = "agent")]
    pub(super) id: Text<AgentId>,
    pub(super) resources: Option<Text<Resources>>,
    pub(super) attributes: Option<BTreeMap<String, Attribute>>,
    pub(super) region: Option<String>,
    pub(super) zone: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddFramework {
    pub(super) id: Text<FrameworkId>,
    pub(super) roles: Vec<Text<Role>>,
    #[serde(default)]
    pub(super) suppressed: Vec<Text<Role>>,
    #[serde(default)]
    pub(super) capabilities: Vec<Capability>,
    #[serde(default)]
    pub(super) min_allocatable: BTreeMap<String, Vec<Text<Quantities>>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Capability {
    GpuResources,
    RevocableResources,
    RegionAware,
    SharedResources,
    ReservationRefinement,
    /// Every framework can have several roles here.
    MultiRole,
    /// Every agent has roles in a tree here.
    HierarchicalRole,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    #[serde(alias = "id")]
    pub(super) framework: Text<FrameworkId>,
    #[serde(default)]
    pub(super) roles: Vec<Text<Role>>,
    pub(super) role: Option<Text<Role>>,
}

impl Roles {
    pub(super) fn all(&self) -> Vec<Role> {
        self.roles.iter().chain(&self.role).map(|role| role.0.clone()).collect()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decline {
    pub(super) framework: Text<FrameworkId>,
    pub(super) agent: Text<AgentId>,
    pub(super) role: Option<Text<Role>>,
    pub(super) resources: Option<Text<Resources>>,
    pub(super) refuse: Option<Delay>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accept {
    pub(super) framework: Text<FrameworkId>,
    pub(super) agent: Text<AgentId>,
    pub(super) role: Option<Text<Role>>,
    pub(super) task: String,
    pub(super) resources: Text<Resources>,
    pub(super) refuse: Option<Delay>,
    /// Of two tasks the one of lower priority makes room first.
    #[serde(default)]
    pub(super) priority: i32,
    /// The accept comes too late, and this is gone.
    pub(super) conflict: Option<Text<Resources>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetQuota {
    pub(super) role: Text<Role>,
    #[serde(default)]
    pub(super) guarantee: Text<Quantities>,
    #[serde(default)]
    pub(super) limit: Text<Limits>,
    /// As the allocators of Mesos' tests take any quota, one is not checked against the cluster unless this is false.
    pub(super) force: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetWeight {
    pub(super) role: Text<Role>,
    pub(super) weight: f64,
}

/// Tasks that are to make room for a framework.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preempted {
    pub(super) framework: Text<FrameworkId>,
    pub(super) agent: Text<AgentId>,
    pub(super) victims: Vec<String>,
}

/// How a role's resources are offered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetOffers {
    pub(super) role: Text<Role>,
    pub(super) mode: OfferMode,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reserve {
    /// Whose offer they are from; without one, they must be free: an operator reserves them.
    pub(super) framework: Option<Text<FrameworkId>>,
    pub(super) agent: Text<AgentId>,
    pub(super) role: Option<Text<Role>>,
    pub(super) resources: Text<Resources>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetConstraints {
    pub(super) framework: Text<FrameworkId>,
    /// All roles of the framework when none is named.
    pub(super) role: Option<Text<Role>>,
    /// Any group suffices; without any, there are no constraints.
    #[serde(default)]
    groups: Vec<Vec<Constraint>>,
}

impl SetConstraints {
    pub(super) fn constraints(&self) -> Result<OfferConstraints, String> {
        offer_constraints(&self.groups)
    }
}

fn offer_constraints(groups: &[Vec<Constraint>]) -> Result<OfferConstraints, String> {
    let group = |group: &Vec<Constraint>| group.iter().map(Constraint::to_constraint).collect();
    Ok(OfferConstraints { groups: groups.iter().map(group).collect::<Result<_, String>>()? })
}

/// A rule about an attribute, or about hostname, region or zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    attribute: Option<String>,
    pseudo_attribute: Option<PseudoAttribute>,
    exists: Option<bool>,
    text_equals: Option<String>,
    text_not_equals: Option<String>,
    text_matches: Option<Text<Pattern>>,
    text_not_matches: Option<Text<Pattern>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PseudoAttribute {
    Hostname,
    Region,
    Zone,
}

impl Constraint {
    fn to_constraint(&self) -> Result<AttributeConstraint, String> {
        let selector = match (&self.attribute, self.pseudo_attribute) {
            (Some(name), None) => Selector::Attribute(name.clone()),
            (None, Some(PseudoAttribute::Hostname)) => Selector::Hostname,
            (None, Some(PseudoAttribute::Region)) => Selector::Region,
            (None, Some(PseudoAttribute::Zone)) => Selector::Zone,
            _ => return Err("a constraint needs either an attribute or a pseudo_attribute".to_owned()),
        };
        let exists = |exists| if exists { Predicate::Exists } else { Predicate::NotExists };
        let predicates = [
            self.exists.map(exists),
            self.text_equals.clone().map(Predicate::TextEquals),
            self.text_not_equals.clone().map(Predicate::TextNotEquals),
            self.text_matches.clone().map(|pattern| Predicate::TextMatches(pattern.0)),
            self.text_not_matches.clone().map(|pattern| Predicate::TextNotMatches(pattern.0)),
        ];
        let mut given = predicates.into_iter().flatten();
        let (Some(predicate), None) = (given.next(), given.next()) else {
            return Err("a constraint needs one of exists, text_equals, text_not_equals, text_matches and \
                text_not_matches"
                .to_owned());
        };
        Ok(AttributeConstraint { selector, predicate })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetMaintenance {
    #[serde(alias = "id")]
    pub(super) agent: Text<AgentId>,
    /// From now on, in so long; without it, there is no maintenance any more.
    pub(super) start: Option<Delay>,
    pub(super) duration: Option<Delay>,
}

/// What a framework waits for; without groups, it has not said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetDemand {
    pub(super) framework: Text<FrameworkId>,
    pub(super) role: Option<Text<Role>>,
    pub(super) groups: Option<Vec<Group>>,
}

/// Tasks of one shape.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    count: u32,
    shape: Text<Quantities>,
    /// As in `set_constraints`.
    #[serde(default)]
    constraints: Vec<Vec<Constraint>>,
    #[serde(default)]
    priority: i32,
    max_runtime: Option<Delay>,
    gang: Option<Gang>,
}

impl Group {
    pub(super) fn to_group(&self) -> Result<DemandGroup, String> {
        Ok(DemandGroup {
            count: self.count,
            shape: self.shape.0.clone(),
            constraints: offer_constraints(&self.constraints)?,
            priority: self.priority,
            max_runtime: self.max_runtime.map(Delay::duration),
            gang: match self.gang {
                None | Some(Gang::Whole(false)) => None,
                Some(Gang::Whole(true)) => Some(self.count),
                Some(Gang::Least(least)) => Some(least),
            },
        })
    }
}

/// How many of a group start together.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Gang {
    /// All, or each for itself.
    Whole(bool),
    Least(u32),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    /// Every framework of the role when none is named.
    pub(super) framework: Option<Text<FrameworkId>>,
    pub(super) role: Option<Text<Role>>,
    /// Without any, each group of tasks that a framework waits for is explained.
    #[serde(default)]
    pub(super) resources: Text<Resources>,
    /// Each of these has to be said.
    #[serde(default)]
    pub(super) contains: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) framework: Text<FrameworkId>,
    pub(super) role: Option<Text<Role>>,
    pub(super) agent: Text<AgentId>,
    pub(super) resources: Text<Resources>,
}
