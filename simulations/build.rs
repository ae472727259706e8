//! Tells release builds the commit that they are made of. Others, and builds outside of a repository, know none.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=APPORTION_GIT_HASH");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if !is_release || std::env::var_os("APPORTION_GIT_HASH").is_some() {
        return;
    }
    if let (Some(hash), Some(log)) =
        (git(&["rev-parse", "HEAD"]), git(&["rev-parse", "--git-path", "logs/HEAD"]))
    {
        println!("cargo::rerun-if-changed={log}");
        println!("cargo::rustc-env=APPORTION_GIT_HASH={hash}");
    }
}
