//! Cost of analysing captures, as ratios of alternating runs, each with a limit and a target.
//!
//! `RSTPROOF_BENCH_SCALE=1 cargo bench --bench analyze` measures the full size. The default is a twentieth, for a first
//! look: with such small files starting the program is a good part of the time.
//!
//! 1. Each kind of capture with two threads and with one, against `tcpdump` searching for RSTs and against `dd`, which
//!    only reads; and peak memory.
//! 2. The mixed capture as pcapng, with one thread.
//! 3. Against `tcptrace`, which tracks connections as well, and against `tshark`, which is so slow that it gets a
//!    twentieth at most; one round each.
//!
//! Captures are kept in `RSTPROOF_BENCH_DIR`, if set; otherwise they are created in a temporary directory and removed.
//! All reads come from the page cache.

#[path = "support/generate.rs"]
mod generate;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use generate::{Format, Kind, Recipe, Truth};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

const ROUNDS: usize = 7;
const RSTPROOF: &str = env!("CARGO_BIN_EXE_rstproof");
/// Argument that runs the following command and prints its peak memory in KiB.
const PEAK: &str = "--peak-of";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this program as well, but is not meant to measure.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    if let [PEAK, command @ ..] = &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return print_peak(command);
    }
    let scale = Scale::asked_for()?;
    let place = Place::open()?;
    let programs = Programs::installed()?;
    let mut table = Table::default();
    for kind in Kind::ALL {
        let capture = Capture::make(place.path(), kind, scale, Format::Pcap)?;
        let times = rounds(&capture, &programs)?;
        table.add_kind(kind, &times);
        for threads in [1, 2] {
            table.add_peak(&capture, threads)?;
        }
        if kind == Kind::Mixed {
            table.add_once(&capture, &programs, Program::Tcptrace, (20.0, 30.0))?;
        }
        place.give_up(&capture)?;
    }
    let capture = Capture::make(place.path(), Kind::Mixed, scale, Format::PcapNg)?;
    let times = rounds(&capture, &programs)?;
    place.give_up(&capture)?;
    let bounds = Bounds::AtMost(0.80, 0.65);
    let what = "mixed as pcapng, one thread / tcpdump";
    table.add(what, times.ratio(Program::One, Program::Tcpdump), bounds);
    if programs.has(Program::Tshark) {
        let scale = scale.at_most_a_twentieth();
        let capture = Capture::make(place.path(), Kind::Mixed, scale, Format::Pcap)?;
        table.add_once(&capture, &programs, Program::Tshark, (150.0, 250.0))?;
    }
    table.print();
    Ok(())
}

/// Fraction of the full size.
#[derive(Clone, Copy)]
struct Scale {
    numerator: u64,
    denominator: u64,
}

impl Scale {
    fn asked_for() -> Result<Self> {
        let Ok(text) = std::env::var("RSTPROOF_BENCH_SCALE") else {
            return Ok(Self {
                numerator: 1,
                denominator: 20,
            });
        };
        Self::parse(&text)
            .ok_or_else(|| format!("RSTPROOF_BENCH_SCALE={text}: say 1, 1/20 or 0.05").into())
    }

    fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = if let Some((whole, fraction)) = text.split_once('.') {
            let digits = fraction.len().try_into().ok()?;
            let numerator = format!("{whole}{fraction}").parse().ok()?;
            (numerator, 10_u64.checked_pow(digits)?)
        } else if let Some((numerator, denominator)) = text.split_once('/') {
            (numerator.parse().ok()?, denominator.parse().ok()?)
        } else {
            (text.parse().ok()?, 1)
        };
        (numerator > 0 && denominator > 0).then_some(Self {
            numerator,
            denominator,
        })
    }

    fn at_most_a_twentieth(self) -> Self {
        if self.numerator * 20 <= self.denominator {
            return self;
        }
        Self {
            numerator: 1,
            denominator: 20,
        }
    }

    fn of(self, connections: u32) -> Result<u32> {
        let scaled = u64::from(connections) * self.numerator / self.denominator;
        Ok(u32::try_from(scaled)?.max(1))
    }
}

/// Directory of the captures.
enum Place {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn open() -> Result<Self> {
        if let Some(path) = std::env::var_os("RSTPROOF_BENCH_DIR") {
            fs::create_dir_all(&path)?;
            return Ok(Self::Kept(path.into()));
        }
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        signals.thread_block()?;
        let directory = TempDir::new()?;
        remove_on_signal(signals, directory.path().to_owned());
        Ok(Self::Temporary(directory))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    /// Removes a temporary capture, to free the disk and the page cache for the next one.
    fn give_up(&self, capture: &Capture) -> Result<()> {
        if let Self::Temporary(_) = self {
            fs::remove_file(&capture.path)?;
        }
        Ok(())
    }
}

/// Removes the directory when a signal arrives, since a signal ends the process without running destructors. Other
/// programs are started with a signal mask of their own.
fn remove_on_signal(signals: SigSet, directory: PathBuf) {
    thread::spawn(move || {
        let Ok(signal) = signals.wait() else {
            return;
        };
        // A capture being created meanwhile can make the removal fail.
        for _ in 0..10 {
            if fs::remove_dir_all(&directory).is_ok() {
                break;
            }
        }
        std::process::exit(128 + signal as i32);
    });
}

/// Generated file and its known content.
struct Capture {
    path: PathBuf,
    name: String,
    truth: Truth,
}

impl Capture {
    /// Generates the capture and writes it back to disk, so that only the measured programs use the disk.
    fn make(directory: &Path, kind: Kind, scale: Scale, format: Format) -> Result<Self> {
        let extension = match format {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
        };
        let connections = scale.of(kind.connections())?;
        let name = format!("{}.{extension}", kind.name());
        let path = directory.join(format!("{}-{connections}.{extension}", kind.name()));
        let recipe = Recipe {
            connections,
            format,
            ..Recipe::new(kind)
        };
        let began = Instant::now();
        let truth = generate::generate(&path, recipe)?;
        let made_in = began.elapsed().as_secs_f64();
        File::open(&path)?.sync_all()?;
        println!(
            "{name}: {} MB, {} packets, {} connections, {} RSTs; made in {made_in:.2} s",
            truth.bytes / 1_000_000,
            truth.packets,
            truth.connections,
            truth.resets.len()
        );
        Ok(Self { path, name, truth })
    }

    fn path(&self) -> Result<&str> {
        let path = self.path.to_str();
        path.ok_or_else(|| "a path that is not UTF-8".into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Program {
    Two,
    One,
    Tcpdump,
    Dd,
    Tshark,
    Tcptrace,
}

impl Program {
    const OTHERS: [Self; 4] = [Self::Tcpdump, Self::Dd, Self::Tshark, Self::Tcptrace];
    /// Programs that take turns in each round.
    const ALTERNATING: [Self; 4] = [Self::Two, Self::One, Self::Tcpdump, Self::Dd];

    fn name(self) -> &'static str {
        match self {
            Self::Two => "two threads",
            Self::One => "one thread",
            Self::Tcpdump => "tcpdump",
            Self::Dd => "dd",
            Self::Tshark => "tshark",
            Self::Tcptrace => "tcptrace",
        }
    }

    fn command(self, capture: &Capture) -> Result<Vec<String>> {
        let path = capture.path()?;
        let input = format!("if={path}");
        let words = match self {
            Self::Two => vec![RSTPROOF, "analyze", "--threads", "2", path],
            Self::One => vec![RSTPROOF, "analyze", "--threads", "1", path],
            Self::Tcpdump => {
                let filter = "tcp[tcpflags] & tcp-rst != 0";
                vec!["tcpdump", "-r", path, "-w", "/dev/null", filter]
            }
            Self::Dd => vec!["dd", &input, "of=/dev/null", "bs=256k"],
            Self::Tshark => vec!["tshark", "-r", path, "-Y", "tcp.flags.reset==1"],
            Self::Tcptrace => vec!["tcptrace", "-n", path],
        };
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    /// Runs the program on the capture and returns the seconds it takes.
    fn time(self, capture: &Capture) -> Result<f64> {
        let words = self.command(capture)?;
        let began = Instant::now();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        let seconds = began.elapsed().as_secs_f64();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{words:?}: {}: {why}", output.status).into());
        }
        Ok(seconds)
    }
}

/// Programs that are installed.
struct Programs(Vec<Program>);

impl Programs {
    /// Finds the installed programs and prints the missing ones.
    fn installed() -> Result<Self> {
        let mut installed = vec![Program::Two, Program::One];
        let mut missing = Vec::new();
        for program in Program::OTHERS {
            let started = Command::new(program.name())
                .arg("--version")
                .stdin(Stdio::null())
                .output();
            match started {
                Ok(_) => installed.push(program),
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(program.name()),
                Err(error) => return Err(format!("{}: {error}", program.name()).into()),
            }
        }
        if !missing.is_empty() {
            println!("not installed, left out: {}", missing.join(", "));
        }
        Ok(Self(installed))
    }

    fn has(&self, program: Program) -> bool {
        self.0.contains(&program)
    }
}

/// Seconds of each round, by program.
struct Times(BTreeMap<Program, Vec<f64>>);

impl Times {
    /// Returns the median of the rounds' ratios; `None` if either program is not installed.
    fn ratio(&self, program: Program, than: Program) -> Option<f64> {
        let (seconds, others) = (self.0.get(&program)?, self.0.get(&than)?);
        let mut ratios: Vec<f64> = seconds.iter().zip(others).map(|(a, b)| a / b).collect();
        Some(median(&mut ratios))
    }
}

fn rounds(capture: &Capture, programs: &Programs) -> Result<Times> {
    let contenders = Program::ALTERNATING
        .into_iter()
        .filter(|it| programs.has(*it));
    let mut times = BTreeMap::<Program, Vec<f64>>::new();
    // The first round is not counted: it loads the capture and the programs into the page cache.
    for round in 0..=ROUNDS {
        for program in contenders.clone() {
            let seconds = program.time(capture)?;
            if round > 0 {
                times.entry(program).or_default().push(seconds);
            }
        }
    }
    for (program, seconds) in &mut times {
        let milliseconds = median(seconds.clone().as_mut_slice()) * 1e3;
        println!("  {:<12}{milliseconds:>8.1} ms", program.name());
    }
    Ok(Times(times))
}

/// Limit and target of a ratio.
#[derive(Clone, Copy)]
enum Bounds {
    AtMost(f64, f64),
    AtLeast(f64, f64),
}

impl Bounds {
    fn are_kept(self, ratio: f64) -> [bool; 2] {
        match self {
            Self::AtMost(must, aim) => [ratio <= must, ratio <= aim],
            Self::AtLeast(must, aim) => [ratio >= must, ratio >= aim],
        }
    }
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, f64, Bounds)>,
}

impl Table {
    fn add(&mut self, what: &str, ratio: Option<f64>, bounds: Bounds) {
        if let Some(ratio) = ratio {
            self.rows.push((what.to_owned(), ratio, bounds));
        }
    }

    fn add_kind(&mut self, kind: Kind, times: &Times) {
        let (two, one) = match kind {
            Kind::Mixed => ((0.60, 0.38), (1.0, 0.72)),
            Kind::Small => ((0.55, 0.35), (1.0, 0.72)),
            Kind::Flows => ((0.80, 0.58), (1.2, 0.95)),
        };
        let name = kind.name();
        for (program, (must, aim)) in [(Program::Two, two), (Program::One, one)] {
            let what = format!("{name}, {} / tcpdump", program.name());
            let ratio = times.ratio(program, Program::Tcpdump);
            self.add(&what, ratio, Bounds::AtMost(must, aim));
        }
        if kind == Kind::Mixed {
            let what = format!("{name}, two threads / dd");
            let ratio = times.ratio(Program::Two, Program::Dd);
            self.add(&what, ratio, Bounds::AtMost(1.4, 0.95));
        }
        let what = format!("{name}, one thread / two threads");
        let ratio = times.ratio(Program::One, Program::Two);
        self.add(&what, ratio, Bounds::AtLeast(1.6, 1.8));
    }

    /// Adds the ratio to a program so slow that one round is enough.
    fn add_once(
        &mut self,
        capture: &Capture,
        programs: &Programs,
        program: Program,
        (must, aim): (f64, f64),
    ) -> Result<()> {
        if !programs.has(program) {
            return Ok(());
        }
        let mut seconds = Vec::new();
        for _ in 0..ROUNDS {
            seconds.push(Program::Two.time(capture)?);
        }
        let ratio = program.time(capture)? / median(&mut seconds);
        let what = format!("{}, {} / two threads", capture.name, program.name());
        self.add(&what, Some(ratio), Bounds::AtLeast(must, aim));
        Ok(())
    }

    /// Adds the peak memory. The limit is 16 MiB and 256 bytes for each connection in each thread; the target is the
    /// same.
    fn add_peak(&mut self, capture: &Capture, threads: u32) -> Result<()> {
        let program = if threads == 1 {
            Program::One
        } else {
            Program::Two
        };
        let connections = f64::from(u32::try_from(capture.truth.connections)?);
        let allowed = 16.0 + 256.0 * connections * f64::from(threads) / f64::from(1 << 20);
        let what = format!("{}, {}: peak in MiB", capture.name, program.name());
        let peak = peak_in_mib(&program.command(capture)?)?;
        self.add(&what, Some(peak), Bounds::AtMost(allowed, allowed));
        Ok(())
    }

    fn print(&self) {
        println!("\n{:<44}{:>8}{:>9}{:>9}", "", "", "must", "aim");
        let mut missed = 0;
        for (what, ratio, bounds) in &self.rows {
            let (sign, must, aim) = match bounds {
                Bounds::AtMost(must, aim) => ('≤', must, aim),
                Bounds::AtLeast(must, aim) => ('≥', must, aim),
            };
            let verdict = match bounds.are_kept(*ratio) {
                [_, true] => "as aimed",
                [true, false] => "as it must",
                [false, false] => "MISSED",
            };
            missed += usize::from(verdict == "MISSED");
            println!("{what:<44}{ratio:>8.2}  {sign}{must:>6.2}  {sign}{aim:>6.2}  {verdict}");
        }
        println!("{} of {} missed", missed, self.rows.len());
    }
}

/// Returns the peak memory of a command in MiB. The kernel keeps one peak for all children of a process together, so
/// the command runs below a process of its own.
fn peak_in_mib(command: &[String]) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .arg(PEAK)
        .args(command)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    let kib: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(f64::from(kib) / 1024.0)
}

fn print_peak(command: &[&str]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("no program to run")?;
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
