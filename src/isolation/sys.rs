//! What the safe world does not offer: a vfork-like `clone3`, `waitid` with resource usage, and tokio's watch on a descriptor.
//!
//! All of the module's unsafe code is here.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::user::User;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("apportion's `runtime` feature starts tasks with clone3: it needs Linux on x86_64 or aarch64");

/// Enough for the child's few frames of system calls, also unoptimised.
const CHILD_STACK: usize = 32 * 1024;

/// The soft limit of open files: what `select` can bear. Programs that want more raise it themselves.
const OPEN_FILES: libc::rlim_t = 1024;

// The libc crate types these as `c_int`, which they overflow.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The kernel's `struct clone_args`, as of `CLONE_INTO_CGROUP` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What the child was doing when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Clone,
    EnterCgroup,
    Session,
    ParentDeath,
    User,
    Directory,
    Stdin,
    Stdout,
    Stderr,
    Limits,
    InheritedFiles,
    Execute,
}

/// A file for an output stream of the child.
pub(super) struct Target<'a> {
    pub(super) path: &'a CStr,
    /// `open`'s flags beyond those that every output has.
    pub(super) flags: c_int,
}

/// A launch, in the shape that the child can use without allocating.
pub(super) struct Launch<'a> {
    pub(super) program: &'a CStr,
    pub(super) argv: &'a [&'a CStr],
    pub(super) env: &'a [&'a CStr],
    pub(super) directory: &'a CStr,
    pub(super) stdout: Target<'a>,
    /// `None`: the same open file as the standard output.
    pub(super) stderr: Option<Target<'a>>,
    /// `tasks` files into which the child writes itself.
    pub(super) join: &'a [&'a CStr],
    /// A cgroup (v2) in which the child is born.
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    /// A ceiling for each process' private memory, in bytes.
    pub(super) data_bytes: Option<u64>,
    /// Whether the kernel kills the child when this thread ends.
    pub(super) die_with_parent: bool,
    /// As whom the child runs; `None`: as whom we run.
    pub(super) user: Option<&'a User>,
}

/// What the child sees of its parent's memory.
struct Child<'a> {
    launch: &'a Launch<'a>,
    argv: *const *const c_char,
    env: *const *const c_char,
    failure: Cell<Option<(Step, c_int)>>,
}

/// Starts the program and returns its pid and pidfd once it runs, or the step that failed (then the child is already reaped).
pub(super) fn launch(launch: &Launch<'_>) -> Result<(i32, OwnedFd), (Step, io::Error)> {
    let (argv, env) = (null_terminated(launch.argv), null_terminated(launch.env));
    let child = Child { launch, argv: argv.as_ptr(), env: env.as_ptr(), failure: Cell::new(None) };
    // Not initialised on purpose: the child only needs the room.
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(CHILD_STACK);
    let mut pidfd: c_int = -1;
    let args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64
            | CLONE_CLEAR_SIGHAND
            | if launch.cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        // Both architectures want the stack's top aligned to 16 bytes.
        stack: (stack.as_mut_ptr() as u64).next_multiple_of(16),
        stack_size: CHILD_STACK as u64 - 16,
        cgroup: launch.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: `args` describes a stack that only the child uses. CLONE_VFORK keeps this thread still until the child has executed the
    // program or ended, so everything that `child` borrows outlives the child's use of it, and nothing here runs at the same time as
    // it, on the same thread-local storage. CLONE_CLEAR_SIGHAND keeps our signal handlers from running in the child.
    let pid = unsafe { clone3(&args, run_child, (&raw const child).cast()) };
    if pid < 0 {
        return Err((Step::Clone, io::Error::from_raw_os_error(-pid as i32)));
    }
    // SAFETY: clone3 succeeded, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match child.failure.get() {
        None => Ok((pid as i32, pidfd)),
        Some((step, errno)) => {
            // The child exits at once after it reported: this does not block for long, and has nothing further to tell.
            let _ = wait(&pidfd);
            Err((step, io::Error::from_raw_os_error(errno)))
        }
    }
}

fn null_terminated(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The system call itself; the child calls `entry(argument)` on its own stack.
///
/// # Safety
/// `args` is a valid `clone_args` with a stack of its own; `entry` does not return and does only what a vforked child may.
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*const c_void) -> !,
    argument: *const c_void,
) -> isize {
    let result: isize;
    // SAFETY: by this function's contract. In the parent only the registers named here change. The child leaves by `entry`, on its own
    // stack, so it touches no frame of the parent.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x9",
            "blr x10",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(args) as isize => result,
            in("x1") size_of::<CloneArgs>(),
            in("x9") argument,
            in("x10") entry,
        );
    }
    result
}

/// The child's life: it becomes the program, or notes why not and ends.
extern "C" fn run_child(child: *const c_void) -> ! {
    // SAFETY: `launch` passes a `Child` and stays suspended while we run.
    let child = unsafe { &*child.cast::<Child<'_>>() };
    let step = become_program(child);
    // SAFETY: reads this thread's errno; `_exit` ends only this process and runs none of the parent's exit handlers.
    unsafe {
        child.failure.set(Some((step, *libc::__errno_location())));
        libc::_exit(127)
    }
}

/// Returns only if a step fails, and then that step, its reason in `errno`.
fn become_program(child: &Child<'_>) -> Step {
    let launch = child.launch;
    // SAFETY: these are plain system calls, all async-signal-safe, on strings and arrays that the suspended parent keeps alive. They
    // change this process alone: descriptors, signal state, directory and limits are not shared (no CLONE_FILES, CLONE_SIGHAND or
    // CLONE_FS), and they neither allocate nor lock.
    unsafe {
        for tasks in launch.join {
            let file = libc::open(tasks.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            // "0" is whoever writes it. A single thread that moves itself takes none of the kernel's global locks.
            if file < 0 || libc::write(file, c"0".as_ptr().cast(), 1) < 0 {
                return Step::EnterCgroup;
            }
            libc::close(file);
        }
        if libc::setsid() < 0 {
            return Step::Session;
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        // An ignored signal stays ignored, and we may ignore some: SIGPIPE as every Rust program, SIGHUP under nohup. The two that
        // can't be changed are refused, which is fine.
        for signal in 1..=libc::SIGSYS {
            libc::signal(signal, libc::SIG_DFL);
        }
        if libc::chdir(launch.directory.as_ptr()) < 0 {
            return Step::Directory;
        }
        if !open_as(0, c"/dev/null", libc::O_RDONLY) {
            return Step::Stdin;
        }
        if !open_as(1, launch.stdout.path, launch.stdout.flags | libc::O_WRONLY) {
            return Step::Stdout;
        }
        let opened = match &launch.stderr {
            Some(target) => open_as(2, target.path, target.flags | libc::O_WRONLY),
            None => libc::dup2(1, 2) == 2,
        };
        if !opened {
            return Step::Stderr;
        }
        if !set_limits(launch.data_bytes) {
            return Step::Limits;
        }
        // What the embedding program opened without O_CLOEXEC is none of the task's business.
        if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
            return Step::InheritedFiles;
        }
        if launch.user.is_some_and(|user| !become_user(user)) {
            return Step::User;
        }
        // After the user: the kernel forgets it when that changes.
        if launch.die_with_parent && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
            return Step::ParentDeath;
        }
        libc::execve(launch.program.as_ptr(), child.argv, child.env);
    }
    Step::Execute
}

/// # Safety
/// Only in the child.
unsafe fn open_as(wanted: c_int, path: &CStr, flags: c_int) -> bool {
    // SAFETY: system calls on a valid string; the descriptors are the child's own.
    unsafe {
        let file = libc::open(path.as_ptr(), flags | libc::O_NOCTTY, 0o644);
        if file == wanted {
            return true;
        }
        let moved = file >= 0 && libc::dup2(file, wanted) == wanted;
        if file > 2 {
            libc::close(file);
        }
        moved
    }
}

/// # Safety
/// Only in the child.
unsafe fn become_user(user: &User) -> bool {
    let (uid, gid, groups) = (user.uid(), user.gid(), user.groups());
    // SAFETY: system calls on a valid slice. Not libc's functions, which would signal the threads of the parent to follow suit.
    unsafe {
        libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
    }
}

/// # Safety
/// Only in the child.
unsafe fn set_limits(data_bytes: Option<u64>) -> bool {
    // SAFETY: system calls on local, initialised structs.
    unsafe {
        let core = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // The hard limit stays what it is: raising it needs privilege, lowering it helps nobody.
        let core_set = libc::getrlimit(libc::RLIMIT_CORE, &mut now) == 0
            && libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_max: now.rlim_max, ..core }) == 0;
        let files_set = libc::getrlimit(libc::RLIMIT_NOFILE, &mut now) == 0
            && libc::setrlimit(
                libc::RLIMIT_NOFILE,
                &libc::rlimit { rlim_cur: now.rlim_max.min(OPEN_FILES), rlim_max: now.rlim_max },
            ) == 0;
        let data_set = data_bytes.is_none_or(|bytes| {
            libc::getrlimit(libc::RLIMIT_DATA, &mut now) == 0 && {
                let bytes = now.rlim_max.min(bytes);
                libc::setrlimit(libc::RLIMIT_DATA, &libc::rlimit { rlim_cur: bytes, rlim_max: bytes }) == 0
            }
        });
        core_set && files_set && data_set
    }
}

/// Watches a pidfd, which becomes readable when its process has ended.
///
/// # Panics
/// Outside a tokio runtime with IO enabled.
pub(super) fn watch(pidfd: &OwnedFd) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the borrow keeps the descriptor open, and the same, for as long as the watch lives.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd.as_fd(), Interest::READABLE) }?)
}

/// How a process ended, as the kernel tells it.
pub(super) struct Ended {
    /// `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED`.
    pub(super) how: c_int,
    /// The exit code or the signal.
    pub(super) status: c_int,
    pub(super) usage: libc::rusage,
}

/// Waits for the process' end and reaps it.
///
/// # Errors
/// `ECHILD` if it was reaped already.
pub(super) fn wait(pidfd: &OwnedFd) -> io::Result<Ended> {
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel fills the two structs, which are of its own layout. libc's `waitid` lacks the usage.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                info.as_mut_ptr(),
                libc::WEXITED,
                usage.as_mut_ptr(),
            )
        };
        if result == 0 {
            // SAFETY: both were zeroed and then filled; a child's end carries `si_status`.
            return unsafe {
                let info = info.assume_init();
                Ok(Ended { how: info.si_code, status: info.si_status(), usage: usage.assume_init() })
            };
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Our own peak of resident memory, in KiB. A child's report never shows less: until it executes its program, it runs in our memory.
pub(super) fn own_peak_kib() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the struct; even if it did not, zeroes are valid.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init().ru_maxrss
    }
}
