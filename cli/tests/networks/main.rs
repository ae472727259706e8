//! The real binary on hosts of their own, whose network loses packets and falls apart.

#[allow(dead_code, reason = "tests on one host use more of it")]
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/diary.rs"]
mod diary;
#[allow(dead_code, reason = "tests on one host use more of it")]
#[path = "../../../tests/etcd/mod.rs"]
mod etcd;
#[path = "../common/jobs.rs"]
mod jobs;
mod lab;
#[path = "../common/lasting.rs"]
mod lasting;

mod agents;
mod masters;
