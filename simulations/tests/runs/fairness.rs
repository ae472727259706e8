//! Dominant-resource fairness, on the examples of its paper (Ghodsi et al., NSDI 2011).

use crate::{assert_close, mistakes, order, run};

/// Two frameworks with more tasks than fit, until all that fit run.
fn two_users(total: &str, a: &str, b: &str, weights: (u32, u32)) -> String {
    format!(
        r#"
        schema = 1
        name = "two-users"
        until = "1s"
        agents = [{{ resources = "{total}" }}]
        roles = [{{ name = "a", weight = {} }}, {{ name = "b", weight = {} }}]
        [[frameworks]]
        name = "A"
        role = "a"
        kind = "batch"
        jobs = [{{ tasks = 10000, resources = "{a}", duration = "10s" }}]
        [[frameworks]]
        name = "B"
        role = "b"
        kind = "batch"
        jobs = [{{ tasks = 10000, resources = "{b}", duration = "10s" }}]
        "#,
        weights.0, weights.1
    )
}

#[test]
fn shares_and_order_are_those_of_the_paper() {
    for (total, a, b, weights, expected, sequence) in [
        ("cpus:9;mem:18432", "cpus:1;mem:4096", "cpus:3;mem:1024", (1, 1), (3, 2), "ABABA"),
        // After ABAA weighted shares are equal; the tie goes to B, which had fewer allocations. By name it would end with 4 and 1.
        ("cpus:9;mem:18432", "cpus:1;mem:4096", "cpus:3;mem:1024", (2, 1), (3, 2), "ABAAB"),
        ("cpus:9;mem:18432", "cpus:1;mem:4096", "cpus:3;mem:1024", (1, 2), (3, 2), "ABBAA"),
        ("cpus:9000;mem:18432000", "cpus:1;mem:4096", "cpus:3;mem:1024", (1, 1), (3000, 2000), ""),
        ("cpus:100;mem:10240000", "cpus:2;mem:307200", "cpus:6;mem:102400", (1, 1), (20, 10), ""),
        ("cpus:30;mem:30", "cpus:1;mem:3", "cpus:1;mem:1", (1, 1), (5, 15), ""),
    ] {
        let run = run(&two_users(total, a, b, weights));
        let most = |name| run.summary().frameworks[name].running_max;
        assert_eq!((most("A"), most("B")), expected, "{total} {weights:?}");
        if !sequence.is_empty() {
            assert_eq!(order(&run), sequence);
        }
    }
}

#[test]
fn dominant_shares_are_equal_and_jain_says_so() {
    let run = run(&two_users("cpus:9;mem:18432", "cpus:1;mem:4096", "cpus:3;mem:1024", (1, 1)));
    for role in ["a", "b"] {
        let share = run.summary().roles[role].dominant_share;
        assert_close(share.mean, 2.0 / 3.0, 1e-9);
        assert_close(share.max, 2.0 / 3.0, 1e-9);
    }
    assert_close(run.summary().jain_index, 1.0, 1e-9);
    assert_close(run.summary().utilisation["cpus"].mean, 1.0, 1e-9);
    assert_close(run.summary().utilisation["mem"].mean, 14.0 / 18.0, 1e-9);
}

#[test]
fn jains_index_is_that_of_the_weighted_shares() {
    let run = run(&two_users("cpus:9;mem:18432", "cpus:1;mem:4096", "cpus:3;mem:1024", (2, 1)));
    // Both have 2/3; A with weight 2, B with weight 1.
    let (a, b) = (1.0 / 3.0, 2.0 / 3.0);
    assert_close(run.summary().jain_index, (a + b) * (a + b) / (2.0 * (a * a + b * b)), 1e-9);
}

#[test]
fn a_hog_among_n_has_a_jain_index_of_one_nth() {
    let run = run(r#"
        schema = 1
        name = "hog"
        until = "10s"
        agents = [{ resources = "cpus:4;mem:64" }]
        [[frameworks]]
        name = "hog"
        role = "hog"
        jobs = [{ tasks = 4, resources = "cpus:1;mem:1", duration = "100s" }]
        [[frameworks]]
        name = "late"
        role = "late"
        jobs = [{ at = "5s", tasks = 4, resources = "cpus:1;mem:1", duration = "100s" }]
        "#);
    // Alone for half of the time, then one of two that has all.
    assert_close(run.summary().jain_index, 0.75, 1e-9);
    assert_eq!(run.summary().tasks_pending, 4);
}

#[test]
fn parents_have_what_their_children_have() {
    let run = run(r#"
        schema = 1
        name = "tree"
        until = "10s"
        agents = [{ resources = "cpus:4" }]
        [[frameworks]]
        name = "a"
        role = "eng/search"
        jobs = [{ tasks = 4, resources = "cpus:1", duration = "100s" }]
        [[frameworks]]
        name = "b"
        role = "eng/ads"
        jobs = [{ tasks = 4, resources = "cpus:1", duration = "100s" }]
        "#);
    let share = |role: &str| run.summary().roles[role].dominant_share.mean;
    assert_eq!((share("eng"), share("eng/search"), share("eng/ads")), (1.0, 0.5, 0.5));
}

#[test]
fn limits_are_not_exceeded_and_guarantees_are_kept() {
    let run = run(r#"
        schema = 1
        name = "quota"
        until = "10s"
        agents = [{ resources = "cpus:8;mem:8192" }]
        roles = [
            { name = "a", quota = { limit = "cpus:2" } },
            { name = "b", quota = { guarantee = "cpus:3" } },
        ]
        [[frameworks]]
        name = "A"
        role = "a"
        kind = "batch"
        jobs = [{ tasks = 10, resources = "cpus:1;mem:64", duration = "100s" }]
        [[frameworks]]
        name = "B"
        role = "b"
        kind = "batch"
        jobs = [{ at = "5s", tasks = 10, resources = "cpus:1;mem:64", duration = "100s" }]
        [[frameworks]]
        name = "C"
        role = "c"
        kind = "batch"
        jobs = [{ tasks = 10, resources = "cpus:1;mem:64", duration = "100s" }]
        "#);
    let most = |name| run.summary().frameworks[name].running_max;
    assert_eq!((most("A"), most("B"), most("C")), (2, 3, 3));
}

#[test]
fn a_role_below_its_fair_share_is_given_room_after_a_warning_and_what_made_room_runs_again() {
    let text = |policy: &str| {
        format!(
            r#"
            schema = 1
            name = "preemption"
            agents = [{{ count = 2, resources = "cpus:2" }}]
            allocator = {{ preemption = "{policy}", preemption_after = "10s", preemption_grace = "5s" }}
            [[frameworks]]
            name = "a"
            role = "a"
            jobs = [{{ tasks = 4, resources = "cpus:1", duration = "100s" }}]
            [[frameworks]]
            name = "b"
            role = "b"
            per_offer = "all"
            jobs = [{{ at = "10s", tasks = 2, resources = "cpus:1", duration = "50s" }}]
            "#
        )
    };
    assert_eq!(run(&text("never")).summary().frameworks["b"].wait_s.max, 90.0);
    let run = run(&text("fair-share"));
    let summary = run.summary();
    assert_eq!(summary.frameworks["b"].wait_s.max, 15.0);
    assert_eq!((summary.tasks_finished, summary.tasks_lost, summary.tasks_failed), (6, 2, 0));
    assert_eq!(summary.preemptions, 2);
    // b is through at 75 s; then what made room runs for its 100 s.
    assert_eq!(summary.makespan_s, 175.0);
    let only_full = text("fair-share").replace("agents =", "fidelity = \"placement\"\nagents =");
    assert!(
        mistakes(&only_full).contains("preemption needs fidelity = \"full\""),
        "{}",
        mistakes(&only_full)
    );
}
