//! What this host can witness: every piece looked at for real, what a proof lacks without it, and what mends it here.
//!
//! Whether trials can run is not concluded from settings: one is run, in a private namespace, and its verdict is the
//! last word. The order matters. [`Look::now`] looks at what needs the privileges that the process was started with
//! and what must be seen while it has one thread; [`Look::prepare`] enters a user namespace if need be;
//! [`Prepared::examine`] runs the trial on a thread of its own, gives up every privilege, and only then runs other
//! people's programs.
//!
//! A look that fails is a row of the result, never an error. Nothing is left behind: namespaces go with their thread.

pub mod distribution;
mod here;
pub mod human;
mod privilege;
mod program;
mod self_test;
mod settings;
mod witness;

use serde::Serialize;

use crate::error::Error;
use crate::host;
use crate::lab::sysctl::Obstacle;
use crate::lab::{self, Place};
use crate::sources::format::Field;
use here::Here;
use rstproof_core::report::{Header, Host, Remark, SCHEMA, Tool};
use rstproof_core::scenario::Family;
use rstproof_core::verdict::Verdict;

/// Result of all checks. Its serialised form is described by `docs/schema/doctor.schema.json`: fields are added, never renamed.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Version of this form: [`SCHEMA`].
    pub schema: u32,
    /// The program that looked.
    pub tool: Tool,
    /// The host that it looked at.
    pub host: Host,
    /// What the distribution calls itself; empty if it does not say.
    pub distribution: String,
    /// The effective user id.
    pub uid: u32,
    /// Whether trials can run.
    pub self_test: SelfTest,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

/// Trials that were run to find out whether trials can run in a private namespace.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SelfTest {
    /// At least one trial was confirmed, and none was not.
    pub passed: bool,
    /// Result of each trial; fewer than two if they could not be run.
    pub trials: Vec<Tried>,
}

/// A trial that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Id of the scenario.
    pub scenario: &'static str,
    /// Address family.
    pub family: Family,
    /// `None` if it was skipped.
    pub verdict: Option<Verdict>,
    /// Why it was skipped.
    pub skipped: Option<String>,
    /// What is missing, if it is inconclusive.
    pub inconclusive_reason: Option<Remark>,
    /// What speaks against it, if it is refuted.
    pub findings: Vec<Remark>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it is for.
    pub group: Group,
    /// Whether it is there.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What is lost without it; `None` if nothing is missing.
    pub without_it: Option<String>,
    /// Command that fixes it on this system; `None` if there is none.
    pub fix: Option<String>,
    /// Id of the check that has to be mended first, if that is all that is known of this one.
    pub blocked_by: Option<&'static str>,
    /// The same for machines, where there is more to say.
    pub facts: Option<Facts>,
}

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Trials in a private namespace need it.
    Trials,
    /// `run --host` needs it.
    Host,
    /// The kernel's own word on what it did.
    Kernel,
    /// Programs beside this one.
    Programs,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All of it.
    Ok,
    /// Part of it, or not for everybody.
    Limited,
    /// It is not, or this process may not use it.
    Missing,
}

/// What machines may want to know of a check.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the fields are named after what they hold
pub enum Facts {
    /// What captures.
    Capture {
        libpcap: String,
        /// `None` if no frame was captured.
        timestamps: Option<&'static str>,
    },
    /// Where tracefs is; `None` if a run has to mount it for itself.
    Tracefs { mounted_on: Option<String> },
    /// What an event's record has.
    Event {
        fields: Vec<Field>,
        missing_fields: Vec<&'static str>,
        /// Number of reset reasons that have a name.
        named_reasons: usize,
    },
    /// Which counters there are.
    Counters {
        supported: Vec<&'static str>,
        unsupported: Vec<&'static str>,
    },
    /// A program, and the first line of what it says of its version.
    Program {
        path: String,
        version: Option<String>,
    },
}

impl Check {
    /// Something that is there.
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

    /// It is not all there.
    fn less(mut self, status: Status, without_it: impl Into<String>, fix: Option<String>) -> Self {
        self.status = status;
        self.without_it = Some(without_it.into());
        self.fix = fix;
        self
    }

    /// Nothing is known of it before `other` is mended.
    fn blocked(mut self, other: &'static str, without_it: impl Into<String>) -> Self {
        self.blocked_by = Some(other);
        self.less(Status::Missing, without_it, None)
    }

    fn with(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }
}

/// What could be seen with the privileges that the process was started with.
pub struct Look {
    here: Here,
    header: Header,
    settings: Check,
    raw_socket: Check,
    on_host: Check,
    kernel: Vec<Check>,
}

impl Look {
    /// Looks. The thread that calls this must be the only one.
    #[must_use]
    pub fn now() -> Self {
        let header = host::header();
        let here = Here::look(&header.host.machine);
        let raw_socket = privilege::raw_socket(&here);
        Self {
            settings: settings::check(Obstacle::here()),
            on_host: privilege::on_host(&here, raw_socket.status),
            raw_socket,
            kernel: witness::all(&here),
            header,
            here,
        }
    }

    /// Enters a user namespace if need be. Must happen while there is one thread, and after the looks that need what
    /// the process was started with; so it is the last of them.
    #[must_use]
    pub fn prepare(self) -> Prepared {
        let entered = lab::prepare(Place::Private);
        Prepared {
            user_namespaces: privilege::user_namespaces(&self.here, &entered),
            ready: entered.is_ok(),
            look: self,
        }
    }
}

/// Ready to run the trial, if a namespace to run it in can be made.
pub struct Prepared {
    look: Look,
    user_namespaces: Check,
    ready: bool,
}

impl Prepared {
    /// Looks at the rest. Needs a tokio runtime with I/O and time.
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
        // What mends something depends on what may be done here: only now is that no longer asked.
        lab::drop_privileges(lab::Kept::default())?;
        let programs = program::all(&here).await?;

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
