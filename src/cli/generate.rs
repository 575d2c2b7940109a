//! `rstproof completions` and `rstproof man`: generated from the definition of the command line, so always up to date.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use crate::error::Error;
use crate::exit_code::ExitCode;

pub(super) fn completions(shell: Shell, command: &mut Command) -> Result<ExitCode, Error> {
    // Into memory: clap_complete panics if it cannot write, and standard output may be closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "rstproof", &mut script);
    print(&script)
}

/// Prints the man page of the program, or of one of its commands. Fails if there is no such command.
pub(super) fn man(command: Command, of: Option<&str>) -> Result<ExitCode, Error> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let command = match of {
        None => &command,
        Some(name) => command
            .find_subcommand(name)
            .ok_or_else(|| Error::Usage(format!("there is no command '{name}'")))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(Error::output)?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<ExitCode, Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(Error::output)?;
    Ok(ExitCode::Success)
}
