//! The golden evidence, and what is said of it when it lies somewhere else and is no longer what it was.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use rstproof::archive::{self, load};
use rstproof::error::Error;
use rstproof_core::evidence::Evidence;
use rstproof_core::report::{Header, TrialReport};
use rstproof_core::scenario::{self, Family, Topic};
use rstproof_core::verdict::Verdict;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::pcapng;

pub(crate) const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");

/// The two files of one trial.
#[derive(Clone)]
pub(crate) struct Golden {
    pub(crate) stem: String,
    pub(crate) capture: Vec<u8>,
    pub(crate) document: String,
}

impl Golden {
    pub(crate) fn read(stem: &str) -> Self {
        let path = |kind| Path::new(CAPTURES).join(format!("{stem}.{kind}"));
        Self {
            stem: stem.to_owned(),
            capture: fs::read(path("pcapng")).unwrap(),
            document: fs::read_to_string(path("json")).unwrap(),
        }
    }

    pub(crate) fn trial(&self) -> Value {
        self.value()["trials"][0].take()
    }

    /// The document, parsed by code of `serde_json` itself, which is optimised; what is generic is compiled as tests are.
    fn value(&self) -> Value {
        self.document.parse().unwrap()
    }

    /// The document with this text, which is there once, replaced.
    pub(crate) fn with_text(&self, old: &str, new: &str) -> Self {
        assert_eq!(self.document.matches(old).count(), 1, "{old}");
        Self {
            document: self.document.replace(old, new),
            ..self.clone()
        }
    }

    /// The document with one value changed.
    pub(crate) fn with_value(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut document = self.value();
        change(&mut document);
        Self {
            document: document.to_string(),
            ..self.clone()
        }
    }

    /// The same made anew after this change to the document, with all hashes as they have to be: what somebody forges who
    /// has read how evidence is bound. It claims to be of another version, so that its words need not be ours.
    pub(crate) fn forged(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut document = self.value();
        document["tool"]["version"] = "0.0.9".into();
        change(&mut document);
        let mut forged = Self {
            document: document.to_string(),
            ..self.clone()
        };
        let dir = scratch();
        forged.put_into(dir.path());
        let loaded = load::trials_at(dir.path())
            .map(Result::unwrap)
            .last()
            .unwrap();
        let (evidence, trial) = (loaded.evidence, &document["trials"][0]);
        let header: Header = serde_json::from_value(document.clone()).unwrap();
        let (scenario, interface) = (
            trial["scenario"].as_str(),
            document["capture"]["interface"].as_str(),
        );
        let family = Family::of(evidence.client.ip());
        let recorder = archive::recorder(&header);
        let (scenario, interface) = (scenario.unwrap(), interface.unwrap());
        let calls = archive::calls_sha256(&recorder, scenario, family, interface, &evidence);
        // As it is written there: what is loaded has been held against the capture already.
        let completeness = serde_json::from_value(trial["completeness"].clone()).unwrap();
        let evidence = Evidence {
            completeness,
            ..evidence
        };
        let transcript = archive::transcript_sha256(&calls, 1, &evidence);
        forged.capture = pcapng::bound_to(&self.capture, &calls, &transcript);
        let digest = Sha256::digest(&forged.capture);
        let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        document["trials"][0]["capture_sha256"] = digits.concat().into();
        forged.document = document.to_string();
        forged
    }

    /// The scenario, which the names of both files begin with.
    pub(crate) fn scenario(&self) -> &str {
        self.stem.split_once('.').unwrap().0
    }

    pub(crate) fn has_reset(&self) -> bool {
        !self.trial()["resets"].as_array().unwrap().is_empty()
    }

    /// Whether this frame, counted from 1, is one of its connection's.
    pub(crate) fn owns(&self, frame: usize) -> bool {
        let trial = self.trial();
        let mut packets = trial["packets"].as_array().unwrap().iter();
        packets.any(|packet| packet["frame"] == frame)
    }

    pub(crate) fn put_into(&self, directory: &Path) {
        let path = |kind| directory.join(format!("{}.{kind}", self.stem));
        fs::write(path("pcapng"), &self.capture).unwrap();
        fs::write(path("json"), &self.document).unwrap();
    }

    /// What is said of it, judged from nothing but these two files.
    pub(crate) fn judged(&self) -> Said {
        self.judged_in(scratch().path())
    }

    /// The same, in this directory, which holds nothing else or what this replaces.
    pub(crate) fn judged_in(&self, directory: &Path) -> Said {
        self.put_into(directory);
        let mut said = judged_in(directory);
        assert_eq!(said.len(), 1, "{}: one trial, one answer", self.stem);
        said.pop().unwrap().map_or_else(
            |error| Said::Error(error.to_string()),
            |report| Said::of(&report),
        )
    }
}

/// A directory for some hundred thousand short-lived files: in memory, where there is such a place.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// That of the ordinary scenarios: nothing is made by hand, no timer or ICMP error has a part, and all was captured on one
/// interface. There whatever is changed must show; a forged segment less may be none that counted.
pub(crate) fn all() -> &'static [Golden] {
    static ORDINARY: LazyLock<Vec<Golden>> = LazyLock::new(|| {
        let special = [
            Topic::Unreachable,
            Topic::Firewall,
            Topic::HalfOpen,
            Topic::Blind,
        ];
        let is_ordinary = |stem: &&String| {
            let (id, _) = stem.split_once('.').unwrap();
            !special.contains(&scenario::find(id).unwrap().topic)
        };
        let stems = everything().iter().map(|golden| &golden.stem);
        let stems = stems.filter(is_ordinary);
        stems.map(|stem| Golden::read(stem)).collect()
    });
    &ORDINARY
}

/// All of it, read once.
pub(crate) fn everything() -> &'static [Golden] {
    static ALL: LazyLock<Vec<Golden>> = LazyLock::new(|| {
        let mut stems: Vec<String> = fs::read_dir(CAPTURES)
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".pcapng")?.to_owned())
            })
            .collect();
        stems.sort();
        assert!(!stems.is_empty());
        stems.iter().map(|stem| Golden::read(stem)).collect()
    });
    &ALL
}

/// Of it what every byte is changed in: what is read of a file does not depend on the scenario.
pub(crate) fn sample() -> impl Iterator<Item = &'static Golden> {
    const SCENARIOS: [&str; 6] = [
        "close-unread-data",
        "clean-close-eof",
        "connect-closed-port-nonblocking",
        "reset-in-accept-queue-data",
        "reset-blocked-writer",
        "write-after-peer-close",
    ];
    let is_it = |golden: &&Golden| {
        let (scenario, _) = golden.stem.split_once('.').unwrap();
        SCENARIOS.contains(&scenario)
    };
    all().iter().filter(is_it)
}

/// Every answer about what is in a directory.
pub(crate) fn judged_in(directory: &Path) -> Vec<Result<TrialReport, Error>> {
    let trials = load::trials_at(directory);
    trials
        .map(|trial| trial.map(|trial| trial.report()))
        .collect()
}

/// An answer about one trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Confirmed,
    /// Ids of the findings.
    Refuted(Vec<&'static str>),
    /// Id of the gap, and its words.
    Inconclusive(&'static str, String),
    Error(String),
}

impl Said {
    fn of(report: &TrialReport) -> Self {
        match report.verdict.unwrap() {
            Verdict::Confirmed => Self::Confirmed,
            Verdict::Refuted => Self::Refuted(report.findings.iter().map(|it| it.id).collect()),
            Verdict::Inconclusive => {
                let gap = report.inconclusive_reason.clone().unwrap();
                Self::Inconclusive(gap.id, gap.message)
            }
        }
    }

    #[track_caller]
    pub(crate) fn is_inconclusive(&self, id: &str, what: &str) {
        assert!(
            matches!(self, Self::Inconclusive(seen, _) if *seen == id),
            "{what}: {id} expected, {self:?} said"
        );
    }
}
