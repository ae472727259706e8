//! What operators ask of the frameworks while things go wrong.

use std::time::Duration;

use apportion::resources::Resources;
use apportion::spec::{Document, SpecErrors};
use apportion_batch::BatchSpec;
use apportion_service::{ServiceRequest, ServiceSpec};

use crate::random::Stream;

/// A cluster and what is to run on it.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    /// What each agent has.
    pub(super) agents: Vec<Resources>,
    /// What is asked of the service framework, in the order of time.
    pub(super) services: Vec<(Duration, ServiceRequest)>,
    /// What is asked of the batch framework, in the order of time.
    pub(super) jobs: Vec<(Duration, BatchSpec)>,
}

impl Workload {
    /// The workload of a seed, asked for until `ends`.
    ///
    /// # Errors
    /// When a spec is not one: a mistake in this file.
    pub(super) fn draw(seed: u64, ends: Duration) -> Result<Self, SpecErrors> {
        let mut stream = Stream::named(seed, "faults/workload");
        let agents = (0..2 + stream.below(4)).map(|_| machine(&mut stream)).collect();
        let mut services = Vec::new();
        for number in 0..1 + stream.below(2) {
            let (replicas, cpus) = (1 + stream.below(4), 200 + 100 * stream.below(3));
            let apply = |version| {
                let spec = service(number, version, replicas, cpus)?;
                Ok::<_, SpecErrors>(ServiceRequest::Apply { spec: Box::new(spec) })
            };
            services.push((Duration::from_secs(1), apply(1)?));
            if stream.unit() < 0.5 {
                services.push((ends.mul_f64(stream.unit()), apply(2)?));
            }
            if stream.unit() < 0.3 {
                let replicas = 1 + stream.below(5) as u32;
                let scale = ServiceRequest::Scale { id: service_id(number), replicas };
                services.push((ends.mul_f64(stream.unit()), scale));
            }
        }
        services.sort_by_key(|(at, _)| *at);
        let mut jobs = Vec::new();
        for number in 0..2 + stream.below(5) {
            let at = if number == 0 { Duration::from_secs(2) } else { ends.mul_f64(stream.unit()) };
            jobs.push((at, job(number, &mut stream)?));
        }
        jobs.sort_by_key(|(at, _)| *at);
        Ok(Workload { agents, services, jobs })
    }
}

/// The resources of some machine. Any two of them have room for all services at their largest.
pub(super) fn machine(stream: &mut Stream) -> Resources {
    let cpus = 4 + stream.below(5) as u32;
    Resources::builder().cpus(cpus).mem_mib(1024 * cpus).ports(31000..=31000 + 4 * cpus as u16).build()
}

fn service_id(number: usize) -> String {
    format!("/shop/web{number}")
}

fn service(
    number: usize,
    version: u32,
    replicas: usize,
    cpus_milli: usize,
) -> Result<ServiceSpec, SpecErrors> {
    let cpus = cpus_milli as f64 / 1000.0;
    let text = format!(
        "schema = 1\nkind = 'service'\nid = '{}'\nrole = 'web'\nreplicas = {replicas}\n\
         [task]\ncmd = ['web', '{version}']\ncpus = {cpus}\nmemory = '64MiB'\nports = ['http']\n\
         [check.readiness]\ntcp = true\nevery = '30s'\n\
         [update]\nmin_healthy = '2s'\n[backoff]\nmax = '20s'",
        service_id(number)
    );
    ServiceSpec::parse(&Document::new("service.toml", text))
}

fn job(number: usize, stream: &mut Stream) -> Result<BatchSpec, SpecErrors> {
    let mut text = format!("schema = 1\nkind = 'batch'\nid = '/jobs/job{number}'\nrole = 'research'\n");
    for step in 0..1 + stream.below(3) {
        let (count, cpus) = (1 + stream.below(6), (1 + stream.below(10)) as f64 / 10.0);
        text += &format!(
            "[[step]]\nname = 's{step}'\ncmd = ['work']\ncount = {count}\ncpus = {cpus}\nmemory = '32MiB'\n\
             retry = {{ limit = {}, backoff = '1s', max_backoff = '20s' }}\n",
            stream.below(4)
        );
        if step > 0 {
            text += &format!("needs = ['s{}']\n", stream.below(step));
        }
    }
    BatchSpec::parse(&Document::new("job.toml", text))
}
