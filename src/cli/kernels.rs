//! `rstproof kernels`: boots kernels in guests, runs trials there, and compares the results.

mod directories;
mod work;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::interval;

use self::directories::Directories;
use self::work::{Work, bound};
use super::progress::REDRAW_INTERVAL;
use super::run::Signals;
use super::{AcceleratorArg, CompareFormat, KernelsArgs, complain};
use crate::archive::{REPORT, parts_of_stem};
use crate::compare::document::{self, Subject};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::file::{Directory, Owner, WriteOptions, write_whole};
use crate::lab::{self, RetainedPrivileges};
use crate::sys;
use crate::trial::pool::runtime;
use crate::trial::this_program;
use crate::vm::guest::Ending;
use crate::vm::qemu::{Accelerator, Emulator, Guest, GuestProgress, GuestResult};
use crate::vm::{GuestOutcome, Machine};
use rstproof_core::file::Format as CaptureFormat;

/// Maximum number of unconfirmed trials shown for each kernel.
const MAX_SHOWN: usize = 5;

/// Name of the file that the console output of a kernel is saved in.
const CONSOLE: &str = "console.log";

/// Maximum number of processors of a guest; more do not make the trials faster.
const MAX_GUEST_CPUS: usize = 4;

/// Memory that the emulator needs in addition to the guest's memory, in MiB: mostly for translated code.
const EMULATOR_OVERHEAD_MIB: u64 = 300;

pub(super) fn kernels(args: &KernelsArgs) -> Result<ExitCode, Error> {
    let owner = Owner::behind_sudo();
    let options = WriteOptions {
        replace: args.force,
        owner,
    };
    let give_up_rights = || {
        lab::drop_privileges(RetainedPrivileges {
            // Images and their modules are read when each guest is booted.
            reads_files: true,
            saves_files: args.write.is_some(),
            gives_files_away: owner.is_some(),
            ..RetainedPrivileges::default()
        })
    };
    // Only a run on this host's kernel needs privileges.
    if !args.with_running {
        give_up_rights()?;
    }
    let work = Work::of(args)?;
    let directories = Directories::make(args, &work, options)?;
    runtime()?.block_on(run_all(args, work, &directories, options, give_up_rights))
}

/// Runs the trials on this host's kernel, if requested, then on each guest, and compares the results.
async fn run_all(
    args: &KernelsArgs,
    mut work: Work,
    directories: &Directories,
    options: WriteOptions,
    give_up_rights: impl Fn() -> Result<(), Error>,
) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    if let Some(running) = work.running.take() {
        let directory = directories.running.as_deref();
        let (subject, stopped) =
            run_here(args, &work.arguments, directory, &running, &mut signals).await;
        match subject {
            Ok(subject) => {
                work.code = work.code.worst(worst_verdict(&subject));
                work.subjects.push(subject);
            }
            Err(error) if stopped.is_none() => work.failed(&error.to_string()),
            Err(_) => {}
        }
        if stopped.is_some() {
            complain(&interrupted(&work));
            return finish(args, work, stopped);
        }
        give_up_rights()?;
    }
    let tried = tokio::select! {
        tried = accelerator(args, &work.emulator) => tried?,
        number = signals.next() => {
            complain(&interrupted(&work));
            return finish(args, work, Some(number));
        }
    };
    boot_all(args, work, directories, options, tried, signals).await
}

fn interrupted(work: &Work) -> String {
    format!(
        "interrupted: {} reports of {} kernels",
        work.subjects.len(),
        work.kernels
    )
}

/// Runs the trials on this host's own kernel, in a child process, to which signals are passed on as `SIGTERM`. Returns
/// the report, and the number of the last signal received.
async fn run_here(
    args: &KernelsArgs,
    arguments: &[String],
    write: Option<&Path>,
    release: &str,
    signals: &mut Signals,
) -> (Result<Subject, Error>, Option<u8>) {
    let failed = |why: &dyn std::fmt::Display| Error::lab("run trials on the running kernel", why);
    let mut command = Command::new(this_program());
    // A group of its own: a signal from the terminal reaches the child only through the loop below, not twice.
    command.process_group(0).kill_on_drop(true);
    sys::end_with_parent(command.as_std_mut());
    command.args(["run", "--format", "json"]).args(arguments);
    if let Some(write) = write {
        command.arg("--write").arg(write);
        if args.force {
            command.arg("--force");
        }
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => return (Err(failed(&error)), None),
    };
    let process = child.id().and_then(|id| i32::try_from(id).ok());
    let mut output = pin!(child.wait_with_output());
    let mut stopped = None;
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            number = signals.next() => {
                stopped = Some(number);
                // The child saves the trials that it has, and ends.
                if let Some(process) = process {
                    let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
                }
            }
        }
    };
    let output = match output {
        Ok(output) => output,
        Err(error) => return (Err(failed(&error)), stopped),
    };
    // 2: the run failed. Above 128: a signal ended it, which is expected only if one was passed on.
    if output
        .status
        .code()
        .is_none_or(|code| code == 2 || (code > 128 && stopped.is_none()))
    {
        return (Err(failed(&"see the error above")), stopped);
    }
    let origin = match write {
        Some(directory) => directory.join(REPORT),
        None => PathBuf::from(release),
    };
    let subject = document::parse(&origin, &output.stdout);
    if let Ok(subject) = &subject {
        show_report(args, subject, "this host");
    }
    (subject, stopped)
}

/// Boots the guests, several at a time, takes in their results, and compares.
async fn boot_all(
    args: &KernelsArgs,
    mut work: Work,
    directories: &Directories,
    options: WriteOptions,
    accelerator: Accelerator,
    mut signals: Signals,
) -> Result<ExitCode, Error> {
    let (stop, stopping) = watch::channel(false);
    let machine = Machine::new(
        work.emulator.clone(),
        accelerator,
        args.accel == AcceleratorArg::Auto,
        &work.arguments,
        stopping,
    )?;
    let jobs = jobs(args, work.images.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Guests that run at the same time share the cores.
    let cpus = (cores / jobs).clamp(1, MAX_GUEST_CPUS);
    let bars = MultiProgress::new();
    let images = std::mem::take(&mut work.images);
    let command_line = work.command_line.clone();
    let spinners: Vec<ProgressBar> = images.iter().map(|_| bars.add(spinner())).collect();
    let guests = images.into_iter().zip(&directories.images).zip(&spinners);
    let guests = guests.map(|((image, directory), bar)| {
        let guest = Guest {
            image,
            memory_mib: args.memory,
            cpus,
            arguments: command_line.clone(),
            bound: bound(args),
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
            (guest, directory, ended)
        }
    });
    let mut ends = stream::iter(guests).buffer_unordered(jobs);
    let mut ticks = interval(REDRAW_INTERVAL);
    let mut stopped = None;
    loop {
        tokio::select! {
            next = ends.next() => match next {
                // A guest that was ended because of the signal has no result.
                Some((_, _, Ok(GuestOutcome { result: Err(_), .. }))) if stopped.is_some() => {}
                Some((guest, directory, ended)) => {
                    bars.suspend(|| take_in(args, &mut work, &guest, directory.as_ref(), options, ended));
                }
                None => break,
            },
            // Without a thread of their own spinners have to be advanced here.
            _ = ticks.tick() => spinners.iter().for_each(ProgressBar::tick),
            number = signals.next() => {
                stopped = Some(number);
                // Guests that run end their emulators, and those that wait do not start.
                let _ = stop.send(true);
            }
        }
    }
    if stopped.is_some() {
        complain(&interrupted(&work));
    }
    let _ = bars.clear();
    finish(args, work, stopped)
}

/// Prints the comparison of the available reports and returns the exit code.
fn finish(args: &KernelsArgs, work: Work, stopped: Option<u8>) -> Result<ExitCode, Error> {
    let mut code = work.code;
    if work.subjects.len() > 1 || (args.format != CompareFormat::Human && !work.subjects.is_empty())
    {
        if args.format == CompareFormat::Human {
            print("\n")?;
        }
        code = code.worst(super::compare::show(work.subjects, args.format, false)?);
    }
    Ok(match stopped {
        Some(number) => code.worst(ExitCode::Signal(number)),
        None => code,
    })
}

/// Takes in the outcome of a guest: prints its line, and saves its evidence and console output.
fn take_in(
    args: &KernelsArgs,
    work: &mut Work,
    guest: &Guest,
    directory: Option<&Directory>,
    options: WriteOptions,
    ended: Result<GuestOutcome, Error>,
) {
    let path = guest.image.path.display();
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return work.failed(&format!("{path}: {error}")),
    };
    let by = ended.accelerator.name();
    let took = ended.took.as_secs_f64();
    let crashes = match ended.crashes {
        0 => String::new(),
        1 => ", booted again: the emulator crashed the kernel".to_owned(),
        more => format!(", the emulator crashed the kernel {more} times"),
    };
    match ended.result {
        Err(failure) => {
            work.failed(&format!("{path} ({by}{crashes}): {failure}"));
            save(directory, options, [(CONSOLE, &failure.console[..])], work);
        }
        Ok(result) => {
            let origin = match directory {
                Some(directory) => directory.path_of(REPORT),
                None => guest.image.path.clone(),
            };
            let parsed = match result.files.get(REPORT) {
                Some(bytes) => document::parse(&origin, bytes),
                None => Err(Error::lab(
                    format!("run trials on {path}"),
                    &no_report(&result),
                )),
            };
            match parsed {
                Ok(subject) => {
                    work.code = work.code.worst(worst_verdict(&subject));
                    // 0, 1 and 3 are verdicts; 2 means that some trials could not be run.
                    if !matches!(result.ending, Some(Ending::Exit(0 | 1 | 3))) {
                        work.failed(&cut_short(args, guest, &subject, result.ending));
                    }
                    show_report(args, &subject, &format!("{by}, {took:.1} s{crashes}"));
                    work.subjects.push(subject);
                }
                Err(error) => work.failed(&error.to_string()),
            }
            let files = result.files.iter().filter(|(name, _)| is_evidence(name));
            let files = files.chain([(CONSOLE, &result.console[..])]);
            save(directory, options, files, work);
        }
    }
}

/// Returns the message about a guest that has not run all of its trials.
fn cut_short(
    args: &KernelsArgs,
    guest: &Guest,
    subject: &Subject,
    ending: Option<Ending>,
) -> String {
    let (path, trials) = (guest.image.path.display(), subject.trials);
    match ending {
        Some(Ending::TimedOut) => format!(
            "{path}: stopped after {trials} trials because they took more than {} s; allow more with --timeout",
            args.timeout
        ),
        Some(Ending::Signal(signal)) => format!(
            "{path}: {signal} ended its run after {trials} trials (it may need more --memory); -w saves its console \
             output"
        ),
        _ => format!(
            "{path}: its run ended early, after {trials} trials; -w saves its console output"
        ),
    }
}

fn no_report(result: &GuestResult) -> String {
    let words = result.last_lines();
    format!("it sent no {REPORT}; {words}; -w saves its console output")
}

/// Returns true if a run saves files of this name. No other file that a guest sends is saved.
fn is_evidence(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return false;
    };
    let is_kind = kind == "json" || CaptureFormat::of_extension(kind).is_some();
    name == REPORT || (is_kind && !name.contains('/') && parts_of_stem(stem).is_some())
}

fn save<'a>(
    directory: Option<&Directory>,
    options: WriteOptions,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    work: &mut Work,
) {
    let Some(directory) = directory else { return };
    for (name, bytes) in files {
        if let Err(error) = write_whole(directory, name, bytes, options) {
            // One message for all files: each would fail for the same reason.
            return work.failed(&error.to_string());
        }
    }
}

/// Returns the exit code of the worst verdict in a report.
fn worst_verdict(subject: &Subject) -> ExitCode {
    let verdicts = subject.seen.values().flat_map(|seen| &seen.verdicts);
    verdicts.fold(ExitCode::Success, |code, verdict| {
        code.worst(match *verdict {
            "refuted" => ExitCode::Refuted,
            "inconclusive" => ExitCode::Inconclusive,
            _ => ExitCode::Success,
        })
    })
}

/// Prints a line for a kernel, and below it the trials that were not confirmed (human format).
fn show_report(args: &KernelsArgs, subject: &Subject, how: &str) {
    if args.format != CompareFormat::Human {
        return;
    }
    let mut text = format!("{}: {} ({how})\n", subject.release, subject.tally());
    let amiss = &subject.amiss;
    for line in amiss.iter().take(MAX_SHOWN) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(more) = amiss.len().checked_sub(MAX_SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(text, "  … and {more} more");
    }
    // Ignored: the other kernels are run anyway, and the comparison at the end fails with the same error.
    let _ = print(&text);
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)
}

/// Returns the accelerator for the guests: the requested one, or KVM if it works. Fails if KVM is requested and does
/// not work.
async fn accelerator(args: &KernelsArgs, emulator: &Emulator) -> Result<Accelerator, Error> {
    match args.accel {
        AcceleratorArg::Tcg => Ok(Accelerator::Tcg),
        AcceleratorArg::Kvm => match emulator.try_kvm().await {
            Ok(()) => Ok(Accelerator::Kvm),
            Err(why) => Err(Error::Usage(format!(
                "KVM is unavailable ({why}); omit --accel to use TCG emulation"
            ))),
        },
        AcceleratorArg::Auto => match emulator.try_kvm().await {
            Ok(()) => Ok(Accelerator::Kvm),
            Err(why) => {
                complain(&format!("KVM is unavailable ({why}); using TCG emulation"));
                Ok(Accelerator::Tcg)
            }
        },
    }
}

/// Returns the number of guests to run at the same time: as many as requested, or as cores and memory allow.
fn jobs(args: &KernelsArgs, guests: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fit = available_mib().map(|mib| mib / (u64::from(args.memory) + EMULATOR_OVERHEAD_MIB));
    let fit = fit.and_then(|it| usize::try_from(it).ok()).unwrap_or(cores);
    let jobs = args.jobs.map_or_else(|| cores.min(fit), usize::from);
    jobs.clamp(1, guests.max(1))
}

/// Returns the available memory in MiB (`MemAvailable` of proc(5)). `None` if unknown.
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

fn doing(progress: GuestProgress) -> &'static str {
    match progress {
        GuestProgress::Booting => "booting",
        GuestProgress::Running => "running trials",
        GuestProgress::Sending => "transferring the result",
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message("waiting");
    // If the template cannot be parsed the default one is used.
    match ProgressStyle::with_template("{spinner} {msg}") {
        Ok(style) => spinner.with_style(style),
        Err(_) => spinner,
    }
}
