//! Both fidelities give the same schedule where messages take no time.

use apportion_simulations::Run;

use crate::run;

/// What is decided: who runs where and when, and what was offered.
fn assert_same_schedules(text: &str) {
    let of = |fidelity: &str| {
        run(&text.replacen("schema = 1", &format!("schema = 1\nfidelity = \"{fidelity}\""), 1))
    };
    let (full, placement): (Run, Run) = (of("full"), of("placement"));
    assert_eq!(full.record().tasks, placement.record().tasks, "{text}");
    assert_eq!(full.record().frameworks, placement.record().frameworks, "{text}");
    assert_eq!(full.record().cycles, placement.record().cycles, "{text}");
    assert_eq!(full.record().end, placement.record().end, "{text}");
    assert!(!full.record().tasks.is_empty());
}

/// Three queues of different policies, more than fits, with a gang among them.
fn scenario(allocator: &str, of_each: &str, policy_of_second: &str) -> String {
    format!(
        r#"
        schema = 1
        name = "fidelity"
        seed = 11
        allocator = {allocator}
        agents = [
            {{ count = 7, resources = "cpus:8;mem:8192" }},
            {{ count = 2, resources = "cpus:16;mem:4096;gpus:4" }},
        ]
        roles = [{{ name = "b", weight = 2.0 }}]
        [[frameworks]]
        name = "a"
        role = "a"
        {of_each}
        workload = {{ arrivals = {{ distribution = "poisson", rate_per_s = 0.6 }}, limit = 150, tasks = {{ distribution = "uniform", min = 1, max = 5 }}, resources = "cpus:2;mem:512", duration = {{ distribution = "lognormal", median = "10s", sigma = 1.0 }} }}
        [[frameworks]]
        name = "b"
        role = "b"
        policy = "{policy_of_second}"
        {of_each}
        jobs = [
            {{ tasks = 50, resources = "cpus:1;mem:1024", duration = "7s" }},
            {{ at = "7s", tasks = 20, resources = "cpus:3;mem:64", duration = {{ distribution = "exponential", mean = "20s" }} }},
            {{ at = "10s", tasks = 6, resources = "gpus:1;cpus:1", duration = "21s" }},
        ]
        [[frameworks]]
        name = "c"
        role = "c"
        {of_each}
        jobs = [
            {{ at = "7s", tasks = 9, gang = true, resources = "cpus:4;mem:256", duration = "14s", limit = "20s" }},
            {{ at = "8s", tasks = 30, resources = "cpus:1;mem:1", duration = "1s" }},
        ]
        "#
    )
}

#[test]
fn schedules_are_the_same_in_every_batch() {
    for allocator in ["{}", "{ batch = \"event\" }", "{ interval = \"1s\" }", "{ ties = \"name\" }"] {
        assert_same_schedules(&scenario(allocator, "", "skip"));
    }
}

#[test]
fn schedules_are_the_same_for_every_policy_and_placement() {
    for policy in ["fifo", "skip", "shortest-first", "priority", "easy", "conservative"] {
        assert_same_schedules(&scenario("{}", "", policy));
    }
    for placement in ["first-fit", "best-fit", "worst-fit", "random", "dot-product", "gpu-packing", "fgd"] {
        assert_same_schedules(&scenario("{}", &format!("placement = \"{placement}\""), "skip"));
    }
}

#[test]
fn schedules_are_the_same_where_offers_are_optimistic() {
    let modes = r#"roles = [{ name = "b", offers = "optimistic" }, { name = "a", offers = "optimistic" }]"#;
    let text = |of_each: &str| {
        scenario("{}", of_each, "skip")
            .replace(r#"roles = [{ name = "b", weight = 2.0 }]"#, modes)
            .replace("gang = true, ", "")
    };
    for of_each in ["", "states_demand = false", "decision = { per_job = \"100ms\" }"] {
        assert_same_schedules(&text(of_each));
    }
}

#[test]
fn schedules_are_the_same_for_those_who_decide_slowly_or_see_everything() {
    for of_each in [
        "decision = { per_job = \"100ms\", per_task = \"5ms\" }",
        "states_demand = false",
        "states_demand = false\nrefuse = \"5s\"",
        "per_offer = \"all\"",
    ] {
        // A gang's offers come one by one to someone who decides slowly, and never suffice.
        assert_same_schedules(&scenario("{}", of_each, "skip").replace("gang = true, ", ""));
    }
}
