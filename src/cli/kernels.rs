//! `rstproof kernels`: boots each kernel that is named, has it run trials, and compares.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::interval;

use super::progress::PACE;
use super::run::{Signals, pairs_of, refuse_evidence};
use super::{AcceleratorArg, CompareFormat, KernelsArgs, complain, scenario_named};
use crate::archive::{REPORT, parts_of_stem};
use crate::compare::document::{self, Subject};
use crate::doctor::distribution::{Distribution, Wanted};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::file::{Directory, Format as CaptureFormat, Manner, Owner, write_whole};
use crate::lab::{self, Kept};
use crate::report::Header;
use crate::report::human::printable;
use crate::scenario;
use crate::trial::pool::runtime;
use crate::trial::this_program;
use crate::vm::kernel_image::KernelImage;
use crate::vm::qemu::{Accelerator, Emulator, Guest, PROGRAM, Progress};
use crate::vm::{Ended, Machine};

/// Of trials that were not confirmed so many are shown for each kernel.
const MOST_SHOWN: usize = 5;

/// More processors than this make nothing faster.
const MOST_CPUS: usize = 4;

/// What is beside a guest's memory, in MiB: the emulator's own, its translated code most of all.
const OVERHEAD_MIB: u64 = 300;

pub(super) fn kernels(args: &KernelsArgs) -> Result<ExitCode, Error> {
    let owner = Owner::behind_sudo();
    let manner = Manner {
        replace: args.force,
        owner,
    };
    let give_up_rights = || {
        lab::drop_privileges(Kept {
            saves_files: args.write.is_some(),
            gives_files_away: owner.is_some(),
            ..Kept::default()
        })
    };
    // A run on this host's kernel needs them, and nothing else does.
    if !args.with_running {
        give_up_rights()?;
    }
    let mut work = Work::of(args)?;
    let places = Places::make(args, &work, manner)?;
    if let Some(running) = work.running.take() {
        match run_here(args, &work.arguments, places.running.as_deref(), &running) {
            Ok(subject) => {
                work.code = work.code.worst(worst(&subject));
                work.subjects.push(subject);
            }
            Err(error) => work.failed(&error.to_string()),
        }
        give_up_rights()?;
    }
    runtime()?.block_on(boot_all(args, work, &places, manner))
}

/// What is to be done, and what has come of it.
struct Work {
    images: Vec<KernelImage>,
    /// Arguments of `run`, for all of them.
    arguments: Vec<String>,
    emulator: Emulator,
    /// Release of the running kernel, if that is to be run as well.
    running: Option<String>,
    subjects: Vec<Subject>,
    code: ExitCode,
}

impl Work {
    /// What the command line means. A word is a scenario if there is one of that name, and else an image.
    fn of(args: &KernelsArgs) -> Result<Self, Error> {
        let mut scenarios = Vec::new();
        let mut images = Vec::new();
        let mut code = ExitCode::Success;
        for word in &args.words {
            if let Some(scenario) = word.to_str().and_then(scenario::find) {
                scenarios.push(scenario);
                continue;
            }
            if !word.exists()
                && !word.to_string_lossy().contains('/')
                && let Some(name) = word.to_str()
            {
                // Neither: more likely a scenario that is spelled wrong.
                scenario_named(name).map_err(|error| {
                    Error::Usage(format!(
                        "there is no file '{}', and {error}",
                        printable(name)
                    ))
                })?;
            }
            match KernelImage::find(word) {
                Ok(image) => images.push(image),
                Err(error) => {
                    code = ExitCode::Failure;
                    complain(&error.to_string());
                }
            }
        }
        if images.is_empty() {
            let what = if code == ExitCode::Failure {
                "none of the images can be booted"
            } else {
                "no kernel image is named; scripts/fetch-kernels.sh gets some"
            };
            return Err(Error::Usage(what.to_owned()));
        }
        let mut arguments = Vec::new();
        if args.all {
            if !scenarios.is_empty() {
                return Err(Error::Usage(
                    "--all runs every scenario; name none, or leave it away".to_owned(),
                ));
            }
            arguments.push("--all".to_owned());
        }
        let families = args.family.families();
        if !scenarios.is_empty() {
            pairs_of(&scenarios, &families)?;
        }
        let family = match families[..] {
            [one] => one.name(),
            _ => "both",
        };
        arguments.extend(["--family".to_owned(), family.to_owned()]);
        arguments.extend(["--repeat".to_owned(), args.repeat.to_string()]);
        arguments.extend(scenarios.iter().map(|scenario| scenario.id.to_owned()));
        let running = args
            .with_running
            .then(|| Header::of_this_host().host.release);
        Ok(Self {
            images,
            arguments,
            emulator: Emulator::find().ok_or_else(no_emulator)?,
            running,
            subjects: Vec::new(),
            code,
        })
    }

    fn failed(&mut self, why: &str) {
        self.code = self.code.worst(ExitCode::Failure);
        complain(why);
    }
}

/// With the package that it comes in.
fn no_emulator() -> Error {
    let install = Distribution::here().install(Wanted::Qemu("x86_64"));
    Error::Privilege {
        missing: format!("{PROGRAM} is not on PATH, and other kernels are booted with it"),
        remedy: install.map_or_else(
            || "install QEMU for x86-64".to_owned(),
            |install| format!("install it with `sudo {install}`"),
        ),
    }
}

/// Where the evidence of each kernel is saved.
struct Places {
    above: Option<Directory>,
    images: Vec<Option<Directory>>,
    running: Option<PathBuf>,
}

impl Places {
    /// Makes a directory for each, by its release; evidence that is there already is refused before anything is booted.
    fn make(args: &KernelsArgs, work: &Work, manner: Manner) -> Result<Self, Error> {
        let mut places = Self {
            above: None,
            images: Vec::new(),
            running: None,
        };
        let Some(path) = &args.write else {
            places.images.resize_with(work.images.len(), || None);
            return Ok(places);
        };
        places.above = Some(Directory::open_or_make(path, manner.owner)?);
        let mut taken = BTreeSet::new();
        let mut name = |release: &str| {
            let numbers = std::iter::once(String::new()).chain((2..).map(|it| format!("-{it}")));
            let mut names = numbers.map(|number| format!("{}{number}", file_name(release)));
            let free = names.find(|name| taken.insert(name.clone()));
            path.join(free.unwrap_or_default())
        };
        for image in &work.images {
            let directory = Directory::open_or_make(&name(&image.release), manner.owner)?;
            let refused = refuse_evidence(&directory)
                .err()
                .filter(|_| !manner.replace);
            places.images.push(Some(directory));
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
        places.running = work.running.as_deref().map(name);
        Ok(places)
    }
}

impl Drop for Places {
    /// Leaves no directory behind that nothing was saved in.
    fn drop(&mut self) {
        for directory in self.images.iter().chain([&self.above]).flatten() {
            directory.remove_if_unused();
        }
    }
}

/// What of a release can be in a file's name.
fn file_name(release: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "+-._~".contains(it);
    let plain: String = release.chars().filter(|it| is_plain(*it)).collect();
    plain.trim_start_matches('.').to_owned()
}

/// Runs the trials on this host's own kernel, in a process of its own.
fn run_here(
    args: &KernelsArgs,
    arguments: &[String],
    write: Option<&Path>,
    release: &str,
) -> Result<Subject, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::lab("run trials on the running kernel", why);
    let mut command = Command::new(this_program());
    command.args(["run", "--format", "json"]).args(arguments);
    if let Some(write) = write {
        command.arg("--write").arg(write);
        if args.force {
            command.arg("--force");
        }
    }
    let told = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(&error))?;
    // 2 and those above 128 say that it could not do its work, or was ended.
    if told
        .status
        .code()
        .is_none_or(|code| code == 2 || code > 128)
    {
        return Err(failed(&"it has said why"));
    }
    let origin = match write {
        Some(directory) => directory.join(REPORT),
        None => PathBuf::from(release),
    };
    let subject = document::parse(&origin, &told.stdout)?;
    tell(args, &subject, "this host");
    Ok(subject)
}

async fn boot_all(
    args: &KernelsArgs,
    mut work: Work,
    places: &Places,
    manner: Manner,
) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    let accelerator = accelerator(args, &work.emulator).await?;
    let (stop, stopping) = watch::channel(false);
    let machine = Machine::new(
        work.emulator.clone(),
        accelerator,
        &work.arguments,
        stopping,
    )?;
    let jobs = jobs(args, work.images.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = (cores / jobs).clamp(1, MOST_CPUS);
    let bars = MultiProgress::new();
    let images = std::mem::take(&mut work.images);
    let spinners: Vec<ProgressBar> = images.iter().map(|_| bars.add(spinner())).collect();
    let guests = images.into_iter().zip(&places.images).zip(&spinners);
    let guests = guests.map(|((image, place), bar)| {
        let guest = Guest {
            image,
            memory_mib: args.memory,
            cpus,
            append: args.append.clone(),
            bound: Duration::from_secs(args.timeout.into()),
        };
        let machine = &machine;
        async move {
            let release = guest.image.release.clone();
            let began = Instant::now();
            let report = |progress| {
                let (doing, since) = (doing(progress), began.elapsed().as_secs());
                bar.set_message(format!("{release}: {doing}, after {since} s"));
            };
            let ended = machine.boot(&guest, report).await;
            bar.finish_and_clear();
            (guest, place, ended)
        }
    });
    let mut ends = stream::iter(guests).buffer_unordered(jobs);
    let mut ticks = interval(PACE);
    let mut stopped = None;
    loop {
        tokio::select! {
            next = ends.next() => match next {
                // What was ended here has nothing to say.
                Some((_, _, Ok(Ended { result: Err(_), .. }))) if stopped.is_some() => {}
                Some((guest, place, ended)) => {
                    bars.suspend(|| take(args, &mut work, &guest, place.as_ref(), manner, ended));
                }
                None => break,
            },
            // Spinners turn by themselves only with a thread.
            _ = ticks.tick() => spinners.iter().for_each(ProgressBar::tick),
            number = signals.next() => {
                stopped = Some(number);
                // Each ends its emulator, and those that wait do not begin.
                let _ = stop.send(true);
            }
        }
    }
    if stopped.is_some() {
        let (told, all) = (work.subjects.len(), spinners.len());
        complain(&format!("interrupted: {told} reports of {all} kernels"));
    }
    let _ = bars.clear();
    finish(args, work, stopped)
}

/// Compares what there is.
fn finish(args: &KernelsArgs, work: Work, stopped: Option<u8>) -> Result<ExitCode, Error> {
    let mut code = work.code;
    if work.subjects.len() > 1 || (args.format != CompareFormat::Human && !work.subjects.is_empty())
    {
        if args.format == CompareFormat::Human {
            say("\n")?;
        }
        code = code.worst(super::compare::show(work.subjects, args.format, false)?);
    }
    Ok(match stopped {
        Some(number) => code.worst(ExitCode::Signal(number)),
        None => code,
    })
}

/// Takes in what became of a guest.
fn take(
    args: &KernelsArgs,
    work: &mut Work,
    guest: &Guest,
    place: Option<&Directory>,
    manner: Manner,
    ended: Result<Ended, Error>,
) {
    let path = guest.image.path.display();
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return work.failed(&format!("{path}: {error}")),
    };
    let by = ended.accelerator.name();
    let took = ended.took.as_secs_f64();
    match ended.result {
        Err(failure) => {
            work.failed(&format!("{path}: {failure}"));
            save(
                place,
                manner,
                &[("console.log".to_owned(), failure.console)],
                work,
            );
        }
        Ok(parcel) => {
            let report = parcel.files.iter().find(|(name, _)| name == REPORT);
            let origin = match place {
                Some(directory) => directory.path_of(REPORT),
                None => guest.image.path.clone(),
            };
            let parsed = match report {
                Some((_, bytes)) => document::parse(&origin, bytes),
                None => Err(Error::lab(
                    format!("run all trials on {path}"),
                    &String::from_utf8_lossy(&parcel.console).trim(),
                )),
            };
            match parsed {
                Ok(subject) => {
                    work.code = work.code.worst(worst(&subject));
                    if parcel.code.is_none_or(|code| code == 2 || code >= 128) {
                        work.failed(&cut_short(args, guest, &subject, parcel.code));
                    }
                    tell(args, &subject, &format!("{by}, {took:.1} s"));
                    work.subjects.push(subject);
                }
                Err(error) => work.failed(&error.to_string()),
            }
            let mut files: Vec<_> = parcel
                .files
                .into_iter()
                .filter(|(name, _)| is_evidence(name))
                .collect();
            files.push(("console.log".to_owned(), parcel.console));
            save(place, manner, &files, work);
        }
    }
}

/// Why a guest has not run all of its trials.
fn cut_short(args: &KernelsArgs, guest: &Guest, subject: &Subject, code: Option<u8>) -> String {
    let (path, trials) = (guest.image.path.display(), subject.trials);
    match code {
        Some(129..) => format!(
            "{path}: its run was ended after {trials} trials, for it took more than {} s; allow more with --timeout",
            args.timeout
        ),
        _ => format!(
            "{path}: its run ended early, after {trials} trials; -w saves what its console said"
        ),
    }
}

/// Whether a run saves files of this name: nothing else that a guest sends gets one.
fn is_evidence(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return false;
    };
    let is_kind = kind == "json" || CaptureFormat::of_extension(kind).is_some();
    name == REPORT || (is_kind && !name.contains('/') && parts_of_stem(stem).is_some())
}

fn save(place: Option<&Directory>, manner: Manner, files: &[(String, Vec<u8>)], work: &mut Work) {
    let Some(directory) = place else { return };
    for (name, bytes) in files {
        if let Err(error) = write_whole(directory, name, bytes, manner) {
            // One line for all of them: it will be the same for each.
            return work.failed(&error.to_string());
        }
    }
}

fn worst(subject: &Subject) -> ExitCode {
    let verdicts = subject.seen.values().flat_map(|seen| &seen.verdicts);
    verdicts.fold(ExitCode::Success, |code, verdict| {
        code.worst(match *verdict {
            "refuted" => ExitCode::Refuted,
            "inconclusive" => ExitCode::Inconclusive,
            _ => ExitCode::Success,
        })
    })
}

/// A line for a kernel, and what was not confirmed there.
fn tell(args: &KernelsArgs, subject: &Subject, how: &str) {
    if args.format != CompareFormat::Human {
        return;
    }
    let mut text = format!("{}: {} ({how})\n", subject.release, subject.tally());
    let amiss = &subject.amiss;
    for line in amiss.iter().take(MOST_SHOWN) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(more) = amiss.len().checked_sub(MOST_SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(text, "  … and {more} more");
    }
    // Who does not read it any more is told so at the end.
    let _ = say(&text);
}

fn say(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)
}

/// What runs the guests: what was asked for, or KVM if it works.
async fn accelerator(args: &KernelsArgs, emulator: &Emulator) -> Result<Accelerator, Error> {
    match args.accel {
        AcceleratorArg::Tcg => Ok(Accelerator::Tcg),
        AcceleratorArg::Kvm => match emulator.try_kvm().await {
            Ok(()) => Ok(Accelerator::Kvm),
            Err(why) => Err(Error::Usage(format!(
                "KVM does not work here ({why}); leave --accel away to emulate"
            ))),
        },
        AcceleratorArg::Auto => match emulator.try_kvm().await {
            Ok(()) => Ok(Accelerator::Kvm),
            Err(why) => {
                complain(&format!(
                    "KVM does not work here ({why}): emulating with TCG"
                ));
                Ok(Accelerator::Tcg)
            }
        },
    }
}

/// As many guests as there are cores and memory for.
fn jobs(args: &KernelsArgs, guests: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fit = available_mib().map(|mib| mib / (u64::from(args.memory) + OVERHEAD_MIB));
    let fit = fit.and_then(|it| usize::try_from(it).ok()).unwrap_or(cores);
    let jobs = args.jobs.map_or_else(|| cores.min(fit), usize::from);
    jobs.clamp(1, guests.max(1))
}

/// `MemAvailable` of proc(5).
fn available_mib() -> Option<u64> {
    let file = fs::File::open("/proc/meminfo").ok()?;
    let lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    let mut values = lines.filter_map(|line| {
        let kib = line
            .strip_prefix("MemAvailable:")?
            .trim()
            .strip_suffix(" kB")?;
        kib.trim().parse::<u64>().ok()
    });
    values.next().map(|kib| kib / 1024)
}

fn doing(progress: Progress) -> &'static str {
    match progress {
        Progress::Booting => "booting",
        Progress::Running => "running trials",
        Progress::Sending => "bringing the result out",
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message("waiting");
    // A template that cannot be parsed leaves the usual one.
    match ProgressStyle::with_template("{spinner} {msg}") {
        Ok(style) => spinner.with_style(style),
        Err(_) => spinner,
    }
}
