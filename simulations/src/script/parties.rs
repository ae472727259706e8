//! Agents and frameworks that come, change and go.

use apportion::allocator::{AgentProfile, Allocation, Allocator, Capability, FaultDomain, FrameworkProfile};
use apportion::protocol::{AgentId, FrameworkId, Weight};
use apportion::resources::Role;

use super::form::{self, AddFramework};
use super::player::{World, Wrong, id};
use super::text::{Text, pick};

impl World {
    pub(super) fn add_agent(&mut self, agent: &form::AddAgent) -> Result<(), Wrong> {
        let id = &agent.id.0;
        if self.profiles.contains_key(id) {
            return Err(format!("agent {id} is there already").into());
        }
        let mut used = Vec::new();
        for (framework, resources) in &agent.used {
            let framework: FrameworkId = self::id(framework)?;
            let role = self.first_role(&framework);
            let Some(resources) = pick(&agent.resources.0, &resources.0, &role) else {
                return Err(format!("agent {id} does not have {} to be used", resources.0).into());
            };
            used.push(Allocation { framework, role, agent: id.clone(), resources });
        }
        let profile = AgentProfile {
            hostname: agent.hostname.clone().unwrap_or_else(|| id.to_string()),
            attributes: agent
                .attributes
                .iter()
                .map(|(name, value)| (name.clone(), value.0.clone()))
                .collect(),
            domain: domain(&agent.region, &agent.zone),
        };
        self.allocator.add_agent(id, &profile, &agent.resources.0, &used);
        self.profiles.insert(id.clone(), profile);
        Ok(())
    }

    pub(super) fn update_agent(&mut self, agent: &form::UpdateAgent) -> Result<(), Wrong> {
        let id = &agent.id.0;
        let profile = self.profiles.get_mut(id).ok_or_else(|| format!("there is no agent {id}"))?;
        if let Some(attributes) = &agent.attributes {
            profile.attributes =
                attributes.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        }
        if agent.region.is_some() || agent.zone.is_some() {
            profile.domain = domain(&agent.region, &agent.zone);
        }
        self.allocator.update_agent_profile(id, profile);
        if let Some(resources) = &agent.resources {
            self.allocator.update_agent(id, &resources.0);
        }
        Ok(())
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) -> Result<(), Wrong> {
        self.profiles.remove(id).ok_or_else(|| format!("there is no agent {id}"))?;
        self.allocator.remove_agent(id);
        self.held.retain(|(_, agent, _), _| agent != id);
        self.optimistic.retain(|(_, agent, _), _| agent != id);
        self.tasks.retain(|_, task| task.allocation.agent != *id);
        Ok(())
    }

    pub(super) fn add_framework(&mut self, framework: &AddFramework) -> Result<(), Wrong> {
        let id = &framework.id.0;
        if self.frameworks.contains_key(id) {
            return Err(format!("framework {id} is there already").into());
        }
        let roles = |roles: &[Text<Role>]| roles.iter().map(|role| role.0.clone()).collect::<Vec<_>>();
        let mut profile =
            FrameworkProfile::new(&roles(&framework.roles)).suppressing(&roles(&framework.suppressed));
        profile.capabilities = framework.capabilities.iter().filter_map(|each| capability(*each)).collect();
        for (role, least) in &framework.min_allocatable {
            let role = role.parse().map_err(|error: apportion::resources::RoleError| error.to_string())?;
            profile.min_allocatable.insert(role, least.iter().map(|least| least.0.clone()).collect());
        }
        self.allocator.add_framework(id, &profile);
        self.frameworks.insert(id.clone(), profile);
        Ok(())
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) -> Result<(), Wrong> {
        self.frameworks.remove(id).ok_or_else(|| format!("there is no framework {id}"))?;
        self.allocator.remove_framework(id);
        self.held.retain(|(framework, ..), _| framework != id);
        self.optimistic.retain(|(framework, ..), _| framework != id);
        self.tasks.retain(|_, task| task.allocation.framework != *id);
        Ok(())
    }

    pub(super) fn framework(&mut self, id: &FrameworkId) -> Result<&mut FrameworkProfile, Wrong> {
        self.frameworks.get_mut(id).ok_or_else(|| format!("there is no framework {id}").into())
    }

    pub(super) fn first_role(&self, framework: &FrameworkId) -> Role {
        self.first_roles.get(framework).cloned().unwrap_or_default()
    }
}

fn domain(region: &Option<String>, zone: &Option<String>) -> Option<FaultDomain> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    (region.is_some() || zone.is_some()).then(|| FaultDomain { region: part(region), zone: part(zone) })
}

pub(super) fn weight(weight: f64) -> Result<Weight, Wrong> {
    let milli = (weight * 1000.0).round();
    if !(1.0..=f64::from(u32::MAX)).contains(&milli) {
        return Err(format!("a weight is at least 0.001 and at most 4294967, not {weight}").into());
    }
    Weight::from_milli(milli as u32).map_err(|error| error.to_string().into())
}

fn capability(capability: form::Capability) -> Option<Capability> {
    Some(match capability {
        form::Capability::GpuResources => Capability::GpuResources,
        form::Capability::RevocableResources => Capability::RevocableResources,
        form::Capability::RegionAware => Capability::RegionAware,
        form::Capability::SharedResources => Capability::SharedResources,
        form::Capability::ReservationRefinement => Capability::ReservationRefinement,
        form::Capability::MultiRole | form::Capability::HierarchicalRole => return None,
    })
}
