//! Kernel command line of guests.

use std::time::Duration;

use crate::vm::guest::{COMMAND, MARK};

/// Length of the kernel's command line buffer, including the terminating NUL (`COMMAND_LINE_SIZE`,
/// arch/x86/include/asm/setup.h).
const COMMAND_LINE_SIZE: usize = 2048;

/// Kernel command line that starts this program as a guest.
#[derive(Clone, Debug)]
pub struct Arguments(pub(super) String);

impl Arguments {
    /// Builds the command line, with `more` kernel arguments if given. Fails with a description of the problem if
    /// `more` would change the meaning of the other arguments or exceeds the length.
    pub fn new(bound: Duration, more: Option<&str>) -> Result<Self, &'static str> {
        let more = more.unwrap_or_default();
        check(more)?;
        // `panic=-1`: with QEMU's `-no-reboot` a panic ends the emulator at once.
        // `no_timer_check`: an emulated guest on a busy machine may get its first timer interrupts too late, and the
        // kernel would consider the timer broken ("IO-APIC + timer doesn't work!"; arch/x86/kernel/apic/io_apic.c).
        let line = format!(
            "console=ttyS0 panic=-1 quiet no_timer_check random.trust_cpu=on mitigations=off {MARK}{} {more} -- {COMMAND}",
            bound.as_secs()
        );
        if line.len() >= COMMAND_LINE_SIZE {
            return Err(
                "it is too long: the kernel takes 2047 bytes with the arguments that are always there",
            );
        }
        Ok(Self(line))
    }
}

/// Fails if these kernel arguments would change the meaning of those around them.
fn check(more: &str) -> Result<(), &'static str> {
    if more.contains(char::is_control) {
        return Err("it contains a control character");
    }
    if more.matches('"').count() % 2 == 1 {
        return Err(
            "its last quotation mark is not closed, so the kernel would read all that follows as one argument",
        );
    }
    if more.split_whitespace().any(|word| word == "--") {
        return Err("what follows -- is for the kernel's first process, and that is this program");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `no_timer_check` is an argument of the kernel: after `--` it would be one of the first process.
    #[test]
    fn no_guest_tests_its_timer() {
        let Ok(arguments) = Arguments::new(Duration::from_secs(1), Some("x=1")) else {
            panic!("these are good arguments")
        };
        let (kernels, _) = arguments.0.split_once(" -- ").unwrap();
        assert!(
            kernels.split(' ').any(|it| it == "no_timer_check"),
            "{kernels}"
        );
    }
}
