//! The formats, and how files tell theirs.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// This project's own table.
    #[serde(alias = "w100k")]
    Csv,
    /// Alibaba's GPU cluster of 2023.
    Openb,
    /// The Standard Workload Format.
    Swf,
    /// Facebook's Hadoop workloads.
    Swim,
    /// Microsoft's Philly cluster.
    Philly,
    /// Batsim's JSON.
    Batsim,
    /// Google's cluster of 2011.
    #[serde(alias = "clusterdata2011")]
    Google2011,
    /// Google's Borg cells of 2019.
    #[serde(alias = "borg2019")]
    Google2019,
    /// Alibaba's cluster of 2018.
    Alibaba2018,
    /// Azure's virtual machines of 2020.
    AzurePacking,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 10] = [
        Format::Csv,
        Format::Openb,
        Format::Swf,
        Format::Swim,
        Format::Philly,
        Format::Batsim,
        Format::Google2011,
        Format::Google2019,
        Format::Alibaba2018,
        Format::AzurePacking,
    ];

    /// As scenarios write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Openb => "openb",
            Format::Swf => "swf",
            Format::Swim => "swim",
            Format::Philly => "philly",
            Format::Batsim => "batsim",
            Format::Google2011 => "google2011",
            Format::Google2019 => "google2019",
            Format::Alibaba2018 => "alibaba2018",
            Format::AzurePacking => "azure-packing",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// The format that a file's name and first lines speak of.
    pub fn guess(path: &Path, text: &str) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let first = text.lines().next().unwrap_or_default();
        let begins = |start: &str| first.starts_with(start);
        if name.ends_with(".swf") || begins(";") {
            Some(Format::Swf)
        } else if begins("{") && first.contains("\"time\"") {
            Some(Format::Google2019)
        } else if name.ends_with(".json") || text.trim_start().starts_with('{') {
            Some(Format::Batsim)
        } else if begins("name,cpu_milli,") || begins("sn,cpu_milli,") {
            Some(Format::Openb)
        } else if begins("timestamp,duration,num_gpus") {
            Some(Format::Philly)
        } else if begins("vmId,") {
            Some(Format::AzurePacking)
        } else if begins("job_id,") || begins("node_id,") {
            Some(Format::Csv)
        } else {
            Format::of_headless(first).or_else(|| name.ends_with(".tsv").then_some(Format::Swim))
        }
    }

    /// Tables without headings are known by the number of their columns and what the first ones hold.
    fn of_headless(first: &str) -> Option<Format> {
        if first.split('\t').count() == 6 {
            return Some(Format::Swim);
        }
        let fields: Vec<&str> = first.split(',').collect();
        let is_time = fields[0].parse::<u64>().is_ok();
        match fields.len() {
            6 | 13 if is_time => Some(Format::Google2011),
            7 if fields[0].starts_with("m_") => Some(Format::Alibaba2018),
            8 if fields[0].starts_with("c_") => Some(Format::Alibaba2018),
            9 if !is_time && fields[2].starts_with("j_") => Some(Format::Alibaba2018),
            _ => None,
        }
    }

    /// Whether a file of this format that begins so describes nodes rather than jobs.
    pub(super) fn holds_nodes(self, start: &str) -> bool {
        let first = start.lines().next().unwrap_or_default();
        let columns = first.split(',').count();
        match self {
            Format::Openb => first.starts_with("sn,"),
            Format::Csv => first.starts_with("node_id,"),
            Format::Google2011 => columns == 6,
            Format::Google2019 => !first.contains("\"collection_id\""),
            Format::Alibaba2018 => columns == 7,
            Format::Swf | Format::Swim | Format::Philly | Format::Batsim | Format::AzurePacking => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_their_format() {
        let guess = |name: &str, text: &str| Format::guess(Path::new(name), text);
        assert_eq!(
            guess("part-00000-of-00500.csv.gz", "0,2,3418309,0,4155527081,0,u,3,9,,,,"),
            Some(Format::Google2011)
        );
        assert_eq!(guess("x.csv", "0,5,0,HofLG,0.5,0.2493"), Some(Format::Google2011));
        assert_eq!(guess("x.json", "{\"time\":\"0\",\"type\":\"0\"}"), Some(Format::Google2019));
        assert_eq!(guess("x.json", "{\n \"time\": 1 }"), Some(Format::Batsim));
        assert_eq!(guess("t.csv", "M1,1.0,j_1,1,Terminated,1,2,100.0,0.39"), Some(Format::Alibaba2018));
        assert_eq!(guess("t.csv", "m_1,0,1,1,96,100,USING"), Some(Format::Alibaba2018));
        assert_eq!(guess("t.csv", "c_1,m_1,0,app_1,started,400,400,1.56"), Some(Format::Alibaba2018));
        assert_eq!(guess("t.csv", "vmId,tenantId"), Some(Format::AzurePacking));
        assert_eq!(guess("t.csv", "a,b"), None);
        assert_eq!(guess("t.csv", ""), None);
    }

    #[test]
    fn names_are_those_of_scenarios() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.as_str()), Some(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str(), "{format:?}");
        }
    }
}
