//! Hosts of their own on one machine: network namespaces on a switch, whose links fail as a test wants.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The switch with its hosts. They end with it, or with the test's process.
pub(crate) struct Lab {
    switch: Namespace,
    hosts: Vec<Namespace>,
}

/// What happens to what a host sends and hears.
#[derive(Clone, Copy)]
pub(crate) enum Fault<'a> {
    /// It neither hears nor is heard.
    CutOff,
    /// It hears nothing, but is heard.
    Deaf,
    /// It hears, but is not heard.
    Mute,
    /// It is not heard by some hosts, which it hears, and by all others.
    MuteTo(&'a [usize]),
    /// So many of a hundred packets are lost, in each direction.
    Lossy(u32),
}

impl Lab {
    /// A switch with so many hosts; the calling thread, and what it starts, is at the switch from now on. `None`, with a word, where this
    /// user may not have such things.
    pub(crate) fn build(hosts: usize) -> Option<Self> {
        for tool in ["ip", "nft", "unshare", "nsenter"] {
            if Command::new(tool).arg("-V").output().is_err() {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "{tool} is not installed: run .ci/install-packages"
                );
                eprintln!("skipped: {tool} is not installed; .ci/install-packages installs it");
                return None;
            }
        }
        let Some(switch) = Namespace::make() else {
            eprintln!("skipped: this user can't make network namespaces");
            return None;
        };
        switch.ip("link set lo up");
        switch.ip("link add hub type bridge");
        switch.ip(&format!("address add {}/24 dev hub", address(SWITCH)));
        switch.ip("link set hub up");
        let lab = Lab { hosts: (0..hosts).map(|number| switch.connect(number)).collect(), switch };
        let namespace = File::open(lab.switch.path()).expect("the namespace is there");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("this is root");
        Some(lab)
    }

    /// The same command, to be run on a host.
    pub(crate) fn on(&self, host: usize, command: &Command) -> Command {
        self.hosts[host].command(command)
    }

    /// Lets a fault happen to a host, in place of the one before.
    pub(crate) fn fail(&self, host: usize, fault: Fault<'_>) {
        let (said, heard) = match fault {
            Fault::CutOff => ("drop".to_owned(), "drop".to_owned()),
            Fault::Deaf => (String::new(), "drop".to_owned()),
            Fault::Mute => ("drop".to_owned(), String::new()),
            Fault::MuteTo(hosts) => {
                let hosts: Vec<String> = hosts.iter().map(|host| address(*host).to_string()).collect();
                (format!("ip daddr {{ {} }} drop", hosts.join(", ")), String::new())
            }
            Fault::Lossy(percent) => {
                let some = format!("numgen random mod 100 < {percent} drop");
                (some.clone(), some)
            }
        };
        // Where packets arrive, at either end: whoever sends one does not see that it is lost.
        self.switch.drop_arriving(&port(host), &said);
        self.hosts[host].drop_arriving(UPLINK, &heard);
    }

    /// The host's link is as it should be again.
    pub(crate) fn heal(&self, host: usize) {
        self.switch.drop_arriving(&port(host), "");
        self.hosts[host].drop_arriving(UPLINK, "");
    }
}

/// The switch's own number among the hosts'.
const SWITCH: usize = 200;

/// A host's end of its cable.
const UPLINK: &str = "uplink";

/// The switch's end of a host's cable.
fn port(host: usize) -> String {
    format!("port{host}")
}

/// Where a host is.
pub(crate) fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).expect("a few hosts"))
}

/// A network namespace, as long as a process in it waits for the end of its input.
struct Namespace(Child);

impl Namespace {
    /// `None` where this user may not.
    fn make() -> Option<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare runs");
        let mut word = String::new();
        let out = holder.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut word).expect("it can be read");
        let namespace = Namespace(holder);
        (word == "made\n").then_some(namespace)
    }

    /// A host at the end of a new cable to this switch.
    fn connect(&self, number: usize) -> Namespace {
        let host = Namespace::make().expect("as the switch");
        let (port, holder) = (port(number), host.0.id());
        self.ip(&format!("link add {port} type veth peer name {UPLINK} netns {holder}"));
        self.ip(&format!("link set {port} master hub up"));
        host.ip("link set lo up");
        host.ip(&format!("address add {}/24 dev {UPLINK}", address(number)));
        host.ip(&format!("link set {UPLINK} up"));
        host
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// The same command, to be run in here.
    fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", self.path())).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    fn ip(&self, line: &str) {
        let mut ip = Command::new("ip");
        ip.args(line.split(' ').map(OsStr::new));
        expect_success(line, &self.command(&ip).output().expect("nsenter runs"));
    }

    /// Drops what arrives at a device and meets a condition.
    fn drop_arriving(&self, device: &str, rule: &str) {
        // All at once: the first line lets the second one find something to delete.
        let script = format!(
            "table netdev {device} {{}}\ndelete table netdev {device}\ntable netdev {device} {{\nchain arriving {{\n\
             type filter hook ingress device {device} priority 0;\n{rule}\n}}\n}}\n"
        );
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]);
        let mut nft = self.command(&nft);
        let mut nft = nft.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter runs");
        nft.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it is read");
        expect_success(&script, &nft.wait_with_output().expect("it ends"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn expect_success(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}
