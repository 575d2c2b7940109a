//! Command line: parses the arguments and runs the subcommands. Only this module and its submodules use clap.

mod analyze;
mod check;
mod compare;
mod console;
mod doctor;
mod explain;
mod generate;
mod kernels;
mod list;
mod progress;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use nix::sys::prctl;

use crate::cli::analyze::ladder::Which;
use crate::cli::analyze::screen::GroupBy;
use crate::cli::analyze::selection::Selection;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::{self, RetainedPrivileges};
use crate::runner::child;
use crate::sys;
use crate::vm::guest;
use rstproof_core::printable::printable;
use rstproof_core::scenario::{self, Family, Scenario};

/// Find out which TCP RST (if any) caused a socket error.
///
/// Reproduces TCP resets on a private loopback, captures them, and proves which RST caused which system call to
/// fail. Explains every RST in existing captures.
#[derive(Debug, Parser)]
#[command(name = "rstproof", version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colours; `NO_COLOR` is honoured
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, value_name = "WHEN", display_order = 100)]
    color: Color,
}

const EXIT_CODES: &str = "Exit codes: 0 all confirmed or skipped; 1 at least one refuted; 2 usage or environment error; 3 at \
                          least one inconclusive; 130, 143 ended by SIGINT, SIGTERM.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Reproduce resets and prove what caused them
    Run(RunArgs),
    /// Verify saved evidence (no root, no network)
    Check(CheckArgs),
    /// Explain every RST in a pcap or pcapng file (no root)
    Analyze(AnalyzeArgs),
    /// Compare saved reports across kernels and explain the differences (no root)
    Compare(CompareArgs),
    /// Boot other kernels in QEMU, run scenarios there, and compare (no root)
    Kernels(KernelsArgs),
    /// List the scenarios
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t = ListFormat::Human)]
        format: ListFormat,
    },
    /// Explain a scenario: what happens, why, and how to fix it
    Explain {
        /// Id of the scenario, as `rstproof list` shows it
        scenario: String,
    },
    /// Hold the socket on standard input until killed (started by `run` as a child process)
    #[command(name = child::COMMAND, hide = true)]
    HoldSocket {
        /// Process that started it
        parent: i32,
    },
    /// Check whether this system can run rstproof, and how to fix what is missing
    Doctor(DoctorArgs),
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a man page to standard output
    Man {
        /// Command to document [default: rstproof itself]
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Scenarios to run (see `rstproof list`) [default: all that are not slow]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Run the slow scenarios too: those that wait for timers of a second or more
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Interface to capture on
    #[arg(short, long, default_value = "lo", value_name = "IF", value_parser = NonEmptyStringValueParser::new())]
    interface: String,
    /// Save the evidence of each trial (packets and calls, for `check`) and report.json in this directory
    #[arg(short, long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Save packets as classic pcap instead of pcapng (without comments)
    #[arg(long, requires = "write")]
    pcap: bool,
    /// BPF filter, as for tcpdump: only matching packets are shown and saved. A trial is inconclusive if the filter
    /// hides any of its packets
    #[arg(short, long, value_name = "EXPR")]
    filter: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Address family
    #[arg(long, value_enum, default_value_t = FamilyArg::Both)]
    family: FamilyArg,
    /// Run each trial this many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Number of workers, each with its own network namespace and capture [default: one per core; 1 with --host]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Port that servers listen on; the next port stays closed
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65534))]
    port: u16,
    /// Use this host's own loopback instead of a private network namespace; needs `CAP_NET_RAW`
    #[arg(long)]
    host: bool,
    /// Overwrite evidence of the same trials in the directory; other files stay
    #[arg(long)]
    force: bool,
    /// Show the packet ladder of every trial (human format)
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Show only trials that are not confirmed (human format)
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Directories written by `run -w`, or the capture or .json file of a single trial
    #[arg(value_name = "EVIDENCE", required = true)]
    evidence: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Show the packet ladder of every trial (human format)
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Show only trials that are not confirmed (human format)
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXIT_CODES)]
struct CompareArgs {
    /// Reports: files written by `run --format json`, directories written by `run -w` or `kernels -w`
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    format: CompareFormat,
    /// Also show what is identical everywhere
    #[arg(long)]
    all: bool,
}

const COMPARE_EXIT_CODES: &str = "Exit codes: 0 identical behaviour; 1 system calls return different results, or different RSTs are \
                                  sent; 2 usage error, or a report could not be read; 3 nothing to compare: no two \
                                  reports have a result of the same scenario.";

#[derive(Debug, Args)]
#[command(after_help = KERNELS_EXIT_CODES)]
struct KernelsArgs {
    /// Kernel images (vmlinuz, bzImage) or directories of unpacked kernel packages; and scenarios to run
    /// (see `rstproof list`) [default: all that are not slow]
    #[arg(value_name = "IMAGE|SCENARIO", required = true)]
    words: Vec<PathBuf>,
    /// Run the slow scenarios too
    #[arg(long)]
    all: bool,
    /// Address family
    #[arg(long, value_enum, default_value_t = FamilyArg::Both)]
    family: FamilyArg,
    /// Run each trial this many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Save the evidence, report and console output of each kernel in a subdirectory of this directory
    #[arg(short, long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Overwrite existing evidence
    #[arg(long)]
    force: bool,
    /// Also run the trials on the running kernel of this host
    #[arg(long)]
    with_running: bool,
    /// Number of kernels that run at the same time [default: as many as cores and memory allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Extra kernel command-line arguments
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    append: Option<String>,
    /// Memory of each guest, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    memory: u32,
    /// Time limit for the trials of each kernel, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
    /// Accelerator: `auto` uses KVM if it works, and emulation otherwise
    #[arg(long, value_enum, default_value_t = AcceleratorArg::Auto, value_name = "WHAT")]
    accel: AcceleratorArg,
    /// Output format
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    format: CompareFormat,
}

const KERNELS_EXIT_CODES: &str = "Exit codes: 0 all confirmed, and identical behaviour; 1 at least one refuted, or behaviour differs; \
                                  2 usage error, or a kernel gave no result; 3 at least one inconclusive; 130, 143 \
                                  ended by SIGINT, SIGTERM.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Human,
    Markdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    Human,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
#[command(after_help = ANALYZE_EXIT_CODES)]
struct AnalyzeArgs {
    /// Captures: pcap or pcapng, optionally compressed (gzip, zstd, lz4); directories of captures; `-` for standard input,
    /// also while tcpdump -U -w - writes it
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Analyze only packets matching this BPF filter (note: `tcp[tcpflags]` matches IPv4 only)
    #[arg(short, long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Analyze the connections inside tunnels: IP-in-IP, GRE, VXLAN, Geneve, Teredo
    #[arg(long)]
    tunnels: bool,
    /// Write all failed connections, or with --join all frames, to OUT (pcapng) with explanatory packet comments; cannot be
    /// used with `-`
    #[arg(short, long, value_name = "OUT")]
    write: Option<PathBuf>,
    /// Show one connection, segment by segment: the number of any of its frames, or its endpoints as ADDR:PORT-ADDR:PORT
    #[arg(long, value_name = "CONNECTION", conflicts_with_all = ["write", "quiet"])]
    connection: Option<Which>,
    /// Overwrite OUT if it exists
    #[arg(long, requires = "write")]
    force: bool,
    /// Number of reader threads (does not affect results) [default: one per core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Read each file by itself. Otherwise files that continue each other (rotated or split captures) are read as one
    #[arg(long)]
    separate: bool,
    /// Read captures that were made at several points at the same time as one. Their clocks may differ
    #[arg(long, conflicts_with_all = ["separate", "connection"])]
    join: bool,
    /// Print only the summary of each file
    #[arg(short, long)]
    quiet: bool,
    /// Print everything known about each failure
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// List every failure. Otherwise more than 10 are counted in groups
    #[arg(long, conflicts_with_all = ["quiet", "group_by", "connection"])]
    list: bool,
    /// Count failures in groups by this property
    #[arg(long, value_enum, value_name = "PROPERTY", conflicts_with_all = ["quiet", "verbose", "connection"])]
    group_by: Option<GroupBy>,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    utc: bool,
    /// Exit with code 1 if a capture holds an RST, or a connection that failed, with or without an RST
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "connection")]
    fail_on: Option<FailOn>,
    /// Output format
    #[arg(long, value_enum, default_value_t = AnalyzeFormat::Human)]
    format: AnalyzeFormat,
    #[command(flatten)]
    selection: Selection,
}

/// What `analyze` fails on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any RST
    Reset,
    /// Any connection that failed
    Failure,
}

const ANALYZE_EXIT_CODES: &str = "Exit codes: 0 every file was read completely; 1 it holds what --fail-on names; 2 usage error, or part of a file could not be read \
                                  (everything before that part was analyzed); 130 ended by SIGINT.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AnalyzeFormat {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AcceleratorArg {
    Auto,
    Kvm,
    Tcg,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXIT_CODES)]
struct DoctorArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = DoctorFormat::Human)]
    format: DoctorFormat,
}

const DOCTOR_EXIT_CODES: &str =
    "Exit codes: 0 trials can run here; 2 they cannot; 130, 143 ended by SIGINT, SIGTERM.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DoctorFormat {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyArg {
    Ipv4,
    Ipv6,
    Both,
}

impl FamilyArg {
    fn families(self) -> Vec<Family> {
        match self {
            Self::Ipv4 => vec![Family::Ipv4],
            Self::Ipv6 => vec![Family::Ipv6],
            Self::Both => vec![Family::Ipv4, Family::Ipv6],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Runs the command that the arguments give and returns the exit code. The calling thread must be the only one of the
/// process.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    sys::raise_stack_limit();
    sys::share_heap_if_limited();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // A guest's first process gets the kernel's command line, which clap could not parse.
    if guest::is_meant(arguments.iter().cloned()) {
        guest::guest();
    }
    sys::settle_signals();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return did_not_parse(&error),
    };
    anstream::ColorChoice::write_global(match cli.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    });
    match carry_out(&cli.command) {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does: no error.
        Err(Error::OutputClosed) => ExitCode::Success,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::Failure
        }
    }
}

/// Prevents child processes from gaining privileges (`PR_SET_NO_NEW_PRIVS`, Linux 3.5). Does nothing for `kernels` with
/// `--with-running`: its child is a `run` of this program, whose file may have capabilities.
fn gain_no_privileges(command: &Command) {
    if !matches!(command, Command::Kernels(args) if args.with_running) {
        // A failure is ignored: this is only a second line of defence.
        let _ = prctl::set_no_new_privs();
    }
}

fn carry_out(command: &Command) -> Result<ExitCode, Error> {
    gain_no_privileges(command);
    let needs_some = match command {
        Command::Run(_) | Command::Doctor(_) | Command::Kernels(_) => true,
        Command::Analyze(args) => args.write.is_some(),
        _ => false,
    };
    if !needs_some {
        // The other commands need no privileges, and the files that they read are untrusted.
        lab::drop_privileges(RetainedPrivileges::default())?;
    }
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Analyze(args) => analyze::analyze(args),
        Command::Compare(args) => compare::compare(args),
        Command::Kernels(args) => kernels::kernels(args),
        Command::List { format } => list::list(*format),
        Command::Explain { scenario } => explain::explain(scenario),
        Command::HoldSocket { parent } => child::hold(*parent).map(|()| ExitCode::Success),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Completions { shell } => generate::completions(*shell, &mut Cli::command()),
        Command::Man { command } => generate::man(Cli::command(), command.as_deref()),
    }
}

/// Returns a usage error if options that shape the human format (`shapes`) are combined with another format.
fn refuse_shaping(format: Format, shapes: bool) -> Result<(), Error> {
    if shapes && format != Format::Human {
        return Err(Error::Usage(
            "--quiet and --verbose apply only to --format human".to_owned(),
        ));
    }
    Ok(())
}

/// Prints one line on standard error. A failure is ignored, because it cannot be reported anywhere.
fn complain(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stderr(), "rstproof: {}", printable(message));
}

/// Prints the reason why clap stopped and returns the exit code. Help and version go to standard output; an error is
/// one line on standard error, with clap's tip if there is one.
fn did_not_parse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => ExitCode::Success,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::Success,
            Err(_) => ExitCode::Failure,
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::Failure;
    }
    complain(&one_line(&error.to_string()));
    ExitCode::Failure
}

/// Returns clap's error message as one line, without the usage.
fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let mut line = first.trim_start_matches("error: ").to_owned();
    // A list that the first line announces belongs to the message, and so does a tip. Usage is left to --help.
    let announced = line.ends_with(':');
    for more in lines {
        if more.starts_with("Usage:") || more.starts_with("For more information") {
            break;
        }
        if let Some(tip) = more.strip_prefix("tip: ") {
            line.push_str("; ");
            line.push_str(tip);
        } else if !more.is_empty() && (announced || more.starts_with("[possible values")) {
            line.push(' ');
            line.push_str(more);
        }
    }
    line
}

/// Returns the scenario with this id, or a usage error that suggests the most similar id.
fn scenario_named(id: &str) -> Result<&'static Scenario, Error> {
    if let Some(scenario) = scenario::find(id) {
        return Ok(scenario);
    }
    let closest = scenario::ALL
        .iter()
        .map(|scenario| (strsim::jaro_winkler(id, scenario.id), scenario.id))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.7);
    let meant = closest.map_or_else(String::new, |(_, id)| format!("; did you mean '{id}'?"));
    Err(Error::Usage(format!(
        "unknown scenario '{id}'{meant} (`rstproof list` shows all scenarios)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
