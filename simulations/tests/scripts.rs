//! Plays all scripts of the folder beside this file: what allocators of Mesos' kind do, and the DRF paper's examples.

use std::path::Path;

use apportion::spec::Document;
use apportion_simulations::script::Script;

/// Plays a script, and tells what is wrong with it.
fn play(file: &str, text: &str) -> Result<(), String> {
    let script = Script::parse(Document::new(file, text)).map_err(|errors| errors.to_string())?;
    let stem = file.trim_end_matches(".toml");
    if script.name() != stem {
        return Err(format!("{file} is named {}", script.name()));
    }
    script.play(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn all_scripts_play_to_their_ends() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 60, "only {} scripts were found", files.len());
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            play(&file.file_name().unwrap().to_string_lossy(), &text).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// The message of a script that can't be read or does not play to its end.
fn wrong(steps: &str) -> String {
    play("wrong.toml", &format!("schema = 1\nname = \"wrong\"\n{steps}")).unwrap_err()
}

#[test]
fn mistakes_are_told_with_their_lines() {
    for (steps, expected) in [
        ("typo = 1", "wrong.toml:3:1: unknown key 'typo'"),
        ("[options]\nevents = true", "wrong.toml:4:1: unknown key 'events'; did you mean 'event'?"),
        ("[[step]]\nadd_agnt = { id = \"a\" }", "wrong.toml:4:1: unknown value 'add_agnt'"),
        ("[[step]]\nadd_agent = { id = \"a\", resources = \"cpus:1\", cpu = 1 }", "unknown key 'cpu'"),
        ("[[step]]\nadd_agent = { id = \"a\", resources = \"cpus:x\" }", "wrong.toml:4:"),
        ("[[step]]\nadvance = \"1 fortnight\"", "wrong.toml:4:11"),
        (
            "[[step]]\nexpect = []\n[[step]]\ndecline = { framework = \"f\", agent = \"a\" }",
            "wrong.toml:6:1: step 2: f holds no offer of a",
        ),
        ("[[step]]\nfinish = { task = \"t\" }", "wrong.toml:4:1: step 1: no task t runs"),
        ("[[step]]\nexpect_shares = { a = 0.5 }", "step 1: there is no role or framework a"),
    ] {
        let message = wrong(steps);
        assert!(message.contains(expected), "{message}\ninstead of\n{expected}");
    }
    let schema = play("old.toml", "schema = 2\nname = \"old\"").unwrap_err();
    assert!(schema.starts_with("old.toml:1:1: schema 2 is not known"), "{schema}");
}

#[test]
fn an_unmet_expectation_says_what_was_expected_and_found_and_why() {
    let message = wrong(
        r#"[[step]]
        add_agent = { id = "agent1", resources = "cpus:2;mem:1024" }
        [[step]]
        add_framework = { id = "fw1", roles = ["role1"] }
        [[step]]
        expect = [{ framework = "fw1", role = "role1", agent = "agent1", resources = "cpus:3" }]"#,
    );
    for part in [
        "wrong.toml:8:9: step 3: the offers are not those that are expected",
        "expected:\n    fw1 (role1) on agent1: cpus:3",
        "found:\n    fw1 (role1) on agent1: cpus:2;mem:1024",
        "larger than any agent",
    ] {
        assert!(message.contains(part), "{message}\nwithout\n{part}");
    }
}
