//! Checks of what this host can run and observe: each requirement is tested for real, with what a proof lacks without
//! it and how to fix it here.
//!
//! The settings of the host do not decide if trials can run: one is run in a private namespace, and its verdict
//! decides. The order matters. [`Look::now`] makes the checks that need the privileges that the process was started
//! with, or a single thread. [`Look::prepare`] enters a user namespace if needed. [`Prepared::examine`] runs the trial
//! on its own thread, drops all privileges, and only then runs external programs.
//!
//! A failed check is a row of the result, never an error. Nothing is left behind: a namespace ends with its thread.

pub mod distribution;
mod here;
pub mod human;
pub mod json;
mod privilege;
mod program;
mod self_test;
mod settings;
mod sources;

use serde::Serialize;

use crate::error::Error;
use crate::host;
use crate::lab::sysctl::Obstacle;
use crate::lab::{self, Environment};
use crate::sources::format::Field;
use here::Here;
use rstproof_core::report::{Header, Host, Remark, SCHEMA, Tool};
use rstproof_core::scenario::Family;
use rstproof_core::verdict::Verdict;

/// Result of all checks. `docs/schema/doctor.schema.json` describes its serialised form: fields are added, never
/// renamed.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Version of the serialised form: [`SCHEMA`].
    pub schema: u32,
    /// Name and version of this program.
    pub tool: Tool,
    /// Host that was checked.
    pub host: Host,
    /// Name of the distribution, from os-release(5); empty if unknown.
    pub distribution: String,
    /// Effective user id.
    pub uid: u32,
    /// Result of the self-test: shows if trials can run.
    pub self_test: SelfTest,
    /// All checks, in the order of the output.
    pub checks: Vec<Check>,
}

/// Self-test: trials that show if trials can run in a private namespace.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SelfTest {
    /// True if at least one trial was confirmed, every other one was confirmed or skipped, and no error occurred.
    pub passed: bool,
    /// Results of the trials, one for each address family; fewer than two if they could not be run.
    pub trials: Vec<Tried>,
}

/// Result of one trial of the self-test.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Id of the scenario.
    pub scenario: &'static str,
    /// Address family.
    pub family: Family,
    /// Verdict; `None` if the trial was skipped.
    pub verdict: Option<Verdict>,
    /// Reason for skipping the trial; `None` if it was run.
    pub skipped: Option<String>,
    /// Missing evidence, if the trial is inconclusive.
    pub inconclusive_reason: Option<Remark>,
    /// Contradictions that were found, if the trial is refuted.
    pub findings: Vec<Remark>,
}

/// Check of one requirement.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// Name for the human-readable output.
    pub name: &'static str,
    /// Purpose of the requirement.
    pub group: Group,
    /// Result of the check.
    pub status: Status,
    /// Description of what was found.
    pub detail: String,
    /// Features that are lost without the requirement; `None` if nothing is missing.
    pub without_it: Option<String>,
    /// Command that fixes it on this system; `None` if there is none.
    pub fix: Option<String>,
    /// Id of the check that has to be fixed first, if this check could not be made without it.
    pub blocked_by: Option<&'static str>,
    /// Machine-readable details; `None` if the other fields hold everything.
    pub facts: Option<Facts>,
}

/// Purpose of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Requirements of trials in a private namespace.
    Trials,
    /// Requirements of `run --host`.
    Host,
    /// Sources of what the kernel itself reports.
    Kernel,
    /// External programs.
    Programs,
}

/// Availability of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Fully available.
    Ok,
    /// Partly available, or not for every user.
    Limited,
    /// Not available, or not permitted to this process.
    Missing,
}

/// Machine-readable details of a check.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the fields are named after what they hold
pub enum Facts {
    /// Capture library and resolution of its timestamps.
    Capture {
        libpcap: String,
        /// `None` if no frame was captured.
        timestamps: Option<&'static str>,
    },
    /// Mount point of tracefs; `None` if a run has to mount it for itself.
    Tracefs { mounted_on: Option<String> },
    /// Fields in the record of a trace event.
    Event {
        fields: Vec<Field>,
        missing_fields: Vec<&'static str>,
        /// Number of reset reasons that have a name.
        named_reasons: usize,
    },
    /// Kernel counters that are available, and those that are not.
    Counters {
        supported: Vec<&'static str>,
        unsupported: Vec<&'static str>,
    },
    /// Path of a program, and the first line that it prints for `--version`.
    Program {
        path: String,
        version: Option<String>,
    },
}

impl Check {
    /// Returns a check that passed, without facts.
    fn ok(group: Group, id: &'static str, name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            id,
            name,
            group,
            status: Status::Ok,
            detail: detail.into(),
            without_it: None,
            fix: None,
            blocked_by: None,
            facts: None,
        }
    }

    /// Downgrades the check to `status`, with what is lost without the requirement and the command that fixes it.
    fn less(mut self, status: Status, without_it: impl Into<String>, fix: Option<String>) -> Self {
        self.status = status;
        self.without_it = Some(without_it.into());
        self.fix = fix;
        self
    }

    /// Marks the check as missing because the check `other` has to be fixed before it can be made.
    fn blocked(mut self, other: &'static str, without_it: impl Into<String>) -> Self {
        self.blocked_by = Some(other);
        self.less(Status::Missing, without_it, None)
    }

    fn with(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }
}

/// Arguments that run trials on the host's own loopback, where no private namespace can be created.
const RUN_ON_HOST: &str = "run --host";

/// Checks made with the privileges that the process was started with.
pub struct Look {
    here: Here,
    header: Header,
    settings: Check,
    raw_socket: Check,
    on_host: Check,
    kernel: Vec<Check>,
}

impl Look {
    /// Makes the checks that need the original privileges. The calling thread must be the only one.
    #[must_use]
    pub fn now() -> Self {
        let header = host::header();
        let here = Here::look(&header.host.machine);
        let raw_socket = privilege::raw_socket(&here);
        Self {
            settings: settings::check(Obstacle::here()),
            on_host: privilege::on_host(&here, raw_socket.status),
            raw_socket,
            kernel: sources::all(&here),
            header,
            here,
        }
    }

    /// Enters a user namespace if needed. Must be called while there is one thread. Consumes the [`Look`]: checks that
    /// need the original privileges are not possible after this call.
    #[must_use]
    pub fn prepare(self) -> Prepared {
        let entered = lab::prepare(Environment::Private);
        Prepared {
            user_namespaces: privilege::user_namespaces(&self.here, &entered),
            ready: entered.is_ok(),
            look: self,
        }
    }
}

/// Checks made so far, with the process ready to run the trial if it can create a namespace.
pub struct Prepared {
    look: Look,
    user_namespaces: Check,
    ready: bool,
}

impl Prepared {
    /// Runs the trial, drops all privileges and makes the remaining checks. Needs a tokio runtime with I/O and time.
    /// Fails if the privileges cannot be dropped.
    pub async fn examine(self) -> Result<Examination, Error> {
        let Look {
            here,
            header,
            settings,
            raw_socket,
            on_host,
            kernel,
        } = self.look;
        let attempt = if self.ready {
            Some(self_test::attempt().await)
        } else {
            None
        };
        let attempt = attempt.as_ref();
        let user_namespaces = self.user_namespaces;
        let network_namespaces = self_test::network_namespaces(&here, attempt);
        let capture = self_test::capture(&here, attempt, &header.host.libpcap);
        let before = [&user_namespaces, &network_namespaces, &capture];
        let (self_test, trial) = self_test::verdict(&here, attempt, &before, on_host.status);
        // Dropped only now: the fixes proposed above depend on what this process may change (see `Here::set`).
        lab::drop_privileges(lab::RetainedPrivileges::default())?;
        let programs = program::all(&here).await?;

        // Grouped by purpose, in the order of the printed table.
        let mut checks = vec![
            user_namespaces,
            network_namespaces,
            capture,
            settings,
            trial,
        ];
        checks.extend([raw_socket, on_host]);
        checks.extend(kernel);
        checks.extend(programs);
        Ok(Examination {
            schema: SCHEMA,
            tool: header.tool,
            host: header.host,
            distribution: here.distribution.name,
            uid: here.uid,
            self_test,
            checks,
        })
    }
}
