//! A placement policy of one's own, compared with the built-in ones on a real trace: pods of a GPU cluster (openb, Alibaba 2023),
//! brought to far fewer machines and much faster than they came.
//!
//! ```sh
//! cargo run --release -p apportion-simulations --example own_placement
//! ```

use apportion::resources::Kind;
use apportion::scheduler::{Offer, Score, TaskRequest};
use apportion::spec::Document;
use apportion_simulations::{Progress, Scenario};

/// Goes where, after it, cores and memory are left in the proportion in which the machine had them: so neither runs out alone.
struct Balanced;

impl Score for Balanced {
    fn score(&self, task: &TaskRequest, offer: &Offer) -> f64 {
        let (left, wanted) = (offer.remaining().quantities(), task.shape.quantities());
        let rest = |kind| {
            let left = left.get(kind).as_f64();
            (left - wanted.get(kind).as_f64()) / left.max(1.0)
        };
        -(rest(&Kind::Cpus) - rest(&Kind::Mem)).abs()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, wait, fragmentation) in compare(100, 2000)? {
        println!("{name:12} mean wait {wait:8.1} s, fragmentation {fragmentation:.3}");
    }
    Ok(())
}

/// The name, the mean wait and the fragmentation of each policy.
type Results = Vec<(String, f64, f64)>;

/// Plays all policies.
fn compare(machines: u32, pods: u32) -> Result<Results, Box<dyn std::error::Error>> {
    let policies = ["first-fit", "best-fit", "worst-fit", "dot-product", "fgd", "own"];
    let run = |policy: &str| {
        let placement = if policy == "own" { "best-fit" } else { policy };
        let model = Scenario::parse(&Document::new(FILE, text(placement, machines, pods)))?.resolve()?;
        let model = if policy == "own" { model.placing_by(Balanced) } else { model };
        let run = model.run(&mut Progress::silent())?;
        Ok((policy.to_owned(), run.summary().wait_s.mean, run.summary().fragmentation))
    };
    policies.into_iter().map(run).collect()
}

/// Where files of the scenario are looked for.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/papers/fgd/own.toml");

fn text(placement: &str, machines: u32, pods: u32) -> String {
    format!(
        r#"
        schema = 1
        name = "own-placement"
        fidelity = "placement"
        cluster = {{ nodes = {{ format = "openb", file = "openb_node_list_gpu_node.csv.gz", limit = {machines} }} }}
        [[frameworks]]
        name = "pods"
        role = "pods"
        policy = "skip"
        placement = "{placement}"
        workload = {{ format = "openb", file = "openb_pod_list_default.csv.gz", limit = {pods}, time_scale = 0.001,
                      duration = {{ distribution = "exponential", mean = "10m" }} }}
        "#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_policy_unlike_the_others() {
        let results = compare(15, 300).unwrap();
        let wait = |policy: &str| results.iter().find(|(name, ..)| name == policy).map(|(_, wait, _)| *wait);
        assert!(wait("own") > Some(0.0) && wait("own") != wait("best-fit"), "{results:?}");
    }
}
