//! `rstproof analyze`: every connection of a capture, and every RST explained.

mod output;

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use self::output::Output;
use super::{AnalyzeArgs, AnalyzeFormat, complain};
use crate::analyze::batch::Wanted;
use crate::analyze::excerpt::Excerpt;
use crate::analyze::ladder::{Ladder, Which};
use crate::analyze::pieces::{PIECE, Source, Stopped, Taker, read_all};
use crate::analyze::table::{Connection, Listener, MOST_CONNECTIONS, Table, Told, Totals};
use crate::analyze::tally::Tally;
use crate::analyze::{human, json};
use crate::capture::StoredFilter;
use crate::error::{Error, reason};
use crate::exit_code::ExitCode;
use crate::file::{Input, inputs};
use crate::report::human::printable;

/// More threads make nothing faster: one at a time takes in what all have seen.
const MOST_THREADS: usize = 4;

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

/// What takes longer than this has its progress shown.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn analyze(args: &AnalyzeArgs) -> Result<ExitCode, Error> {
    let threads = args.threads.map_or_else(
        || {
            available_parallelism()
                .map_or(1, usize::from)
                .min(MOST_THREADS)
        },
        usize::from,
    );
    let wanted = Wanted {
        inside_tunnels: args.tunnels,
        filter: args.filter.clone().filter(|it| !it.trim().is_empty()),
        ..Wanted::default()
    };
    if let Some(filter) = &wanted.filter {
        // What does not compile for Ethernet is no filter; for other links it may have no meaning.
        StoredFilter::new(filter, ETHERNET)?;
    }
    if let Some(which) = args.connection {
        if args.format != AnalyzeFormat::Human {
            let text = "--connection is for people; the form for machines has all connections";
            return Err(Error::Usage(text.to_owned()));
        }
        let mut code = ExitCode::Success;
        for input in inputs(&args.files)? {
            let shown = input.and_then(|input| show(which, input, threads, &wanted));
            match shown {
                Ok(()) => {}
                Err(error @ (Error::OutputClosed | Error::Output(_))) => return Err(error),
                Err(error) => {
                    code = code.worst(ExitCode::Failure);
                    complain(&error.to_string());
                }
            }
        }
        return Ok(code);
    }
    let mut output = match &args.write {
        Some(path) => Some(Output::begin(path, args)?),
        None => None,
    };
    let mut code = ExitCode::Success;
    let mut closed = None;
    for input in inputs(&args.files)? {
        let one = input.and_then(|input| one(args, input, threads, &wanted, output.as_mut()));
        match one {
            Ok(()) => {}
            // Nobody reads on, but the file is wanted.
            Err(Error::OutputClosed) if output.is_some() => closed = Some(Error::OutputClosed),
            Err(error @ (Error::OutputClosed | Error::Output(_))) => return Err(error),
            Err(error) if output.as_ref().is_some_and(Output::has_failed) => return Err(error),
            Err(error) => {
                code = code.worst(ExitCode::Failure);
                complain(&error.to_string());
            }
        }
    }
    if let Some(output) = output {
        output.end(args)?;
    }
    match closed {
        Some(error) if code == ExitCode::Success => Err(error),
        _ => Ok(code),
    }
}

/// One capture.
fn one(
    args: &AnalyzeArgs,
    mut input: Input,
    threads: usize,
    wanted: &Wanted,
    mut output: Option<&mut Output>,
) -> Result<(), Error> {
    if let Some(output) = &mut output {
        output.refuse(&input)?;
    }
    let path = input.path().to_owned();
    let name = printable(&path.to_string_lossy());
    let report = Report {
        args,
        name: name.clone(),
        out: BufWriter::with_capacity(
            1 << 16,
            anstream::AutoStream::new(io::stdout(), anstream::ColorChoice::global()),
        ),
        tally: Tally::default(),
        failed: None,
        wants_heading: args.files.len() > 1 || args.files.iter().any(|it| it.is_dir()),
        began: Instant::now(),
        bar: None,
        length: input.length(),
        excerpt: output.is_some().then(|| Excerpt::new(&name)),
    };
    let mut table = Table::new(report, MOST_CONNECTIONS);
    let read = read(&mut input, threads, wanted, &mut table);
    table.end();
    let problem = read.as_ref().err().map(problem);
    let position = match &read {
        Ok(position) | Err(Stopped::Io(_, position) | Stopped::Unwanted(position)) => *position,
        Err(Stopped::Malformed(malformed)) => malformed.offset,
    };
    let totals = table.totals;
    let mut report = table.listener;
    let said = report.end(&totals, position, problem.as_deref());
    if let (Some(output), Some(excerpt)) = (output, &report.excerpt) {
        output.copy(excerpt, input, wanted)?;
    }
    said?;
    match problem {
        None => Ok(()),
        Some(problem) => Err(not_whole(path, &problem, totals.packets)),
    }
}

/// One connection of a capture, segment by segment.
fn show(which: Which, mut input: Input, threads: usize, wanted: &Wanted) -> Result<(), Error> {
    let path = input.path().to_owned();
    let stdout = anstream::AutoStream::new(io::stdout(), anstream::ColorChoice::global());
    let mut out = BufWriter::new(stdout);
    let mut written = Ok(());
    let write = |text: &str| {
        if written.is_ok() {
            written = out.write_all(text.as_bytes());
        }
    };
    let ladder = Ladder::new(&printable(&path.to_string_lossy()), which, write);
    let mut table = Table::new(ladder, MOST_CONNECTIONS);
    let read = read(&mut input, threads, wanted, &mut table);
    table.end();
    let (told, totals) = (table.listener.told, table.totals);
    written.and_then(|()| out.flush()).map_err(Error::output)?;
    if let Err(stopped) = read {
        return Err(not_whole(path, &problem(&stopped), totals.packets));
    }
    if told == 0 {
        let connections = totals.connections;
        let reason = match which {
            Which::Number(number) => {
                format!("there is no connection {number}: it has {connections}")
            }
            Which::Between(one, other) => {
                format!("there is no connection between {one} and {other}")
            }
        };
        return Err(Error::File {
            action: "show what is asked for of",
            path,
            reason,
        });
    }
    Ok(())
}

/// Reads a capture to its end, or as far as it can be read.
fn read(
    input: &mut Input,
    threads: usize,
    wanted: &Wanted,
    table: &mut impl Taker,
) -> Result<u64, Stopped> {
    if let Some((file, length)) = input.file() {
        let file = Source::File(file, length);
        return read_all(&file, threads, PIECE, wanted, table);
    }
    let stream = Source::Stream(Mutex::new(input));
    read_all(&stream, threads, PIECE, wanted, table)
}

fn problem(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Malformed(malformed) => malformed.to_string(),
        Stopped::Io(error, position) => format!("byte {position}: {}", reason(error)),
        Stopped::Unwanted(position) => format!("byte {position}: nobody reads what is told of it"),
    }
}

fn not_whole(path: PathBuf, problem: &str, packets: u64) -> Error {
    Error::File {
        action: "read all of",
        path,
        reason: format!("{problem}; what came before it, {packets} packets, was read"),
    }
}

/// What is written while a capture is read.
struct Report<'a, W: Write> {
    args: &'a AnalyzeArgs,
    name: String,
    out: BufWriter<W>,
    tally: Tally,
    /// Why nothing can be written any more.
    failed: Option<io::Error>,
    /// Whether it has to be said which file RSTs are in, before the first of them.
    wants_heading: bool,
    began: Instant,
    bar: Option<ProgressBar>,
    length: Option<u64>,
    /// What is to be written to a file.
    excerpt: Option<Excerpt>,
}

impl<W: Write> Report<'_, W> {
    fn write(&mut self, write: impl FnOnce(&mut BufWriter<W>, &str) -> io::Result<()>) {
        if self.failed.is_none() {
            let out = &mut self.out;
            let written = match &self.bar {
                Some(bar) => bar.suspend(|| write(out, &self.name)),
                None => write(out, &self.name),
            };
            self.failed = written.err();
        }
    }

    fn take(&mut self, connection: &Connection<'_>, resets: &[Told]) {
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.resets(resets);
        }
        for told in resets {
            self.tally.reset(connection, told);
            match self.args.format {
                AnalyzeFormat::Json => {
                    self.write(|out, name| json::reset(out, name, connection, told));
                }
                AnalyzeFormat::Human if self.args.quiet => {}
                AnalyzeFormat::Human => {
                    let mut text = human::reset(connection, told, self.args.verbose);
                    if std::mem::take(&mut self.wants_heading) {
                        text = format!("{}\n{text}", human::heading(&self.name));
                    }
                    self.write(|out, _| out.write_all(text.as_bytes()));
                }
            }
        }
    }

    fn end(&mut self, totals: &Totals, position: u64, problem: Option<&str>) -> Result<(), Error> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let tally = std::mem::take(&mut self.tally);
        match self.args.format {
            AnalyzeFormat::Json => {
                self.write(|out, name| json::summary(out, name, totals, &tally, position, problem));
            }
            AnalyzeFormat::Human => {
                let text = human::summary(&self.name, totals, &tally);
                let text = if totals.resets > 0 && !self.args.quiet {
                    format!("\n{text}")
                } else {
                    text
                };
                self.write(|out, _| out.write_all(text.as_bytes()));
            }
        }
        self.write(|out, _| out.flush());
        match self.failed.take() {
            None => Ok(()),
            Some(error) => Err(Error::output(error)),
        }
    }
}

impl<W: Write + Send> Listener for Report<'_, W> {
    fn connection(&mut self, connection: &Connection<'_>, resets: &[Told]) {
        self.tally.connection(connection);
        if self.args.format == AnalyzeFormat::Json {
            self.write(|out, name| json::connection(out, name, connection));
        }
        self.take(connection, resets);
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.connection(connection);
        }
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[Told]) {
        self.take(connection, resets);
    }

    fn progress(&mut self, position: u64, totals: &Totals) -> ControlFlow<()> {
        self.show_progress(position, totals);
        if self.failed.is_none() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

impl<W: Write> Report<'_, W> {
    fn show_progress(&mut self, position: u64, totals: &Totals) {
        if self.bar.is_none() {
            if self.began.elapsed() < PATIENCE {
                return;
            }
            let bar = match self.length {
                Some(length) => ProgressBar::new(length),
                None => ProgressBar::new_spinner(),
            };
            // A template that cannot be parsed leaves the usual one.
            if let Ok(style) =
                ProgressStyle::with_template("[{bar:30}] {bytes}/{total_bytes}, {msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} resets", totals.resets));
            bar.set_position(position);
        }
    }
}
