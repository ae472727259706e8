//! From a spec to a running process: the look-up of the program, the launch, and what its failures mean.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::cgroups::{Entry, Lease};
use super::error::SpawnError;
use super::process::Process;
use super::spec::{Output, ProcessSpec};
use super::sys::{self, Launch, Step, Target};

/// What `execvp` and shells search when there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// Starts the process inside the leased cgroup; without one, `data_bytes` limits the private memory of each of its processes.
pub(super) fn spawn(
    spec: &ProcessSpec,
    lease: Option<Lease>,
    data_bytes: Option<u64>,
) -> Result<Process, SpawnError> {
    let program = find_program(spec)?;
    let program_text = c_string(program.as_os_str(), "the program's path")?;
    let argv = spec.argv.iter().map(|text| c_string(text, "an argument")).collect::<Result<Vec<_>, _>>()?;
    let env = spec.env.iter().map(|(name, value)| variable(name, value)).collect::<Result<Vec<_>, _>>()?;
    let directory = c_string(spec.directory.as_os_str(), "the working directory")?;
    let (stdout, stdout_flags) = output(&spec.stdout)?;
    let (stderr, stderr_flags) = output(&spec.stderr)?;
    let (join, cgroup) = match lease.as_ref().map(Lease::entry) {
        Some(Entry::Join(tasks)) => (tasks.iter().map(CString::as_c_str).collect(), None),
        Some(Entry::BornIn(directory)) => (Vec::new(), Some(directory)),
        None => (Vec::new(), None),
    };

    let floor_kib = sys::own_peak_kib();
    let launched = sys::launch(&Launch {
        program: &program_text,
        argv: &argv.iter().map(CString::as_c_str).collect::<Vec<&CStr>>(),
        env: &env.iter().map(CString::as_c_str).collect::<Vec<&CStr>>(),
        directory: &directory,
        stdout: Target { path: &stdout, flags: stdout_flags },
        stderr: (spec.stdout != spec.stderr).then_some(Target { path: &stderr, flags: stderr_flags }),
        join: &join,
        cgroup,
        data_bytes,
        die_with_parent: spec.die_with_parent,
        user: spec.user.as_ref().filter(|user| !user.is_current()),
    });
    match launched {
        Ok((pid, pidfd)) => Ok(Process::new(pid, pidfd, floor_kib, lease)),
        Err((step, error)) => Err(explain(spec, program, step, error)),
    }
}

/// The program's path: as given if it has a slash, otherwise the first executable file of that name in the task's `PATH`.
fn find_program(spec: &ProcessSpec) -> Result<PathBuf, SpawnError> {
    let name = spec.argv.first().filter(|name| !name.is_empty()).ok_or(SpawnError::NoProgram)?;
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = spec.env.iter().find(|(variable, _)| variable == "PATH").map(|(_, path)| path.as_os_str());
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut refused = None;
    for entry in std::env::split_paths(path) {
        // A relative entry, also the empty one, starts where the process will.
        let candidate = spec.directory.join(entry).join(name);
        if access(&candidate, Access::EXEC_OK).is_ok() && candidate.is_file() {
            return std::path::absolute(&candidate).or(Ok(candidate));
        }
        if refused.is_none() && candidate.is_file() {
            refused = Some(candidate);
        }
    }
    Err(match refused {
        Some(program) => SpawnError::NotExecutable { program },
        None => SpawnError::NotFound { program: name.clone(), path: path.to_owned() },
    })
}

fn c_string(text: &OsStr, what: &'static str) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes()).map_err(|_| SpawnError::NulByte { what, text: text.to_owned() })
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString, SpawnError> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(SpawnError::BadVariable { name: name.to_owned() });
    }
    let mut text = OsString::with_capacity(name.len() + value.len() + 2);
    text.push(name);
    text.push("=");
    text.push(value);
    c_string(&text, "an environment variable")
}

/// The file of an output, and the flags to open it with.
fn output(output: &Output) -> Result<(CString, i32), SpawnError> {
    let (path, flags) = match output {
        Output::Null => (Path::new("/dev/null"), 0),
        Output::Create(path) => (path.as_path(), libc::O_CREAT | libc::O_TRUNC),
        Output::Append(path) => (path.as_path(), libc::O_CREAT | libc::O_APPEND),
    };
    Ok((c_string(path.as_os_str(), "an output's path")?, flags))
}

/// Says what a failed step means to whoever wrote the spec.
fn explain(spec: &ProcessSpec, program: PathBuf, step: Step, source: io::Error) -> SpawnError {
    let errno = source.raw_os_error();
    if let Some(libc::EMFILE | libc::ENFILE) = errno {
        return SpawnError::TooManyFiles;
    }
    let refused = |program, step, source| SpawnError::Refused { program, step, source };
    let bad_output = |stream, output: &Output, source| SpawnError::BadOutput {
        stream,
        path: match output {
            Output::Null => "/dev/null".into(),
            Output::Create(path) | Output::Append(path) => path.clone(),
        },
        source,
    };
    match step {
        Step::Clone if errno == Some(libc::EAGAIN) => SpawnError::TooManyProcesses,
        Step::Clone => refused(program, "make a process (clone3, Linux 5.7 or newer)", source),
        Step::EnterCgroup => SpawnError::Cgroup { step: "entering it", source },
        Step::User => refused(program, "become the user of its task; that takes root", source),
        Step::Session => refused(program, "make a session", source),
        Step::ParentDeath => refused(program, "tie it to its parent's life", source),
        Step::Directory => SpawnError::BadDirectory { directory: spec.directory.clone(), source },
        Step::Stdin => refused(program, "open /dev/null", source),
        Step::Stdout => bad_output("stdout", &spec.stdout, source),
        Step::Stderr => bad_output("stderr", &spec.stderr, source),
        Step::Limits => refused(program, "set resource limits", source),
        Step::InheritedFiles => {
            refused(program, "shut inherited files (close_range, Linux 5.11 or newer)", source)
        }
        Step::Execute => match errno {
            Some(libc::ENOENT | libc::ENOTDIR) => SpawnError::NoSuchFile { program },
            Some(libc::EACCES) => SpawnError::NotExecutable { program },
            Some(libc::ENOEXEC) => SpawnError::WrongFormat { program },
            Some(libc::E2BIG) => SpawnError::TooLong { program },
            Some(libc::EAGAIN) => SpawnError::TooManyProcesses,
            _ => refused(program, "execute it", source),
        },
    }
}
