//! Runs the script of a trial: calls, segments to wait for, forged packets, and changes of the network.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::decoy::{self, Decoy};
use super::forge::{self, flow_of};
use super::settings::Settings;
use super::test_bed::TestBed;
use crate::capture::TrialFrames;
use crate::clock;
use crate::error::Error;
use crate::lab::forgery::Forgery;
use crate::runner::Runner;
use rstproof_core::evidence::StepTimes;
use rstproof_core::flow::Flow;
use rstproof_core::packet::{Flags, Packet};
use rstproof_core::scenario::{Awaited, Change, Family, Role, Scenario, Step, Target};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Transcript;

/// Script that is being run.
pub(super) struct ScriptRunner<'a, 'b> {
    pub(super) scenario: &'a Scenario,
    pub(super) family: Family,
    pub(super) settings: &'a Settings,
    pub(super) runner: &'a mut Runner<'b>,
    pub(super) bed: &'a mut TestBed,
    pub(super) batch: &'a mut TrialFrames,
    pub(super) calls: &'a mut Transcript,
    pub(super) steps: &'a mut Vec<StepTimes>,
    pub(super) forgery: Option<&'a Forgery>,
    /// Time just before the latest forged segment was sent.
    pub(super) forged_after: Timestamp,
}

impl ScriptRunner<'_, '_> {
    /// Runs the script. Ends it early at a call whose descriptor does not exist; the judge reports the missing steps.
    pub(super) async fn run_script(&mut self) -> Result<(), Error> {
        for (nth, step) in self.scenario.steps.iter().enumerate() {
            self.inject_decoy(|decoy| decoy.before_step == nth)?;
            match *step {
                Step::Call(role, op, _) => {
                    let Some(call) = self.runner.call(role, op)? else {
                        return Ok(());
                    };
                    self.calls.push(call);
                }
                Step::Begin(role, op, _) => {
                    let Some(call) = self.runner.begin(role, op, self.calls.len())? else {
                        return Ok(());
                    };
                    self.calls.push(call);
                }
                Step::End(role) => {
                    let Some((nth, call)) = self.runner.end(role)? else {
                        return Ok(());
                    };
                    self.calls[nth] = call;
                }
                Step::Others(_)
                | Step::Await(_)
                | Step::Inject(_)
                | Step::InjectIcmp(_)
                | Step::Happens(_) => {
                    let began = clock::now()?;
                    let result = self.run_step(*step).await?;
                    self.steps.push(StepTimes {
                        step: nth,
                        began,
                        ended: clock::now()?,
                        shown: result.shown,
                        gave_up: result.gave_up,
                    });
                }
            }
        }
        let count = self.scenario.steps.len();
        self.inject_decoy(|decoy| decoy.before_step >= count)
    }

    /// Runs a step that is no call.
    async fn run_step(&mut self, step: Step) -> Result<StepResult, Error> {
        match step {
            Step::Await(awaited) => return self.wait(awaited).await,
            Step::Others(count) => {
                let defers = matches!(self.scenario.target, Target::OwnListener(listening)
                    if listening.defer_accept.is_some());
                let gave_up = !self.runner.others(count, defers)?;
                return Ok(StepResult {
                    shown: None,
                    gave_up,
                });
            }
            Step::Inject(forged) => {
                let flow = self.flow_so_far()?;
                self.forge(forge::segment(&flow, self.runner.addresses(), forged))?;
            }
            Step::InjectIcmp(forged) => {
                let flow = self.flow_so_far()?;
                let ends = self.runner.addresses();
                self.forge(forge::icmp(&flow, ends, self.family, forged))?;
            }
            Step::Happens(change) => self.change_network(change)?,
            Step::Call(..) | Step::Begin(..) | Step::End(_) => {}
        }
        Ok(StepResult::DONE)
    }

    /// Applies a change to the network, after taking the frames captured before it.
    fn change_network(&mut self, change: Change) -> Result<(), Error> {
        self.bed.taps.drain(self.batch)?;
        if let Some(hosts) = &mut self.bed.hosts {
            hosts.apply(change)?;
        }
        if change == Change::ServerReboots {
            self.bed.follow_reboot(self.settings, self.batch)?;
        }
        Ok(())
    }

    /// Sends the decoy, if there is one and it is due.
    fn inject_decoy(&mut self, is_due: impl Fn(&Decoy) -> bool) -> Result<(), Error> {
        let Some(decoy) = self.settings.decoy.filter(is_due) else {
            return Ok(());
        };
        let flow = self.flow_so_far()?;
        let Some(packet) = decoy::packet(&flow, self.runner.addresses(), decoy) else {
            return Ok(());
        };
        // `AnswerFrom` concerns the script's own segments, so a decoy must not count.
        let forged_after = self.forged_after;
        // A firewall or a broken link may keep the decoy from the wire; the trial then has none.
        let _ = self.forge(Some(packet));
        self.forged_after = forged_after;
        Ok(())
    }

    async fn wait(&mut self, awaited: Awaited) -> Result<StepResult, Error> {
        let gave_up = match awaited {
            Awaited::Dead(role) => !self.runner.dies(role)?,
            Awaited::Established(role) => !self.runner.is_established(role)?,
            Awaited::Acknowledged(role) if self.runner.has_socket(role) => {
                !self.runner.is_acknowledged(role)?
            }
            Awaited::Gone(role) => !is_gone(self.runner, role).await?,
            // A segment that the user's filter hides cannot be awaited, and the trial will not be confirmed anyway.
            _ if !self.batch.hidden.is_empty() => false,
            _ => {
                let (client, server) = self.runner.addresses();
                let forged_after = self.forged_after;
                let shown_at = Cell::new(None);
                let anew = || Watch {
                    flow: Flow::new(client, server),
                    awaited,
                    forged_after,
                };
                let is_it = |watch: &mut Watch, packet: &Packet| {
                    let at = watch.is_it(packet);
                    shown_at.set(at);
                    at.is_some()
                };
                // On a timeout the script goes on, and the judge reports what is missing.
                let shown = self
                    .bed
                    .taps
                    .drain_until(self.batch, awaited.bound(), anew, is_it);
                let has_come = shown.await?;
                return Ok(StepResult {
                    shown: shown_at.get().filter(|_| has_come),
                    gave_up: !has_come || !self.runner.settle(awaited)?,
                });
            }
        };
        Ok(StepResult {
            shown: None,
            gave_up,
        })
    }

    /// Returns the connection as far as it has been captured.
    fn flow_so_far(&mut self) -> Result<Flow, Error> {
        self.bed.taps.drain(self.batch)?;
        Ok(flow_of(self.runner.addresses(), &self.batch.packets))
    }

    fn forge(&mut self, packet: Option<(Vec<u8>, IpAddr)>) -> Result<(), Error> {
        self.forged_after = clock::now()?;
        let sent = match (self.bed.forgery.as_ref().or(self.forgery), packet) {
            (Some(forgery), Some((bytes, to))) => forgery.send(&bytes, to),
            _ => Err(std::io::ErrorKind::Unsupported.into()),
        };
        sent.map_err(|error| Error::io("send a forged packet", &error))
    }
}

/// Result of a step that is no call.
struct StepResult {
    /// Time at which the awaited segment was captured.
    shown: Option<Timestamp>,
    /// True if the step timed out.
    gave_up: bool,
}

impl StepResult {
    /// Result of a step that waits for nothing.
    const DONE: Self = Self {
        shown: None,
        gave_up: false,
    };
}

/// Polls until the kernel keeps no state of this end any more: there is no notification when a timewait socket ends.
/// Returns false if the bound was exceeded.
async fn is_gone(runner: &Runner<'_>, role: Role) -> Result<bool, Error> {
    /// Interval between two polls.
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    let mut looks = interval(POLL_INTERVAL);
    let deadline = Instant::now() + Awaited::Gone(role).bound();
    while runner.is_kept(role)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        looks.tick().await;
    }
    Ok(true)
}

/// Awaited segment, and the connection as far as it has been observed.
struct Watch {
    flow: Flow,
    awaited: Awaited,
    /// Time of the latest forged segment: no earlier segment is an answer to it.
    forged_after: Timestamp,
}

impl Watch {
    /// Observes the next packet. Returns its capture time if it is the awaited one.
    fn is_it(&mut self, packet: &Packet) -> Option<Timestamp> {
        let segment = match packet {
            Packet::Tcp(segment) => segment,
            Packet::Icmp(error) if self.awaited == Awaited::Icmp => {
                return self.flow.observe_icmp(error).map(|_| error.at);
            }
            _ => return None,
        };
        let observed = self.flow.observe(segment)?;
        let is_it = match self.awaited {
            Awaited::FinFrom(role) => observed.from == role && segment.flags.has(Flags::FIN),
            Awaited::FinAckedBy(role) => observed.from == role && observed.acknowledges_fin,
            Awaited::DataFrom(role) => observed.from == role && segment.payload_len > 0,
            Awaited::SynFrom(role) => observed.from == role && segment.flags.has(Flags::SYN),
            Awaited::AnswerFrom(role) => observed.from == role && segment.at >= self.forged_after,
            Awaited::AgainFrom(role) => self.flow.unanswered(role) > 0,
            // The end has no socket to ask.
            Awaited::Acknowledged(role) => self.is_all_acknowledged(role),
            // Captures do not show these events.
            Awaited::Gone(_) | Awaited::Dead(_) | Awaited::Established(_) | Awaited::Icmp => false,
            Awaited::ResetFrom(role) => observed
                .reset
                .is_some_and(|reset| reset.puts_error_on(role.peer()).is_some()),
        };
        is_it.then_some(segment.at)
    }

    fn is_all_acknowledged(&self, role: Role) -> bool {
        let (una, nxt) = (self.flow.snd_una(role), self.flow.snd_nxt(role));
        una.is_some() && una == nxt
    }
}
