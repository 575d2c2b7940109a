//! Report on a capture, written to standard output while the capture is read.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::human::in_digits;
use super::renderer::{Item, Renderer, View};
use super::screen::FailureCounts;
use crate::cli::FailOn;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::human::LABEL;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Part, Summary, Totals};
use rstproof_core::file::TextClock;

/// Time after which the progress of a file is shown.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Writer that writes all bytes of a call or fails. [`anstream::AutoStream`] splits the bytes at escape sequences; if a
/// signal interrupts a call after the first part, a caller that retries would write that part twice.
pub(super) struct AtOnce<W>(W);

impl<W: Write> Write for AtOnce<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Standard output, buffered.
pub(super) enum Out {
    /// Output for people, with colours on a terminal.
    Styled(BufWriter<AtOnce<anstream::AutoStream<io::Stdout>>>),
    /// Output for programs.
    Plain(BufWriter<io::Stdout>),
}

impl Out {
    /// Capacity of the buffer in bytes.
    const ROOM: usize = 1 << 16;

    pub(super) fn open(is_for_people: bool) -> Self {
        if !is_for_people {
            return Self::Plain(BufWriter::with_capacity(Self::ROOM, io::stdout()));
        }
        let colours = anstream::ColorChoice::global();
        let styled = anstream::AutoStream::new(io::stdout(), colours);
        Self::Styled(BufWriter::with_capacity(Self::ROOM, AtOnce(styled)))
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Styled(out) => out.write(bytes),
            Self::Plain(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Styled(out) => out.flush(),
            Self::Plain(out) => out.flush(),
        }
    }
}

/// Standard output beside the progress bar.
struct Output {
    out: Out,
    /// First error of standard output; nothing is written after an error.
    failed: Option<io::Error>,
    bar: Option<ProgressBar>,
}

impl Output {
    /// Writes with the progress bar hidden, unless an earlier write has failed.
    fn write(&mut self, write: impl FnOnce(&mut Out) -> io::Result<()>) {
        if self.failed.is_none() {
            let out = &mut self.out;
            let written = match &self.bar {
                Some(bar) => bar.suspend(|| write(out)),
                None => write(out),
            };
            self.failed = written.err();
        }
    }
}

/// Report on one capture.
pub(super) struct Report {
    view: Box<dyn View>,
    output: Output,
    /// Heading with the name of the file, written before a list of failures.
    heading: Option<String>,
    /// True if the file is one of several.
    is_one_of_several: bool,
    /// True if each item is written as soon as it is known.
    is_live: bool,
    /// True if the capture is read to its end even if standard output fails, because the output file needs all of it.
    is_wanted: bool,
    began: Instant,
    length: Option<u64>,
}

impl Report {
    pub(super) fn new(
        renderer: &dyn Renderer,
        is_live: bool,
        heading: Option<String>,
        is_wanted: bool,
        (length, clock): (Option<u64>, TextClock),
    ) -> Self {
        Self {
            view: renderer.view(is_live, clock),
            output: Output {
                out: Out::open(renderer.is_for_people()),
                failed: None,
                bar: None,
            },
            is_one_of_several: heading.is_some(),
            heading,
            is_live,
            is_wanted,
            began: Instant::now(),
            length,
        }
    }

    /// Writes the end of the output, adds the capture to the total, and returns the first error of standard output.
    pub(super) fn end(
        &mut self,
        files: &FileNames,
        of: &Summary,
        problem: Option<&str>,
        total: &mut Totalled,
    ) -> Result<(), Error> {
        if let Some(bar) = self.output.bar.take() {
            bar.finish_and_clear();
        }
        let text = self.view.end(files, of, problem);
        // A page has a blank line, and pages of several captures are divided by one.
        let has_blank = |text: &Vec<u8>| text.windows(2).any(|it| it == b"\n\n");
        let is_page = self.is_one_of_several && text.as_ref().is_ok_and(has_blank);
        self.output.write(|out| {
            out.write_all(&text?)?;
            if is_page { writeln!(out) } else { Ok(()) }
        });
        self.output.write(Write::flush);
        total.add(of, self.view.counts());
        match self.output.failed.take() {
            None => Ok(()),
            Some(error) => Err(Error::output(error)),
        }
    }

    /// Writes the items of a part of the capture. Breaks if the rest is not needed.
    pub(super) fn take(&mut self, files: &FileNames, mut part: Part<'_, Item>) -> ControlFlow<()> {
        for followed in &part.followed {
            if let Some(item) = followed.item.and_then(|it| part.items.get_mut(it)) {
                item.add_preceded(files, &followed.preceded);
            }
        }
        let mut items = part.items.into_iter().peekable();
        if items.peek().is_some() {
            let (view, heading, is_live) = (&mut self.view, &mut self.heading, self.is_live);
            // Each text is written on its own: at the end of a capture there may be any number of items.
            self.output.write(|out| {
                for item in items {
                    let text = view.take(item, part.totals)?;
                    if text.is_empty() {
                        continue;
                    }
                    if let Some(heading) = heading.take() {
                        writeln!(out, "{heading}")?;
                    }
                    out.write_all(&text)?;
                }
                if is_live { out.flush() } else { Ok(()) }
            });
        }
        self.show_progress(part.position, part.totals);
        if self.output.failed.is_none() || self.is_wanted {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn show_progress(&mut self, position: u64, totals: &Totals) {
        if self.output.bar.is_none() {
            if self.began.elapsed() < PROGRESS_DELAY {
                return;
            }
            let bar = match self.length {
                Some(length) => ProgressBar::new(length),
                None => ProgressBar::new_spinner(),
            };
            // If the template cannot be parsed the default one is used.
            if let Ok(style) =
                ProgressStyle::with_template("[{bar:30}] {bytes}/{total_bytes}, {msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            self.output.bar = Some(bar);
        }
        if let Some(bar) = &self.output.bar {
            bar.set_message(format!("{} resets", totals.resets));
            bar.set_position(position);
        }
    }
}

/// Total of several captures.
#[derive(Debug, Default)]
pub(super) struct Totalled {
    captures: u64,
    packets: u64,
    connections: u64,
    failures: FailureCounts,
    /// Number of RSTs, and of connections that failed.
    found: (u64, u64),
}

impl Totalled {
    fn add(&mut self, of: &Summary, failures: FailureCounts) {
        let totals = &of.totals;
        self.found.0 += totals.resets;
        self.found.1 += of.tally.failures.values().sum::<u64>();
        self.captures += 1;
        self.packets += totals.packets;
        self.connections += totals.connections;
        self.failures += failures;
    }

    /// Returns the exit code, given what the command is to fail on.
    pub(super) fn code(&self, fail_on: Option<FailOn>) -> ExitCode {
        let (resets, failures) = self.found;
        let is_found = match fail_on {
            None => false,
            Some(FailOn::Reset) => resets > 0,
            Some(FailOn::Failure) => failures > 0,
        };
        if is_found {
            ExitCode::Found
        } else {
            ExitCode::Success
        }
    }

    /// Prints a line with the total, if there are several captures.
    pub(super) fn print(&self) -> Result<(), Error> {
        if self.captures < 2 {
            return Ok(());
        }
        let of = |number: u64, noun: &str| {
            let plural = if number == 1 { "" } else { "s" };
            format!("{} {noun}{plural}", in_digits(number))
        };
        let failures = self.failures;
        let mut kinds = vec![of(failures.resets, "reset")];
        if failures.icmp_errors > 0 {
            kinds.push(of(failures.icmp_errors, "ICMP error"));
        }
        if failures.others > 0 {
            kinds.push(of(failures.others, "other failure"));
        }
        let written = writeln!(
            anstream::stdout(),
            "{LABEL}all {} captures{LABEL:#}: {} in {}, {}",
            in_digits(self.captures),
            of(self.packets, "packet"),
            of(self.connections, "connection"),
            kinds.join(", ")
        );
        written.map_err(Error::output)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Writer that is interrupted before every successful write.
    struct Interrupted(Rc<RefCell<Vec<u8>>>, bool);

    impl Write for Interrupted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_signal_makes_nothing_come_twice() {
        let written = Rc::default();
        let raw: Box<dyn Write> = Box::new(Interrupted(Rc::clone(&written), false));
        let mut out = BufWriter::new(AtOnce(anstream::StripStream::new(raw)));
        out.write_all(b"\x1b[1mname\x1b[0m:\nmore \x1b[1mwords\x1b[0m\n")
            .unwrap();
        out.flush().unwrap();
        assert_eq!(written.borrow().as_slice(), b"name:\nmore words\n");
    }
}
