//! Command line of `rstproof kernels`, evaluated: kernels to boot, trials to run there, and the results so far.

use std::time::Duration;

use crate::cli::run::pairs_of;
use crate::cli::{KernelsArgs, complain, scenario_named};
use crate::compare::document::Subject;
use crate::doctor::distribution::{Distribution, Program};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::host;
use crate::vm::kernel_image::KernelImage;
use crate::vm::qemu::{Arguments as CommandLine, Emulator, PROGRAM};
use rstproof_core::printable::printable;
use rstproof_core::scenario;

/// Kernels and trials to run, and the results so far.
pub(super) struct Work {
    pub(super) images: Vec<KernelImage>,
    /// Number of kernels, including the running one if that is requested.
    pub(super) kernels: usize,
    /// Kernel command line of all guests.
    pub(super) command_line: CommandLine,
    /// Arguments of `run` for all kernels.
    pub(super) arguments: Vec<String>,
    pub(super) emulator: Emulator,
    /// Release of the running kernel, until its trials are run; `None` if not requested.
    pub(super) running: Option<String>,
    /// Reports of the kernels that have ended.
    pub(super) subjects: Vec<Subject>,
    /// Worst exit code so far.
    pub(super) code: ExitCode,
}

impl Work {
    /// Evaluates the command line. A word is a scenario if one has that id, otherwise an image. Fails if no image can
    /// be booted or there is no emulator.
    pub(super) fn of(args: &KernelsArgs) -> Result<Self, Error> {
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
                // Neither a scenario nor a path: more likely a misspelled scenario than a missing file.
                scenario_named(name).map_err(|error| {
                    Error::Usage(format!("no file '{}', and {error}", printable(name)))
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
                "no kernel image given; scripts/fetch-kernels.sh downloads some"
            };
            return Err(Error::Usage(what.to_owned()));
        }
        let mut arguments = Vec::new();
        if args.all {
            if !scenarios.is_empty() {
                return Err(Error::Usage(
                    "--all runs every scenario; omit it, or the names of scenarios".to_owned(),
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
        let running = args.with_running.then(|| host::header().host.release);
        let command_line = CommandLine::new(bound(args), args.append.as_deref());
        let command_line =
            command_line.map_err(|why| Error::Usage(format!("invalid --append: {why}")))?;
        Ok(Self {
            kernels: images.len() + usize::from(args.with_running),
            images,
            command_line,
            arguments,
            emulator: Emulator::find().ok_or_else(no_emulator)?,
            running,
            subjects: Vec::new(),
            code,
        })
    }

    pub(super) fn failed(&mut self, why: &str) {
        self.code = self.code.worst(ExitCode::Failure);
        complain(why);
    }
}

pub(super) fn bound(args: &KernelsArgs) -> Duration {
    Duration::from_secs(args.timeout.into())
}

/// Returns the error for a missing emulator, with the command that installs it.
fn no_emulator() -> Error {
    let install = Distribution::here().install(Program::Qemu("x86_64"));
    Error::Privilege {
        missing: format!("{PROGRAM} is not on PATH, but it is needed to boot kernels"),
        remedy: install.map_or_else(
            || "install QEMU for x86-64".to_owned(),
            |install| format!("install it with `sudo {install}`"),
        ),
    }
}
