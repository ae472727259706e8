//! Real processes, under each isolation that this machine permits.
#![cfg(all(feature = "runtime", target_os = "linux"))]

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use apportion::isolation::{
    Exit, Isolation, IsolationError, IsolationKind, IsolationPreference, Limits, Output, Process,
    ProcessSpec, SpawnError, Status, User,
};
use tempfile::TempDir;

const PATH: &str = "/usr/bin:/bin";

/// A root of cgroups that no other test uses.
fn root() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("apportion-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Plain always; cgroups where they are permitted, else a word about it.
fn isolations() -> Vec<Isolation> {
    let mut all = vec![Isolation::plain()];
    all.extend(cgroups(&root()));
    all
}

fn cgroups(root: &str) -> Option<Isolation> {
    match Isolation::detect(IsolationPreference::Cgroups, root) {
        Ok(isolation) => Some(isolation),
        Err(error) => {
            eprintln!("SKIPPED with cgroups: {error}");
            None
        }
    }
}

fn shell(script: &str, directory: &Path) -> ProcessSpec {
    ProcessSpec::new(["sh", "-c", script], directory).env("PATH", PATH)
}

fn run(isolation: &Isolation, spec: &ProcessSpec) -> Exit {
    isolation.spawn(spec).expect("the process starts").wait_blocking().expect("the process is reaped")
}

/// Waits for something that another process brings about.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process exists and is no zombie.
fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}

fn written(path: &Path) -> String {
    eventually("a line in the file", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().trim().to_owned()
}

/// All directories of a root, in all hierarchies.
fn leftovers(root: &str) -> Vec<std::path::PathBuf> {
    fn search(directory: &Path, root: &str, depth: u32, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name() == root {
                found.push(entry.path());
            } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                search(&entry.path(), root, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    search(Path::new("/sys/fs/cgroup"), root, 6, &mut found);
    found
}

#[test]
fn exit_codes_and_signals_are_told_exactly() {
    let here = TempDir::new().unwrap();
    for isolation in isolations() {
        for code in [0, 1, 42, 255] {
            assert_eq!(
                run(&isolation, &shell(&format!("exit {code}"), here.path())).status,
                Status::Code(code)
            );
        }
        for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGPIPE, libc::SIGSEGV] {
            let exit = run(&isolation, &shell(&format!("kill -{signal} $$"), here.path()));
            assert_eq!(exit.status, Status::Signal { signal, core_dumped: false });
            assert!(!exit.oom_killed);
        }
    }
}

#[test]
fn outputs_are_captured_exactly() {
    let here = TempDir::new().unwrap();
    let (out, err) = (here.path().join("out"), here.path().join("err"));
    for isolation in isolations() {
        fs::write(&out, "an older and longer text").unwrap();
        let spec = shell("printf 'a\\0b'; printf c >&2", here.path());
        run(
            &isolation,
            &spec.clone().stdout(Output::Create("out".into())).stderr(Output::Create(err.clone())),
        );
        assert_eq!((fs::read(&out).unwrap(), fs::read(&err).unwrap()), (b"a\0b".to_vec(), b"c".to_vec()));
        run(&isolation, &spec.stdout(Output::Append(out.clone())).stderr(Output::Append(out.clone())));
        assert_eq!(fs::read(&out).unwrap(), b"a\0ba\0bc");
    }
}

#[test]
fn the_environment_and_directory_are_what_was_given() {
    let here = TempDir::new().unwrap();
    let spec =
        ProcessSpec::new(["/usr/bin/env"], here.path()).env("B", "2").envs([("A", "x=y z"), ("B", "3")]);
    run(&Isolation::plain(), &spec.stdout(Output::Create("env".into())));
    assert_eq!(fs::read_to_string(here.path().join("env")).unwrap(), "B=3\nA=x=y z\n");

    run(&Isolation::plain(), &shell("pwd -P", here.path()).stdout(Output::Create("pwd".into())));
    let pwd = fs::read_to_string(here.path().join("pwd")).unwrap();
    assert_eq!(Path::new(pwd.trim()), here.path().canonicalize().unwrap());
}

#[test]
fn a_process_starts_clean() {
    let here = TempDir::new().unwrap();
    // Deliberately without CLOEXEC.
    let file = fs::File::open("/dev/null").unwrap();
    // SAFETY: dup makes a new descriptor, which the OwnedFd alone closes.
    let leaky = unsafe { OwnedFd::from_raw_fd(libc::dup(file.as_raw_fd())) };
    for isolation in isolations() {
        // The listing's own descriptor is the fourth.
        run(
            &isolation,
            &ProcessSpec::new(["/bin/ls", "/proc/self/fd"], here.path()).stdout(Output::Create("fds".into())),
        );
        assert_eq!(fs::read_to_string(here.path().join("fds")).unwrap(), "0\n1\n2\n3\n");
        // Of the ignored ones the 31 standard signals; the test runner may ignore real-time ones.
        let script = "grep SigBlk /proc/self/status; echo $((0x$(sed -n 's/SigIgn:.//p' /proc/self/status) & 0x7fffffff)); ulimit -Sc; ulimit -Sn; ps -o sid= -p $$ | grep -qw $$ && echo leads";
        run(&isolation, &shell(script, here.path()).stdout(Output::Create("state".into())));
        let state = fs::read_to_string(here.path().join("state")).unwrap();
        assert_eq!(state, "SigBlk:\t0000000000000000\n0\n0\n1024\nleads\n");
    }
    drop(leaky);
}

#[test]
fn a_signal_reaches_grandchildren() {
    let here = TempDir::new().unwrap();
    for isolation in isolations() {
        let pid_file = here.path().join(format!("{:?}", isolation.kind()));
        let script = format!("sh -c 'echo $$ > {}; exec sleep 600' & wait", pid_file.display());
        let process = isolation.spawn(&shell(&script, here.path())).unwrap();
        let grandchild = written(&pid_file);
        assert!(process.signal(libc::SIGTERM).unwrap());
        assert_eq!(
            process.wait_blocking().unwrap().status,
            Status::Signal { signal: libc::SIGTERM, core_dumped: false }
        );
        eventually("the grandchild is gone", || !runs(&grandchild));
        assert!(!process.signal(libc::SIGTERM).unwrap(), "a reaped process is not signalled");
        assert!(!process.kill_all().unwrap());
    }
}

#[test]
fn what_a_process_leaves_in_its_group_dies_with_it() {
    let here = TempDir::new().unwrap();
    for isolation in isolations() {
        let pid_file = here.path().join(format!("{:?}", isolation.kind()));
        let script = format!("sleep 600 & echo $! > {}", pid_file.display());
        assert_eq!(run(&isolation, &shell(&script, here.path())).status, Status::Code(0));
        let left = written(&pid_file);
        eventually("the leftover is gone", || !runs(&left));
    }
}

#[test]
fn cgroups_reach_those_who_fled_the_group() {
    let (here, root) = (TempDir::new().unwrap(), root());
    let Some(isolation) = cgroups(&root) else { return };
    for (name, ends_first) in [("killed", false), ("left", true)] {
        let pid_file = here.path().join(name);
        let tail = if ends_first { "while ! [ -s FILE ]; do sleep 0.01; done" } else { "wait" };
        let script = format!("setsid sh -c 'echo $$ > FILE; exec sleep 600' & {tail}")
            .replace("FILE", &pid_file.display().to_string());
        let process = isolation.spawn(&shell(&script, here.path())).unwrap();
        let fugitive = written(&pid_file);
        assert!(ends_first || process.kill_all().unwrap());
        process.wait_blocking().unwrap();
        eventually("the fugitive is gone", || !runs(&fugitive));
    }
    drop(isolation);
    assert_eq!(leftovers(&root), Vec::<std::path::PathBuf>::new());
}

#[test]
fn failures_to_start_say_what_to_do() {
    let here = TempDir::new().unwrap();
    let script = here.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    for isolation in isolations() {
        let fails = |spec: ProcessSpec| isolation.spawn(&spec).expect_err("it can't start");
        let error =
            fails(ProcessSpec::new(["no-such-program"], here.path()).env("PATH", "/usr/bin:/opt/none"));
        assert_eq!(
            error.to_string(),
            "program \"no-such-program\" was not found in PATH \"/usr/bin:/opt/none\"; install it there, extend the task's PATH, \
             or give its whole path"
        );
        assert!(matches!(fails(ProcessSpec::new(["/no/such"], here.path())), SpawnError::NoSuchFile { .. }));
        assert!(matches!(
            fails(ProcessSpec::new(["./script"], here.path())),
            SpawnError::NotExecutable { .. }
        ));
        assert!(matches!(fails(ProcessSpec::new(["true"], "/no/such")), SpawnError::BadDirectory { .. }));
        assert!(matches!(fails(ProcessSpec::new([""; 0], "/")), SpawnError::NoProgram));
        assert!(matches!(
            fails(ProcessSpec::new(["true", "a\0b"], "/")),
            SpawnError::NulByte { what: "an argument", .. }
        ));
        assert!(matches!(
            fails(ProcessSpec::new(["true"], "/").env("A=B", "")),
            SpawnError::BadVariable { .. }
        ));
        assert!(matches!(
            fails(ProcessSpec::new(["true".into(), "x".repeat(1 << 20)], "/")),
            SpawnError::TooLong { .. }
        ));
        let unwritable = ProcessSpec::new(["true"], "/").stderr(Output::Create("/no/such/file".into()));
        assert!(matches!(fails(unwritable), SpawnError::BadOutput { stream: "stderr", .. }));
    }
    std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let error = Isolation::plain().spawn(&ProcessSpec::new(["./script"], here.path())).unwrap_err();
    assert!(error.to_string().contains("interpreter"), "{error}");
}

#[test]
fn memory_is_a_hard_limit_of_the_whole_task() {
    let here = TempDir::new().unwrap();
    let Some(isolation) = cgroups(&root()) else { return };
    // tail keeps an endless line in memory.
    let spec = shell("tail -n 1 /dev/zero", here.path());
    let limits = Limits { memory_bytes: Some(32 << 20), pids: Some(8), ..Limits::default() };
    let exit = run(&isolation, &spec.limits(limits));
    assert!(exit.oom_killed, "{exit:?}");
    assert_ne!(exit.status, Status::Code(0));
    // The next task with these limits starts without that history.
    let exit = run(&isolation, &shell("exit 0", here.path()).limits(limits));
    assert_eq!((exit.status, exit.oom_killed), (Status::Code(0), false));
}

#[test]
fn plain_memory_limits_hold_for_each_process() {
    let here = TempDir::new().unwrap();
    let limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    let exit = run(&Isolation::plain(), &shell("tail -n 1 /dev/zero", here.path()).limits(limits));
    assert!(!matches!(exit.status, Status::Code(0)) && !exit.oom_killed, "{exit:?}");
}

#[test]
fn the_number_of_processes_is_limited_with_cgroups() {
    let here = TempDir::new().unwrap();
    let Some(isolation) = cgroups(&root()) else { return };
    let script = "for i in 1 2 3 4 5 6; do sleep 600 & done; echo all";
    let spec = shell(script, here.path()).stdout(Output::Create("out".into()));
    run(&isolation, &spec.limits(Limits { pids: Some(4), ..Limits::default() }));
    assert_eq!(fs::read_to_string(here.path().join("out")).unwrap(), "", "the shell gives up at the limit");
}

#[test]
fn five_hundred_at_once_are_all_reaped() {
    let here = TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build().unwrap();
    for isolation in isolations() {
        let processes: Vec<Process> = (0..500)
            .map(|number| {
                isolation.spawn(&shell(&format!("sleep 0.2; exit {}", number % 256), here.path())).unwrap()
            })
            .collect();
        let pids: Vec<String> = processes.iter().map(|process| process.pid().to_string()).collect();
        runtime.block_on(async {
            let waits: Vec<_> = processes
                .into_iter()
                .map(|process| tokio::spawn(async move { process.wait().await }))
                .collect();
            for (number, wait) in waits.into_iter().enumerate() {
                assert_eq!(wait.await.unwrap().unwrap().status, Status::Code(number as i32 % 256));
            }
        });
        // Not even a zombie is left.
        for pid in pids {
            assert!(!Path::new("/proc").join(&pid).exists(), "{pid} is still there");
        }
    }
}

#[test]
fn usage_covers_descendants() {
    let here = TempDir::new().unwrap();
    // tail keeps the endless line in memory; the test itself has far less.
    let exit =
        run(&Isolation::plain(), &shell("head -c 200000000 /dev/zero | tail -n 1; exit 0", here.path()));
    assert!(exit.usage.peak_memory_bytes.is_some_and(|bytes| bytes > 150_000_000), "{exit:?}");
    assert!(exit.usage.user + exit.usage.system > Duration::ZERO);
}

#[test]
fn a_dropped_process_is_killed_and_reaped() {
    let here = TempDir::new().unwrap();
    for isolation in isolations() {
        let process = isolation.spawn(&shell("sleep 600", here.path())).unwrap();
        let path = format!("/proc/{}", process.pid());
        drop(process);
        eventually("the process is reaped", || !Path::new(&path).exists());
    }
}

#[test]
fn a_detached_process_lives_on() {
    let process = Isolation::plain().spawn(&ProcessSpec::new(["sleep", "600"], "/")).unwrap();
    let pid = process.detach();
    assert!(runs(&pid.to_string()));
    std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
}

#[test]
fn leftovers_of_a_dead_run_are_cleaned_up() {
    let root = root();
    let Some(isolation) = cgroups(&root) else { return };
    let live = leftovers(&root);
    // The cgroup of a run whose process never was, with a task that still runs.
    for directory in &live {
        fs::create_dir_all(directory.join("4194305-7/1")).unwrap();
    }
    let mut orphan = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    for directory in &live {
        fs::write(directory.join("4194305-7/1/cgroup.procs"), orphan.id().to_string()).unwrap();
    }
    let done = Isolation::clean_up(&root).unwrap();
    assert_eq!((done.removed, done.stuck), (2 * live.len(), 0));
    assert!(done.killed > 0);
    assert!(!orphan.wait().unwrap().success());
    assert_eq!(leftovers(&root), live, "the live run keeps its cgroups");
    drop(isolation);
    assert_eq!(leftovers(&root), Vec::<std::path::PathBuf>::new());
}

#[test]
fn isolation_says_what_it_enforces() {
    let plain = Isolation::detect(IsolationPreference::Plain, "unused").unwrap();
    assert_eq!(plain.kind(), IsolationKind::Plain);
    assert!(plain.describe().contains("not limited"));
    assert!(matches!(
        Isolation::detect(IsolationPreference::Auto, "../up"),
        Err(IsolationError::BadName { .. })
    ));
    let auto = Isolation::detect(IsolationPreference::Auto, &root()).unwrap();
    assert_eq!(auto.kind() == IsolationKind::Plain, auto.describe().contains("plain"));
}

#[test]
fn a_task_of_another_user_has_that_user_s_rights_and_groups_and_no_others() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: it takes root to run as someone else");
        return;
    }
    let nobody = User::named("nobody").expect("every system has it");
    let groups = Command::new("id").args(["-Gn", "nobody"]).output().expect("id runs").stdout;
    let groups = String::from_utf8(groups).expect("names");
    for isolation in isolations() {
        let folder = TempDir::new().expect("a folder");
        nobody.own(folder.path()).expect("we are root");
        let script = "id -un; id -Gn; touch mine; cat /etc/shadow 2>&1 | grep -c denied; exit 7";
        let spec = shell(script, folder.path()).stdout(Output::Create("out".into())).die_with_parent();
        assert_eq!(run(&isolation, &spec.user(nobody.clone())).status, Status::Code(7));
        let out = fs::read_to_string(folder.path().join("out")).expect("it was written");
        assert_eq!(out, format!("nobody\n{groups}1\n"), "{}", isolation.describe());
        let owner = fs::metadata(folder.path().join("mine")).expect("it was made").uid();
        assert_eq!(owner, nobody.uid());
    }
}
