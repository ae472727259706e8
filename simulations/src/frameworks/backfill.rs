//! Backfilling: later jobs go first where that delays nobody who has a reservation.
//!
//! Jobs are planned in the order of their arrival, on the agent where they can start first, for as long as their owners say that
//! they run at most (or else as long as they do). With EASY (Lifka, 1995) the first job that can't start now has a reservation, and
//! nobody else; plans are made anew at each event. With conservative backfilling every job gets a reservation when it arrives, and
//! keeps it; when something ends, one job after the other gives up its own and takes the first that is to be had then. A
//! reservation is of particular agents, the first by name. A gang is planned as one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apportion::protocol::AgentId;
use apportion::resources::Quantities;
use apportion::scheduler::Offer;
use apportion::time::Time;

use super::line::Entry;
use super::options::QueuePolicy;
use super::plan::Profile;
use super::queue::QueueFramework;
use super::shelf::Shelf;

/// A running task, for planning.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) agent: AgentId,
    /// When it ends at the latest.
    pub(super) end: Time,
    pub(super) amounts: Quantities,
}

/// What a waiting job is to get, and when: one for each of its tasks, or one for the gang.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    at: Time,
    length: Duration,
    each: Quantities,
    /// Where, one entry per task.
    agents: Vec<AgentId>,
}

/// An agent in a plan.
struct Planning {
    id: AgentId,
    /// Its place among the offers, if it is offered.
    offer: Option<usize>,
    /// Without reservations.
    bare: Profile,
    /// With them.
    profile: Profile,
}

/// All agents that are offered or on which tasks run, by name: that is the order in which they are taken.
fn agents(now: Time, offers: &[Offer], running: &BTreeMap<(u32, u32), Planned>) -> Vec<Planning> {
    let places: BTreeMap<&AgentId, usize> = offers.iter().map(Offer::agent).zip(0..).collect();
    let mut releases: BTreeMap<&AgentId, Vec<(Time, Quantities)>> =
        places.keys().map(|agent| (*agent, Vec::new())).collect();
    for task in running.values() {
        releases.entry(&task.agent).or_default().push((task.end, task.amounts.clone()));
    }
    let planning = |(agent, releases): (&AgentId, Vec<(Time, Quantities)>)| {
        let offer = places.get(agent).copied();
        let free = offer.map_or_else(Quantities::new, |place| offers[place].remaining().quantities());
        let bare = Profile::new(now, free, releases);
        Planning { id: agent.clone(), offer, profile: bare.clone(), bare }
    };
    releases.into_iter().map(planning).collect()
}

/// The first agents on which so many tasks fit from a time on, one entry per task; `None` when there is no room for all.
fn room(agents: &[Planning], from: Time, unit: &Unit) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    for (place, agent) in agents.iter().enumerate() {
        let missing = unit.count as usize - places.len();
        let fitting = agent.profile.count(from, &unit.each, unit.length, missing);
        places.extend(std::iter::repeat_n(place, fitting));
        if places.len() == unit.count as usize {
            return Some(places);
        }
    }
    None
}

/// When and where a unit can start first.
fn first_start(agents: &[Planning], unit: &Unit) -> Option<(Time, Vec<usize>)> {
    let times: BTreeSet<Time> = agents.iter().flat_map(|agent| agent.profile.times()).collect();
    times.into_iter().find_map(|at| Some((at, room(agents, at, unit)?)))
}

/// Sets aside what is reserved, where its agents are known.
fn reserve(agents: &mut [Planning], reservation: &Reservation) {
    for reserved in &reservation.agents {
        if let Ok(place) = agents.binary_search_by(|agent| agent.id.cmp(reserved)) {
            agents[place].profile.reserve(reservation.at, &reservation.each, reservation.length);
        }
    }
}

/// What starts together of a job: a gang, or one task.
struct Unit {
    entry: Entry,
    class: u32,
    count: u32,
    each: Quantities,
    /// For so long at most.
    length: Duration,
}

impl QueueFramework {
    /// Launches what may start now, by EASY or conservative backfilling.
    pub(super) fn serve_by_plan(&mut self, now: Time, offers: &mut [Offer]) {
        let mut agents = agents(now, offers, &self.running);
        let role = self.role.clone();
        let mut shelf = Shelf::new(offers, u32::MAX, &mut self.chooser, &role);
        let mut waiting: Vec<(Entry, u32)> = self.line.all().collect();
        waiting.sort_unstable();
        if self.options.policy == QueuePolicy::Conservative {
            self.serve_conservatively(now, &waiting, &mut agents, &mut shelf);
        } else {
            self.serve_easily(now, &waiting, &mut agents, &mut shelf);
        }
    }

    fn serve_easily(
        &mut self,
        now: Time,
        waiting: &[(Entry, u32)],
        agents: &mut [Planning],
        shelf: &mut Shelf<'_>,
    ) {
        let mut is_blocked = false;
        for (entry, class) in waiting.iter().copied() {
            while let Some(unit) = self.unit(entry, class) {
                let planned = if is_blocked {
                    room(agents, now, &unit).map(|places| (now, places))
                } else {
                    first_start(agents, &unit)
                };
                let Some((at, places)) = planned else {
                    is_blocked = true;
                    break;
                };
                for place in &places {
                    agents[*place].profile.reserve(at, &unit.each, unit.length);
                }
                if at > now || !self.start(now, &unit, shelf, agents, &places) {
                    is_blocked = true;
                    break;
                }
            }
        }
    }

    fn serve_conservatively(
        &mut self,
        now: Time,
        waiting: &[(Entry, u32)],
        agents: &mut [Planning],
        shelf: &mut Shelf<'_>,
    ) {
        for reservation in self.reservations.values().flatten() {
            reserve(agents, reservation);
        }
        let is_due = |reservation: &Reservation| reservation.at <= now;
        let compress = std::mem::take(&mut self.released) || self.reservations.values().flatten().any(is_due);
        for (entry, class) in waiting.iter().copied() {
            if !compress && self.reservations.contains_key(&entry.job) {
                continue;
            }
            self.give_up(entry.job, agents);
            let mut kept = Vec::new();
            let mut planned = 0;
            while let Some(unit) = self.unit(entry, class)
                && planned < self.waiting_tasks(entry.job)
                && let Some((at, places)) = first_start(agents, &unit)
            {
                for place in &places {
                    agents[*place].profile.reserve(at, &unit.each, unit.length);
                }
                if at <= now && self.start(now, &unit, shelf, agents, &places) {
                    for place in &places {
                        agents[*place].bare.reserve(at, &unit.each, unit.length);
                    }
                } else {
                    planned += unit.count;
                    let agents = places.iter().map(|place| agents[*place].id.clone()).collect();
                    kept.push(Reservation { at, length: unit.length, each: unit.each, agents });
                }
            }
            if !kept.is_empty() {
                self.reservations.insert(entry.job, kept);
            }
        }
    }

    /// Takes a job's reservations out of a plan.
    fn give_up(&mut self, job: u32, agents: &mut [Planning]) {
        let Some(given_up) = self.reservations.remove(&job) else { return };
        let touched: BTreeSet<&AgentId> =
            given_up.iter().flat_map(|reservation| &reservation.agents).collect();
        for agent in agents.iter_mut().filter(|agent| touched.contains(&agent.id)) {
            agent.profile = agent.bare.clone();
            for reservation in self.reservations.values().flatten() {
                for _ in reservation.agents.iter().filter(|reserved| **reserved == agent.id) {
                    agent.profile.reserve(reservation.at, &reservation.each, reservation.length);
                }
            }
        }
    }

    /// What of a job starts next; `None` when nothing of it waits.
    fn unit(&self, entry: Entry, class: u32) -> Option<Unit> {
        let index = self.next_index(entry.job)?;
        let job = self.job(entry.job);
        Some(Unit {
            entry,
            class,
            count: if job.is_gang() { self.waiting_tasks(entry.job) } else { 1 },
            each: self.requests[class as usize].class.amounts.clone(),
            length: job
                .terms()
                .limit
                .or_else(|| job.lengths.of(index))
                .map_or(Duration::MAX, |span| span.duration()),
        })
    }

    /// Launches a unit on offers, one for each of its tasks; whether that went well.
    fn start(
        &mut self,
        now: Time,
        unit: &Unit,
        shelf: &mut Shelf<'_>,
        agents: &[Planning],
        places: &[usize],
    ) -> bool {
        let request = self.requests[unit.class as usize].clone();
        let offered: Option<Vec<usize>> = places.iter().map(|place| agents[*place].offer).collect();
        for place in offered.iter().flatten() {
            let spot = shelf.spot_at(*place, &request, &self.chooser);
            let (Some(index), Some(spot)) = (self.next_index(unit.entry.job), spot) else { return false };
            let agent = shelf.agent(*place).clone();
            if !self.launch(unit.entry, &request, shelf, spot) {
                return false;
            }
            let planned = Planned { agent, end: now + unit.length, amounts: unit.each.clone() };
            self.running.insert((unit.entry.job, index), planned);
        }
        offered.is_some()
    }
}
