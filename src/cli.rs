//! The command line: what was typed, turned into what was meant. The only place that names clap.

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
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::{self, Kept};
use crate::runner::child;
use crate::sys;
use crate::vm::guest;
use rstproof_core::printable::printable;
use rstproof_core::scenario::{self, Family, Scenario};

/// Proves which TCP RST a call's error came from, or that none had a part in it.
///
/// Runs scripts of socket calls over loopback while capturing what they cause, and proves from both that the RST on
/// the wire is what a call's error came from, or that there was none.
#[derive(Debug, Parser)]
#[command(name = "rstproof", version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colours; `NO_COLOR` is honoured
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, value_name = "WHEN", display_order = 100)]
    color: Color,
}

const EXIT_CODES: &str = "Exit codes: 0 all confirmed or skipped; 1 something refuted; 2 usage error, or the tool \
                          could not work; 3 something inconclusive; 130, 143 ended by SIGINT, SIGTERM.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and prove what broke their connections
    Run(RunArgs),
    /// Judge saved evidence again, from its files alone: no privilege and no network is needed
    Check(CheckArgs),
    /// Explain every reset in captures that others made: no privilege is needed
    Analyze(AnalyzeArgs),
    /// Tell what differs between saved reports, from kernel to kernel, and why: no privilege is needed
    Compare(CompareArgs),
    /// Boot other kernels in QEMU, run scenarios there, and compare: no privilege is needed
    Kernels(KernelsArgs),
    /// List the scenarios
    List,
    /// Tell the story of a scenario: what happens, why, what other systems do, what to do about it
    Explain {
        /// Id of the scenario, as `rstproof list` shows it
        scenario: String,
    },
    /// Wait to be killed, holding the socket that is standard input: what `run` starts as a child process
    #[command(name = child::COMMAND, hide = true)]
    HoldSocket {
        /// Process that started it
        parent: i32,
    },
    /// Show what this host can witness, what is missing, and the command that mends it
    Doctor(DoctorArgs),
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a man page to standard output
    Man {
        /// The command it is about; none means the program itself
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Scenarios to run, as `rstproof list` shows them; none means all that are not slow
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Run the slow scenarios, too: those that wait for timers of a second or more
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Interface to capture on
    #[arg(short, long, default_value = "lo", value_name = "IF", value_parser = NonEmptyStringValueParser::new())]
    interface: String,
    /// Save each trial's frames and calls, to be judged again by `check`, and report.json, in this directory
    #[arg(short, long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Save frames as classic pcap instead of pcapng; comments are lost
    #[arg(long, requires = "write")]
    pcap: bool,
    /// BPF filter, as for tcpdump: only what it lets through is shown and saved. A trial of which it hides
    /// anything is inconclusive
    #[arg(short, long, value_name = "EXPR")]
    filter: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Address family
    #[arg(long, value_enum, default_value_t = FamilyArg::Both)]
    family: FamilyArg,
    /// Run each trial this many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Workers, each with a namespace and a capture of its own [default: one per core; 1 with --host]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Port that servers listen on; the one after it stays closed
    #[arg(long, default_value_t = 8080, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65534))]
    port: u16,
    /// Use this host's own loopback instead of a private network namespace; needs `CAP_NET_RAW`
    #[arg(long)]
    host: bool,
    /// Overwrite evidence that the directory holds already; files of other trials stay
    #[arg(long)]
    force: bool,
    /// Show the ladder of every trial (human form)
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Show only what is not confirmed (human form)
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Directories that `run -w` wrote, or of single trials the capture or its .json
    #[arg(value_name = "EVIDENCE", required = true)]
    evidence: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Show the ladder of every trial (human form)
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Show only what is not confirmed (human form)
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXIT_CODES)]
struct CompareArgs {
    /// Reports: files that `run --format json` wrote, directories that `run -w` or `kernels -w` wrote
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    format: CompareFormat,
    /// Show what is the same everywhere, too
    #[arg(long)]
    all: bool,
}

const COMPARE_EXIT_CODES: &str = "Exit codes: 0 the same behaviour everywhere; 1 calls end otherwise or other RSTs \
                                  are sent; 2 usage error, or a report could not be read.";

#[derive(Debug, Args)]
#[command(after_help = KERNELS_EXIT_CODES)]
struct KernelsArgs {
    /// Kernel images (vmlinuz, bzImage), directories of unpacked packages; and scenarios to run, as `rstproof list`
    /// shows them, none means all that are not slow
    #[arg(value_name = "IMAGE|SCENARIO", required = true)]
    words: Vec<PathBuf>,
    /// Run the slow scenarios, too
    #[arg(long)]
    all: bool,
    /// Address family
    #[arg(long, value_enum, default_value_t = FamilyArg::Both)]
    family: FamilyArg,
    /// Run each trial this many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Save each kernel's evidence, its report and what it said on its console, in a directory of its own in this one
    #[arg(short, long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Overwrite evidence that is there already
    #[arg(long)]
    force: bool,
    /// Run the trials on this host's own kernel as well
    #[arg(long)]
    with_running: bool,
    /// Kernels that run side by side [default: as many as there are cores and memory for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// More arguments for the kernels
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    append: Option<String>,
    /// Memory of each, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    memory: u32,
    /// Most seconds that the trials of each may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
    /// What runs them: `auto` takes KVM if it proves to work, and else emulates
    #[arg(long, value_enum, default_value_t = AcceleratorArg::Auto, value_name = "WHAT")]
    accel: AcceleratorArg,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = CompareFormat::Human)]
    format: CompareFormat,
}

const KERNELS_EXIT_CODES: &str = "Exit codes: 0 all confirmed, and the same behaviour everywhere; 1 something \
                                  refuted, or behaviour differs; 2 usage error, or a kernel gave no result; 3 \
                                  something inconclusive; 130, 143 ended by SIGINT, SIGTERM.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    Human,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
#[command(after_help = ANALYZE_EXIT_CODES)]
struct AnalyzeArgs {
    /// Captures: pcap or pcapng, also compressed (gzip, zstd, lz4); directories of them; `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Look only at frames that this filter lets through, in libpcap's syntax; `tcp[tcpflags]` means IPv4 alone
    #[arg(short, long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Look for connections inside of tunnels: IP-in-IP, GRE, VXLAN, Geneve, Teredo
    #[arg(long)]
    tunnels: bool,
    /// Write the frames of all connections that were reset to this pcapng, each frame that matters with comments; reads
    /// twice, so not from standard input
    #[arg(short, long, value_name = "OUT")]
    write: Option<PathBuf>,
    /// Show one connection, segment by segment: by the number of any of its frames, or between two ends, as ADDR:PORT-ADDR:PORT
    #[arg(long, value_name = "CONNECTION", conflicts_with_all = ["write", "quiet"])]
    connection: Option<Which>,
    /// Overwrite the file that is written to
    #[arg(long, requires = "write")]
    force: bool,
    /// Threads that read side by side; the answer is the same for any number [default: as many as there are cores, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Say only what each capture amounts to
    #[arg(short, long)]
    quiet: bool,
    /// Say all that is known of each reset
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = AnalyzeFormat::Human)]
    format: AnalyzeFormat,
}

const ANALYZE_EXIT_CODES: &str = "Exit codes: 0 all captures were read to their ends; 2 usage error, or something could \
                                  not be read: what came before it was.";

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
    /// Form of the output
    #[arg(long, value_enum, default_value_t = DoctorFormat::Human)]
    format: DoctorFormat,
}

const DOCTOR_EXIT_CODES: &str = "Exit codes: 0 trials can run here, whatever else is missing; 2 they cannot; 130, 143 ended by SIGINT, SIGTERM.";

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

/// Does what the command line says. The thread that calls this must be the only one.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
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
        Err(Error::OutputClosed) => ExitCode::Success,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::Failure
        }
    }
}

/// Keeps this process from gaining privileges by the programs that it starts (`PR_SET_NO_NEW_PRIVS`, Linux 3.5), unless it
/// starts one that may have to: a `run` of its own, whose file may have capabilities.
fn gain_no_privileges(command: &Command) {
    if !matches!(command, Command::Kernels(args) if args.with_running) {
        // Where that cannot be had nothing is lost but a second line of defence.
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
        // Nothing else needs any, and files of strangers are read.
        lab::drop_privileges(Kept::default())?;
    }
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Analyze(args) => analyze::analyze(args),
        Command::Compare(args) => compare::compare(args),
        Command::Kernels(args) => kernels::kernels(args),
        Command::List => list::list(),
        Command::Explain { scenario } => explain::explain(scenario),
        Command::HoldSocket { parent } => child::hold(*parent).map(|()| ExitCode::Success),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Completions { shell } => generate::completions(*shell, &mut Cli::command()),
        Command::Man { command } => generate::man(Cli::command(), command.as_deref()),
    }
}

/// What shapes the human form has no meaning in another one.
fn refuse_shaping(format: Format, shapes: bool) -> Result<(), Error> {
    if shapes && format != Format::Human {
        return Err(Error::Usage(
            "--quiet and --verbose shape the human form; leave them away with any other".to_owned(),
        ));
    }
    Ok(())
}

/// One line on standard error. Nobody is left to tell if that fails.
fn complain(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stderr(), "rstproof: {}", printable(message));
}

/// Help and version go to standard output; an error is one line, with clap's tip if it has one.
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

fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let mut line = first.trim_start_matches("error: ").to_owned();
    // Lists that the first line announces, and what to try instead; usage is for --help.
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

/// The scenario of this id, or an error that names the one that was probably meant.
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
        "there is no scenario '{id}'{meant} (`rstproof list` shows them all)"
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
