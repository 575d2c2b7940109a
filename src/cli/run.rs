//! `rstproof run`: runs trials on workers, prints them as they end, and shuts down in order whatever happens.

use std::ffi::OsStr;
use std::io::BufWriter;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{interval, sleep};

use super::console::{self, Console, Show};
use super::progress::{Progress, REDRAW_INTERVAL};
use super::{Format, RunArgs, complain, scenario_named};
use crate::archive::save::Archive;
use crate::archive::{REPORT, parts_of_stem, recorder};
use crate::error::{Error, reason};
use crate::exit_code::ExitCode;
use crate::file::{Directory, Lock, NewFile, Owner, WriteOptions};
use crate::host;
use crate::lab::ports::ports;
use crate::lab::{self, Environment, RetainedPrivileges};
use crate::report::human::Tally;
use crate::report::json::JsonWriter;
use crate::sources::RunSources;
use crate::trial::pool::{FinishedTrial, Pool, PoolEvent, RunPlan, runtime};
use crate::trial::{Settings, this_program};
use rstproof_core::file::Format as CaptureFormat;
use rstproof_core::report::{CaptureReport, Header};
use rstproof_core::scenario::{ALL, Family, Needs, Scenario};

/// Maximum time for workers to end after a signal, before the process ends without them. A bound on failure, longer
/// than any call or wait can take; a second signal ends the wait as well.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    let header = host::header();
    let options = WriteOptions {
        replace: args.force,
        // Determined before the user namespace is entered, in which every user is root.
        owner: Owner::behind_sudo(),
    };
    let plan = plan(args, options)?;
    lab::prepare(plan.settings.environment)?;
    runtime()?.block_on(carry_out(args, header, plan, options))
}

async fn carry_out(
    args: &RunArgs,
    mut header: Header,
    mut plan: RunPlan,
    options: WriteOptions,
) -> Result<ExitCode, Error> {
    // Before anything is created that has to be removed after a signal.
    let signals = Signals::new()?;
    let (sources, statuses) = RunSources::open(ports(args.port), !args.host);
    header.evidence_sources = statuses;
    plan.settings.sources = sources.clone();
    let result = with_sources(args, header, plan, options, signals).await;
    sources.close();
    result
}

async fn with_sources(
    args: &RunArgs,
    header: Header,
    mut plan: RunPlan,
    options: WriteOptions,
    signals: Signals,
) -> Result<ExitCode, Error> {
    plan.settings.recorder = args.write.as_ref().map(|_| recorder(&header));
    let opened = match &args.write {
        Some(path) => Some(Opened::new(path, args, &header, options)?),
        None => None,
    };
    plan.archive = opened.as_ref().map(|opened| opened.archive.clone());
    if args.pcap {
        warn_about_pcap(&plan);
    }
    let result = match Run::new(args, header, &plan) {
        Ok(run) => run.finish_plan(&plan, signals).await,
        Err(error) => Err(error),
    };
    if let Some(opened) = opened {
        opened.archive.directory.remove_if_unused();
    }
    result
}

/// Warns about what classic pcap cannot save.
fn warn_about_pcap(plan: &RunPlan) {
    complain("classic pcap cannot hold comments, interface, filter and losses: they are not saved");
    let are_between_hosts = |(scenario, _): &(&Scenario, _)| scenario.needs().hosts;
    if plan.pairs.iter().any(are_between_hosts) {
        complain(
            "trials captured at both ends of a link are saved as pcapng, because classic pcap has one interface",
        );
    }
}

/// Archive that trials are saved in, and the lock on its directory.
struct Opened {
    archive: Archive,
    _lock: Lock,
}

impl Opened {
    fn new(
        path: &Path,
        args: &RunArgs,
        header: &Header,
        options: WriteOptions,
    ) -> Result<Self, Error> {
        let directory = Directory::open_or_make(path, options.owner)?;
        // Before the contents are checked, because a concurrent run would add to them.
        let lock = lock(&directory, path)?;
        directory.remove_abandoned(options.owner);
        if !options.replace {
            refuse_evidence(&directory)?;
        }
        Ok(Self {
            _lock: lock,
            archive: Archive {
                directory,
                format: if args.pcap {
                    CaptureFormat::Pcap
                } else {
                    CaptureFormat::PcapNg
                },
                options,
                header: header.clone(),
            },
        })
    }
}

/// Locks the directory at this path. Warns if it cannot be locked; fails if another run holds the lock.
fn lock(directory: &Directory, path: &Path) -> Result<Lock, Error> {
    let lock = directory.lock()?;
    if let Some(why) = lock.refusal() {
        complain(&format!(
            "cannot lock {}: {}; do not start another run that saves there before this one has ended",
            path.display(),
            reason(why)
        ));
    }
    Ok(lock)
}

/// Returns the trials and settings that the command line asks for. Fails with a usage error.
fn plan(args: &RunArgs, options: WriteOptions) -> Result<RunPlan, Error> {
    let mut scenarios = Vec::new();
    for id in &args.scenarios {
        let scenario = scenario_named(id)?;
        if !scenarios
            .iter()
            .any(|other: &&Scenario| other.id == scenario.id)
        {
            scenarios.push(scenario);
        }
    }
    if scenarios.is_empty() {
        let wanted = |scenario: &&&Scenario| args.all || !scenario.slow;
        scenarios = ALL.iter().filter(wanted).copied().collect();
    }
    // Each in its form for the running kernel.
    let kernel = host::running_kernel();
    let scenarios: Vec<_> = scenarios
        .iter()
        .map(|scenario| scenario.on(kernel))
        .collect();
    let families = args.family.families();
    super::refuse_shaping(args.format, args.quiet || args.verbose)?;
    let stories = shows_stories(args, scenarios.len());
    let needs = Needs::of(scenarios.iter().copied());
    let pairs = pairs_of(&scenarios, &families)?;
    Ok(RunPlan {
        settings: Settings {
            environment: if args.host {
                Environment::Host
            } else {
                Environment::Private
            },
            interface: args.interface.clone(),
            filter: args
                .filter
                .clone()
                .filter(|filter| !filter.trim().is_empty()),
            port: args.port,
            privileges: RetainedPrivileges {
                reads_files: false,
                saves_files: args.write.is_some(),
                gives_files_away: options.owner.is_some(),
                removes_trace: false,
                // Neither is done on the host's own loopback.
                administers: needs.administration && !args.host,
                makes_networks: needs.hosts && !args.host,
            },
            needs,
            small_ring: false,
            recorder: None, // until the evidence sources are known
            program: this_program(),
            sources: RunSources::default(), // until they are open
            stalls: None,                   // until workers are started
            decoy: None,
        },
        every_report: args.format != Format::Human || stories || args.repeat == 1,
        pairs,
        repeat: args.repeat,
        jobs: jobs(args)?,
        archive: None, // until the directory is open
    })
}

/// Returns the pairs of scenario and family that can be run. Fails with a usage error if there are none.
pub(super) fn pairs_of(
    scenarios: &[&'static Scenario],
    families: &[Family],
) -> Result<Vec<(&'static Scenario, Family)>, Error> {
    let pairs = RunPlan::pairs_of(scenarios, families);
    if pairs.is_empty() {
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.id).collect();
        return Err(Error::Usage(format!(
            "{} does not exist over {}; omit --family",
            names.join(", "),
            families
                .iter()
                .map(|it| it.proper_name())
                .collect::<Vec<_>>()
                .join(" or ")
        )));
    }
    Ok(pairs)
}

/// Returns the number of scenarios to run.
fn scenarios_of(plan: &RunPlan) -> usize {
    let mut ids: Vec<_> = plan.pairs.iter().map(|(scenario, _)| scenario.id).collect();
    // Pairs are ordered by scenario, so equal ids are adjacent.
    ids.dedup();
    ids.len()
}

/// Returns true if the ladder of every trial is shown: with `--verbose`, or if there is a single scenario.
fn shows_stories(args: &RunArgs, scenarios: usize) -> bool {
    args.verbose || (scenarios == 1 && args.repeat == 1 && !args.quiet)
}

/// Returns the number of workers. Only one is possible on the host's own loopback, which has one IPv6 address and one
/// port: more fail with a usage error.
fn jobs(args: &RunArgs) -> Result<usize, Error> {
    match (args.jobs, args.host) {
        (Some(jobs), true) if jobs > 1 => Err(Error::Usage(
            "--host has a single loopback: omit --jobs, or omit --host to give each worker its own \
             namespace"
                .to_owned(),
        )),
        (Some(jobs), _) => Ok(jobs.into()),
        (None, true) => Ok(1),
        (None, false) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Fails if the directory holds evidence already, which must not be mixed with that of this run.
pub(super) fn refuse_evidence(directory: &Directory) -> Result<(), Error> {
    match directory.find(|name| is_evidence(Path::new(name)))? {
        None => Ok(()),
        Some(held) => Err(Error::Usage(format!(
            "{} holds evidence already ({}); choose another directory, or overwrite it with --force",
            directory.path().display(),
            held.to_string_lossy()
        ))),
    }
}

/// Returns true if a file of this name may be a report, a saved trial or a capture.
fn is_evidence(name: &Path) -> bool {
    let [stem, kind] =
        [name.file_stem(), name.extension()].map(|part| part.and_then(OsStr::to_str));
    let is_trial = kind == Some("json") && stem.is_some_and(|stem| parts_of_stem(stem).is_some());
    let is_capture = kind.is_some_and(|kind| CaptureFormat::of_extension(kind).is_some());
    name == Path::new(REPORT) || is_trial || is_capture
}

/// State of a run: outputs and results so far.
struct Run<'a> {
    args: &'a RunArgs,
    header: Header,
    /// Output; `None` until a capture is open, and after the output has failed.
    console: Option<Box<dyn Console>>,
    /// Report file, if trials are saved; `None` after it could not be written.
    report: Option<ReportFile>,
    capture: CaptureReport,
    /// Trials that ended before any capture was open, because they could not be run. They are shown once the output has
    /// started, for which the capture has to be known.
    early: Vec<FinishedTrial>,
    tally: Tally,
    progress: Progress,
    began: Instant,
}

impl<'a> Run<'a> {
    fn new(args: &'a RunArgs, header: Header, plan: &RunPlan) -> Result<Self, Error> {
        // Created before the first trial, so that a directory that cannot be written to is noticed at once.
        let report = match &plan.archive {
            Some(archive) => Some(ReportFile::begin(archive)?),
            None => None,
        };
        Ok(Self {
            args,
            header,
            console: None,
            report,
            capture: CaptureReport::default(),
            early: Vec::new(),
            tally: Tally::default(),
            progress: Progress::of(plan.trials()),
            began: Instant::now(),
        })
    }

    /// Runs all trials. On any failure the trials measured so far are saved before the error is returned.
    async fn finish_plan(
        mut self,
        plan: &RunPlan,
        mut signals: Signals,
    ) -> Result<ExitCode, Error> {
        let trials = plan.trials();
        let mut pool = Pool::start(plan.clone())?;
        // Of this thread only: each worker drops its own once its capture is open.
        lab::drop_privileges(RetainedPrivileges {
            // Root owns tracefs and needs no capability to access it.
            removes_trace: plan.settings.sources.removes_files() && !geteuid().is_root(),
            administers: false, // only workers need these two
            makes_networks: false,
            ..plan.settings.privileges
        })?;
        let mut ended = Ok(ExitCode::Success);
        let mut ticks = interval(REDRAW_INTERVAL);
        loop {
            let event = tokio::select! {
                event = pool.next() => event,
                _ = ticks.tick() => {
                    self.progress.tick();
                    plan.settings.sources.empty();
                    continue;
                }
                number = signals.next() => {
                    pool.stop();
                    self.drain(&mut pool, plan, &mut signals).await;
                    ended = Ok(ExitCode::Signal(number));
                    break;
                }
            };
            let Some(event) = event else { break };
            if let Err(error) = self.take(event, plan) {
                pool.stop();
                self.drain(&mut pool, plan, &mut signals).await;
                ended = Err(error);
                break;
            }
        }
        self.progress.end();
        let measured = self.tally.total();
        let code = self.tally.worst().map_or(ExitCode::Success, ExitCode::from);
        let finished = self.finish();
        // The error that ended the run is the cause, so it comes before errors of the output.
        let ended = ended?;
        finished?;
        if let ExitCode::Signal(_) = ended {
            complain(&format!("interrupted: {measured} of {trials} trials"));
        } else if measured < trials {
            let early = format!("a worker ended early, after {measured} of {trials}");
            return Err(Error::lab("run all trials", &early));
        }
        Ok(code.worst(ended))
    }

    /// Takes in the remaining trials of workers that were asked to stop. Ends at the next signal or after
    /// [`SHUTDOWN_TIMEOUT`].
    async fn drain(&mut self, pool: &mut Pool, plan: &RunPlan, signals: &mut Signals) {
        let rest = async {
            while let Some(event) = pool.next().await {
                // The run ends anyway: a further error changes nothing.
                if matches!(event, PoolEvent::Failed(_)) {
                    continue;
                }
                // Output that has failed is not written any more, but trials are still counted and saved.
                if self.take(event, plan).is_err() {
                    self.console = None;
                }
            }
        };
        tokio::select! {
            () = rest => {}
            _ = signals.next() => {}
            () = sleep(SHUTDOWN_TIMEOUT) => {}
        }
    }

    fn take(&mut self, event: PoolEvent, plan: &RunPlan) -> Result<(), Error> {
        match event {
            PoolEvent::Opened { interface, filter } => {
                // Every worker opens a capture; the first one starts the output.
                if self.capture.interface.is_empty() {
                    self.capture = CaptureReport {
                        interface,
                        filter,
                        dropped: 0,
                    };
                    self.console = Some(self.console(plan)?);
                    let early = mem::take(&mut self.early);
                    self.take_trials(early)?;
                }
                Ok(())
            }
            PoolEvent::Finished(done) if self.capture.interface.is_empty() => {
                self.early.extend(done);
                Ok(())
            }
            PoolEvent::Finished(done) => self.take_trials(done),
            PoolEvent::Failed(error) => Err(error),
            PoolEvent::Closed { dropped } => {
                self.capture.dropped += dropped;
                Ok(())
            }
        }
    }

    fn console(&self, plan: &RunPlan) -> Result<Box<dyn Console>, Error> {
        let archive = plan.archive.as_ref();
        let show = Show {
            format: self.args.format,
            stories: shows_stories(self.args, scenarios_of(plan)),
            quiet: self.args.quiet,
            directory: archive.map(|archive| archive.directory.path().to_owned()),
            evidence_sources: true,
            lines: Some((plan.pairs.clone(), plan.repeat.into())),
        };
        console::begin(show, &self.header)
    }

    fn take_trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in &done {
            self.tally.count(done.verdict);
            if let Some(report) = &mut self.report
                && let Err(error) = report.trial(done)
            {
                // The file is incomplete: it must not get its name, even if the disk has room again.
                self.report = None;
                return Err(error);
            }
        }
        let console = &mut self.console;
        self.progress.advance(done.len(), || match console {
            Some(console) => console.trials(done),
            None => Ok(()),
        })
    }

    /// Completes the report and the output. The report is completed even if the output fails.
    fn finish(self) -> Result<(), Error> {
        let saved = match self.report {
            Some(report) if self.tally.total() > 0 => report.commit(&self.capture),
            _ => Ok(()),
        };
        let shown = match self.console {
            Some(console) => console.end(&self.capture, &self.tally, self.began.elapsed()),
            None => Ok(()),
        };
        saved.and(shown)
    }
}

/// Report file of a run that is being written.
struct ReportFile {
    path: PathBuf,
    json: JsonWriter<BufWriter<NewFile>>,
}

impl ReportFile {
    fn begin(archive: &Archive) -> Result<Self, Error> {
        let path = archive.directory.path_of(REPORT);
        let file = NewFile::create(&archive.directory, REPORT, archive.options)?;
        match JsonWriter::begin(BufWriter::new(file), &archive.header) {
            Ok(json) => Ok(Self { path, json }),
            Err(error) => Err(Error::file("write", &path, &error)),
        }
    }

    fn trial(&mut self, done: &FinishedTrial) -> Result<(), Error> {
        let written = match (&done.text, &done.report) {
            (Some(text), _) => self.json.text(text),
            (None, Some(report)) => self.json.trial(report),
            (None, None) => Ok(()),
        };
        written.map_err(|error| Error::file("write", &self.path, &error))
    }

    /// Completes the document and gives the file its name.
    fn commit(self, capture: &CaptureReport) -> Result<(), Error> {
        let failed = |error: &std::io::Error| Error::file("write", &self.path, error);
        let file = self.json.end(capture).map_err(|error| failed(&error))?;
        file.into_inner()
            .map_err(|error| failed(error.error()))?
            .commit()
    }
}

/// Signals that end a run in an orderly way: SIGINT, SIGTERM and SIGHUP.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen. From then on the signals do not end the process by themselves.
    pub(super) fn new() -> Result<Self, Error> {
        let listen = |kind: SignalKind| {
            signal(kind).map_err(|error| Error::io("listen for signals", &error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal and returns its number.
    pub(super) async fn next(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX)
    }
}
