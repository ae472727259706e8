//! What people are told, word for word, about typical mistakes; and that no text makes anything panic.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::protocol::{Checks, Command};
use crate::resources::GpuRequest;

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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
}

#[test]
fn wrong_values_are_told_with_their_place_and_remedy() {
    for (step, expected) in [
        (
            "gpus = -1",
            "job.toml:6:8: wrong value: found integer '-1', expected a whole number from 0 to 4294967295\n    gpus = -1\n           ^",
        ),
        (
            "gpus = 'two'",
            "job.toml:6:8: wrong type: found string \"two\", expected a whole number from 0 to 4294967295\n    gpus = 'two'\n           ^",
        ),
        (
            "gpus = 0.5",
            "job.toml:6:8: 'gpus' are whole; shares of GPUs are written as 'shared_gpus = 0.5'\n    gpus = 0.5\n           ^",
        ),
        (
            "shared_gpus = 2.5",
            "job.toml:6:15: '2.5' is not a number of shared GPUs: it can't be split into equal thousandths of 3 devices; \
             write for example 0.5 or 2\n    shared_gpus = 2.5\n                  ^",
        ),
        (
            "shared_gpus = 5000",
            "job.toml:6:15: '5000' is not a number of shared GPUs: it is too large; write for example 0.5 or 2\n    \
             shared_gpus = 5000\n                  ^",
        ),
        (
            "memory = 512",
            "job.toml:6:10: wrong type: found integer '512', expected an amount of memory such as \"512MiB\"\n    \
             memory = 512\n             ^",
        ),
        (
            "cmd = ['']",
            "job.toml:6:7: 'cmd' names no program; write for example [\"sleep\", \"10\"]\n    cmd = ['']\n          ^",
        ),
        (
            "env = { 'A=B' = '' }",
            "job.toml:6:7: 'A=B' is not a variable's name: it needs a character, and none is '='\n    \
             env = { 'A=B' = '' }\n          ^",
        ),
        (
            "cmd = ['a']\nports = ['a-b', 'a_b']",
            "job.toml:5:1: ports 'a-b' and 'a_b' would both be exported as PORT_A_B\n    [[step]]\n    ^",
        ),
        (
            "cmd = ['a']\nshell = 'a'",
            "job.toml:5:1: both 'cmd' and 'shell' are given; keep one\n    [[step]]\n    ^",
        ),
        // What is quoted neither breaks the line nor the list of names.
        (
            "stop = { \"sig`nal\" = 'TERM' }",
            "job.toml:6:10: unknown key 'sig`nal'; did you mean 'signal'?\n    stop = { \"sig`nal\" = 'TERM' }\n             ^",
        ),
        (
            "stop = { \"signal\\n\" = 'TERM' }",
            "job.toml:6:10: unknown key 'signal\\n'; did you mean 'signal'?\n    stop = { \"signal\\n\" = 'TERM' }\n             ^",
        ),
    ] {
        assert_eq!(mistake(step), expected, "{step}");
    }
}

#[test]
fn all_mistakes_of_syntax_are_told_in_order() {
    let error = Document::new("a.toml", "a = 1\nb = \nc = [\n").parse::<Job>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.toml:2:5: string values must be quoted, expected literal string\n    b =\n       ^\n\
         a.toml:3:6: unclosed array, expected ']'\n    c = [\n         ^"
    );
    // A name that ends with .toml is believed.
    let error = Document::new("a.toml", "{").parse::<Job>().unwrap_err();
    assert!(error.to_string().starts_with("a.toml:1:1: invalid key-value pair"), "{error}");
}

#[test]
fn json_mistakes_are_told_with_their_place_and_remedy() {
    let step = |step: &str| {
        format!(
            "{{\"schema\": 1, \"kind\": \"batch\", \"id\": \"/a\", \"role\": \"ml\", \"step\": [\n{step},\n{{}}]}}"
        )
    };
    for (text, expected) in [
        (
            "{\n  \"schema\": 1,\n  \"knid\": \"batch\"\n}".to_owned(),
            "job.json:3:3: unknown key 'knid'; did you mean 'kind'?\n      \"knid\": \"batch\"\n      ^",
        ),
        (
            step("{\"overlap\": \"skpi\"}"),
            "job.json:2:13: unknown value 'skpi'; did you mean 'skip'?\n    {\"overlap\": \"skpi\"},\n                ^",
        ),
        (
            step("{\"name\": [1], \"needs\": []}"),
            "job.json:2:10: wrong type: found a list, expected a string\n    {\"name\": [1], \"needs\": []},\n             ^",
        ),
        (
            step("{\"needs\": 3}"),
            "job.json:2:11: wrong type: found integer '3', expected a list\n    {\"needs\": 3},\n              ^",
        ),
        (step(" {\"cmd\": [\"a\"]}"), "job.json:2:2: missing key 'name'\n     {\"cmd\": [\"a\"]},\n     ^"),
        (
            step(" {\"name\": \"a\"}"),
            "job.json:2:2: missing key 'cmd' (a program and its arguments) or 'shell' (a line for sh)\n     \
             {\"name\": \"a\"},\n     ^",
        ),
        (
            step("{\"timeout\": \"30\"}"),
            "job.json:2:13: '30' is not a duration: a unit is missing (ms, s, m, h, d); \
             write for example \"500ms\", \"30s\" or \"1h30m\"\n    {\"timeout\": \"30\"},\n                ^",
        ),
        (
            step("{\"name\": \"a\", \"name\": \"b\"}"),
            "job.json:2:15: duplicate key 'name'\n    {\"name\": \"a\", \"name\": \"b\"},\n                  ^",
        ),
        ("{\"schema\": 1,\n}".to_owned(), "job.json:2:1: trailing comma\n    }\n    ^"),
        (
            "{\"schema\": 1".to_owned(),
            "job.json:1:12: the text ends within an object\n    {\"schema\": 1\n               ^",
        ),
        ("[1]".to_owned(), "job.json:1:1: wrong type: found a list, expected a table\n    [1]\n    ^"),
    ] {
        let error = Document::new("job.json", text.as_str()).parse::<Job>().unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let error = Header::peek(&Document::new("job.json", "{\n\"schema\": 2}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "job.json:2:1: unknown schema 2; this version knows schema 1\n    \"schema\": 2}\n    ^"
    );
}

#[test]
fn semantic_errors_in_json_have_places_too() {
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
        "[step.env]  # default",
        "ports = []  # default",
    ] {
        assert!(explained.lines().any(|found| found == line), "{line} in\n{explained}");
    }
    assert_eq!(Document::new("b.toml", explained).parse::<Job>().unwrap(), job);
}

#[test]
fn explanations_do_not_write_into_lists() {
    let task: TaskTable = Document::new("a.toml", "cmd = ['a', \"\\n\"]").parse().unwrap();
    let explained = explain(&task, &Document::new("b.toml", ""));
    assert!(explained.contains("\"\"\"]  # default\n"), "{explained}");
    assert_eq!(Document::new("c.toml", explained).parse::<TaskTable>(), Ok(task));
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

fn any_task() -> impl Strategy<Value = TaskTable> {
    let text = "(?s)[^\\x00]{0,6}";
    let command = prop_oneof![
        proptest::collection::vec("(?s)[^\\x00]{1,6}", 1..3).prop_map(Command::Argv),
        text.prop_map(Command::Shell),
    ];
    let env = proptest::collection::btree_map("(?s)[^=\\x00]{1,6}", text, 0..3);
    let ports = proptest::collection::btree_set("[a-z][a-z0-9]{0,3}", 0..3)
        .prop_map(|names| names.into_iter().map(|name| PortName::try_from(name).unwrap()).collect());
    let stop = (1..=64_i64, any::<u32>()).prop_map(|(signal, grace)| StopTable {
        signal: StopSignal::try_from(signal).unwrap(),
        grace: Delay::from_millis(grace),
    });
    let timeout = proptest::option::of(any::<u32>().prop_map(Delay::from_secs));
    let user = proptest::option::of("[a-z]{1,6}");
    let shared = (0..=3_u32, 1..=1000_u32)
        .prop_map(|(count, milli)| SharedGpus::new(GpuRequest { count, milli }).unwrap_or_default());
    (command, env, any::<[u32; 4]>(), shared, ports, stop, timeout, user).prop_map(
        |(command, env, [cpus, memory, disk, gpus], shared_gpus, ports, stop, timeout, user)| TaskTable {
            user,
            command,
            env,
            cpus: Cpus::from_milli(cpus),
            memory: Memory::from_mib(memory),
            disk: Memory::from_mib(disk),
            gpus,
            shared_gpus,
            ports,
            stop,
            timeout,
        },
    )
}

fn any_job() -> impl Strategy<Value = Job> {
    let overlap = prop_oneof![Just(Overlap::Skip), Just(Overlap::Queue)];
    let needs = proptest::collection::vec("(?s).{0,4}", 0..3);
    let step = ("(?s).{0,4}", overlap, needs, any_task())
        .prop_map(|(name, overlap, needs, task)| WithTask { rest: Step { name, overlap, needs }, task });
    let text = || "(?s).{0,6}";
    (any::<u32>(), text(), text(), text(), proptest::collection::vec(step, 0..3))
        .prop_map(|(schema, kind, id, role, step)| Job { schema, kind, id, role, step })
}

proptest! {
    #[test]
    fn explanations_read_back_whatever_was_written(job in any_job()) {
        let toml = toml::to_string(&job).unwrap();
        let json = serde_json::to_string_pretty(&job).unwrap();
        for source in [Document::new("a.toml", ""), Document::new("a.toml", toml.as_str()), Document::new("a.json", json)] {
            let explained = explain(&job, &source);
            let read = Document::new("b.toml", explained.as_str()).parse::<Job>();
            prop_assert_eq!(read.as_ref(), Ok(&job), "{}", explained);
            // What is all written has no defaults.
            if !source.text().is_empty() {
                let written = source.parse::<Job>();
                prop_assert_eq!(written.as_ref(), Ok(&job));
                prop_assert_eq!(&explained, &toml);
            }
        }
    }

    #[test]
    fn damaged_specs_are_refused_at_a_place_that_exists(
        job in any_job(),
        at: proptest::sample::Index,
        len in 1..12_usize,
        patch in prop_oneof!["[\\[\\]{}\",:0é\n]{0,2}", Just("\"x\":".to_owned())],
        json: bool,
    ) {
        let text = if json { serde_json::to_string_pretty(&job) .unwrap() } else { toml::to_string(&job).unwrap() };
        let chars: Vec<char> = text.chars().collect();
        let start = at.index(chars.len());
        let (before, after) = (&chars[..start], chars[start..].iter().skip(len));
        let damaged: String = before.iter().chain(&patch.chars().collect::<Vec<_>>()).chain(after).collect();
        let document = Document::new(if json { "a.json" } else { "a.toml" }, damaged);
        if let Err(errors) = document.parse::<Job>() {
            prop_assert!(!errors.0.is_empty());
            for error in errors.0 {
                prop_assert!(error.line <= document.text().split('\n').count(), "{error}");
                prop_assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            }
        }
    }

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
