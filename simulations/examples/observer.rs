//! Metrics of one's own: how long tasks waited that run on each model of GPU, and how large the offers are that nobody uses. Pods of a GPU cluster
//! (openb, Alibaba 2023), brought to far fewer machines and much faster than they came.
//!
//! ```sh
//! cargo run --release -p apportion-simulations --example observer
//! ```

use std::collections::{BTreeMap, HashMap};

use apportion::protocol::{OfferId, OfferInfo, Operation};
use apportion::resources::Kind;
use apportion::spec::Document;
use apportion::time::Time;
use apportion_simulations::engine::{Observer, TaskRun};
use apportion_simulations::{Run, Scenario, SimulationBuilder};

/// What was offered in vain, and how long tasks waited.
#[derive(Default)]
struct Ledger {
    /// Cores of offers that are out.
    out: HashMap<OfferId, f64>,
    /// Of offers that were declined, how many had so many cores, rounded up to powers of two.
    declined: BTreeMap<u64, u64>,
    /// When each job arrived, by framework.
    arrived: HashMap<(u32, u32), Time>,
    /// Starts and the sum of their waits, by machine.
    waits: BTreeMap<u32, (u64, f64)>,
}

impl Observer for Ledger {
    fn arrived(&mut self, at: Time, framework: u32, job: u32) {
        self.arrived.insert((framework, job), at);
    }

    fn offered(&mut self, _at: Time, _framework: u32, offers: &[OfferInfo]) {
        let cores = |offer: &OfferInfo| (offer.id, offer.resources.quantities().get(&Kind::Cpus).as_f64());
        self.out.extend(offers.iter().map(cores));
    }

    fn declined(&mut self, _at: Time, _framework: u32, offers: &[OfferId]) {
        for cores in offers.iter().filter_map(|offer| self.out.remove(offer)) {
            *self.declined.entry((cores.ceil() as u64).next_power_of_two()).or_default() += 1;
        }
    }

    fn accepted(&mut self, _at: Time, _framework: u32, offers: &[OfferId], _operations: &[Operation]) {
        for offer in offers {
            self.out.remove(offer);
        }
    }

    fn started(&mut self, _run: usize, task: &TaskRun) {
        let Some(arrived) = self.arrived.get(&(task.framework, task.job)) else { return };
        let (starts, waits) = self.waits.entry(task.agent).or_default();
        (*starts, *waits) = (*starts + 1, *waits + task.start.since(*arrived).as_secs_f64());
    }
}

impl Ledger {
    /// Mean waits by the model of the machine's GPUs, and how many tasks started there.
    fn by_model(&self, run: &Run) -> BTreeMap<String, (u64, f64)> {
        let mut models: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        for (agent, (starts, waits)) in &self.waits {
            let attributes = &run.model().agents[*agent as usize].attributes;
            let model = attributes.get("gpu_model").map_or("no GPU", String::as_str);
            let sum = models.entry(model.to_owned()).or_default();
            *sum = (sum.0 + starts, sum.1 + waits);
        }
        models.values_mut().for_each(|(starts, waits)| *waits /= *starts as f64);
        models
    }
}

/// Where files of the scenario are looked for.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/papers/fgd/own.toml");

const SCENARIO: &str = r#"
schema = 1
name = "observed"
cluster = { nodes = { format = "openb", file = "openb_node_list_gpu_node.csv.gz", limit = 100 } }
[[frameworks]]
name = "pods"
role = "pods"
policy = "skip"
# So it is offered everything, and says itself what is of no use.
states_demand = false
workload = { format = "openb", file = "openb_pod_list_default.csv.gz", limit = 2000, time_scale = 0.001,
             duration = { distribution = "exponential", mean = "10m" } }
"#;

fn observe() -> Result<(Ledger, Run), Box<dyn std::error::Error>> {
    let scenario = Scenario::parse(&Document::new(FILE, SCENARIO))?;
    let mut ledger = Ledger::default();
    let run = SimulationBuilder::of_scenario(&scenario)?.observe(&mut ledger).run()?;
    Ok((ledger, run))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ledger, run) = observe()?;
    for (model, (starts, wait)) in ledger.by_model(&run) {
        println!("{model:10} {starts:5} tasks, which waited {wait:7.1} s in the mean");
    }
    for (cores, count) in &ledger.declined {
        println!("{count:6} offers of up to {cores} cores were declined");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_observed_is_what_the_summary_says() {
        let (ledger, run) = observe().unwrap();
        let summary = run.summary();
        let (starts, waits) = ledger.waits.values().fold((0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        assert_eq!(starts, summary.tasks_finished);
        assert!((waits / starts as f64 - summary.wait_s.mean).abs() < 1e-6);
        assert_eq!(ledger.declined.values().sum::<u64>(), summary.frameworks["pods"].declines);
    }
}
