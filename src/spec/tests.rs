//! What people are told, word for word, about typical mistakes; and that no text makes anything panic.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::protocol::Checks;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    schema: u32,
    kind: String,
    id: String,
    role: String,
    #[serde(default)]
    step: Vec<WithTask<Step>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    needs: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Overlap {
    #[default]
    Skip,
    Queue,
}

const HEADER: &str = "schema = 1\nkind = 'batch'\nid = '/a'\nrole = 'ml'\n";

fn mistake(step: &str) -> String {
    let text = format!("{HEADER}[[step]]\n{step}\n");
    Document::new("job.toml", text).parse::<Job>().unwrap_err().to_string()
}

#[test]
fn typical_mistakes_are_told_with_their_place_and_remedy() {
    for (step, expected) in [
        (
            "name = 'a'\n  memroy = '1GiB'",
            "job.toml:7:3: unknown key 'memroy'; did you mean 'memory'?\n      memroy = '1GiB'\n      ^",
        ),
        (
            "nam = 'a'\ncmd = ['a']",
            "job.toml:6:1: unknown key 'nam'; did you mean 'name'?\n    nam = 'a'\n    ^",
        ),
        (
            "overlap = 'skpi'",
            "job.toml:6:11: unknown value 'skpi'; did you mean 'skip'?\n    overlap = 'skpi'\n              ^",
        ),
        (
            "cmd = ['a']\nneeds = 3",
            "job.toml:7:9: wrong type: found integer '3', expected a list\n    needs = 3\n            ^",
        ),
        ("cmd = ['a']", "job.toml:5:1: missing key 'name'\n    [[step]]\n    ^"),
        (
            "name = 'a'",
            "job.toml:5:1: missing key 'cmd' (a program and its arguments) or 'shell' (a line for sh)\n    [[step]]\n    ^",
        ),
        (
            "timeout = '30 parsecs'",
            "job.toml:6:11: '30 parsecs' is not a duration: unknown unit ' parsecs' (known: ms, s, m, h, d); \
             write for example \"500ms\", \"30s\" or \"1h30m\"\n    timeout = '30 parsecs'\n              ^",
        ),
        (
            "stop = { signl = 'TERM' }",
            "job.toml:6:10: unknown key 'signl'; did you mean 'signal'?\n    stop = { signl = 'TERM' }\n             ^",
        ),
    ] {
        assert_eq!(mistake(step), expected, "{step}");
    }
    assert!(mistake("name = ").starts_with("job.toml:6:"));
}

#[test]
fn json_has_places_too() {
    let text = "{\n  \"schema\": 1,\n  \"knid\": \"batch\"\n}";
    let error = Document::new("job.json", text).parse::<Job>().unwrap_err().to_string();
    assert_eq!(
        error,
        "job.json:3:3: unknown key 'knid'; did you mean 'kind'?\n      \"knid\": \"batch\"\n      ^"
    );

    let text = "{\"step\": [{}, {\"name\": \"}\\\"\",\n \"needs\": [1, 2]}]}";
    let error = Document::new("a", text).error_at(&["step", "1", "needs"], "a cycle");
    assert_eq!((error.line, error.column), (2, 2));
}

#[test]
fn semantic_errors_point_to_what_is_there() {
    let document = Document::new(
        "job.toml",
        format!("{HEADER}[[step]]\nname = 'a'\n[[step]]\nname = 'b'\nneeds = ['c']"),
    );
    let place = |path: &[&str]| {
        let error = document.error_at(path, "");
        (error.line, error.column)
    };
    assert_eq!(place(&["step", "1", "needs"]), (9, 1));
    assert_eq!(place(&["step", "1", "needs", "0"]), (9, 10));
    assert_eq!(place(&["step", "0", "needs"]), (5, 1));
    assert_eq!(place(&["cron"]), (1, 1));
}

#[test]
fn headers_are_checked_before_anything_else() {
    let peeked = |text: &str| Header::peek(&Document::new("a.toml", text)).map_err(|error| error.to_string());
    let header = peeked(&format!("{HEADER}whatever = 1")).unwrap();
    assert_eq!((header.kind.as_str(), header.role.as_str()), ("batch", "ml"));
    assert_eq!(
        peeked("schema = 2").unwrap_err(),
        "a.toml:1:1: unknown schema 2; this version knows schema 1\n    schema = 2\n    ^"
    );
    let document = Document::new("a.toml", HEADER.replace("batch", "bacth"));
    let error = Header::peek(&document).unwrap().expect_kind(&document, &["service", "batch"]).unwrap_err();
    assert!(
        error.to_string().starts_with("a.toml:2:1: unknown kind 'bacth'; did you mean 'batch'?"),
        "{error}"
    );
}

#[test]
fn explanations_mark_defaults_and_parse_back() {
    let document = Document::new(
        "job.toml",
        format!("{HEADER}[[step]]\nname = 'a'\nshell = 'true'\nstop = {{ grace = '1m' }}"),
    );
    let job: Job = document.parse().unwrap();
    let explained = explain(&job, &document);
    for line in [
        "memory = \"32MiB\"  # default",
        "shell = \"true\"",
        "signal = \"TERM\"  # default",
        "grace = \"1m\"",
    ] {
        assert!(explained.lines().any(|found| found == line), "{line} in\n{explained}");
    }
    assert_eq!(Document::new("b.toml", explained).parse::<Job>().unwrap(), job);
}

#[test]
fn task_tables_become_shapes_and_commands() {
    let document =
        Document::new("t.toml", "cmd = ['web']\nports = ['http', 'admin']\nstop = { signal = 'INT' }");
    let task: TaskTable = document.parse().unwrap();
    assert_eq!(task.shape().resources.to_string(), "cpus:0.1;mem:32");
    assert_eq!(task.shape().ports, 2);
    let info = task.command_info(Checks::default());
    assert_eq!((info.stop.signal, info.ports), (2, vec!["http".to_owned(), "admin".to_owned()]));
    let twice = Document::new("t.toml", "cmd = ['web']\nports = ['http', 'http']").parse::<TaskTable>();
    assert!(twice.unwrap_err().to_string().contains("two ports are named 'http'"));
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(
        text in prop_oneof![".{0,40}", "[\\[\\]{}\",:=\\\\ \n\ta1é']{0,40}", "\\{[\\[\\]{}\",:\\\\ \na1é]{0,40}"],
        json: bool,
    ) {
        let document = Document::new(if json { "a.json" } else { "a.toml" }, text);
        if let Err(errors) = document.parse::<Job>() {
            prop_assert!(!errors.0.is_empty() && !errors.to_string().is_empty());
        }
        let _ = Header::peek(&document);
        let _ = document.error_at(&["a", "1"], "wrong").to_string();
    }
}
