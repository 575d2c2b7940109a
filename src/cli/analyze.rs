//! `rstproof analyze`: analyzes the connections of captures and explains every RST.

mod captures;
mod facts;
mod human;
mod join;
mod json;
pub(crate) mod ladder;
mod live;
mod output;
mod renderer;
mod report;
pub(crate) mod screen;
pub(crate) mod selection;
mod times;
mod width;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use self::captures::{Capture, Parts, Plan};
use self::join::Points;
use self::live::{Interrupts, LiveInput};
use self::output::Output;
use self::renderer::renderer;
use self::report::{Out, Report, Totalled};
use super::{AnalyzeArgs, complain};
use crate::capture::StoredFilter;
use crate::error::{Error, reason};
use crate::exit_code::ExitCode;
use crate::file::{Input, STANDARD_INPUT, inputs};
use ladder::{Finder, Ladder, Layout, TranslatedFinder, Which};
use rstproof_core::analyze::excerpt::Excerpt;
use rstproof_core::analyze::{
    Analysis, Event, FrameFilter, Progress, Sink, Source, Stopped, Summary,
};
use rstproof_core::file::TextClock;
use rstproof_core::printable::printable;

/// Default maximum number of reader threads. More threads would only wait for each other.
const MAX_DEFAULT_THREADS: usize = 4;

/// Link type of Ethernet (`LINKTYPE_ETHERNET`).
const ETHERNET: u16 = 1;

/// Returns the BPF filter of the command line, if any. Fails if the filter does not compile for Ethernet. For another
/// link type it need not compile; no frame of that type matches then.
fn filter(args: &AnalyzeArgs) -> Result<Option<FrameFilter>, Error> {
    let Some(text) = args.filter.clone().filter(|it| !it.trim().is_empty()) else {
        return Ok(None);
    };
    // Compiled here only to report a syntax error: the function below has no way to fail.
    StoredFilter::new(&text, ETHERNET)?;
    Ok(Some(FrameFilter::new(move |link| {
        let filter = StoredFilter::new(&text, link).ok()?;
        Some(Box::new(move |frame| filter.lets_through(frame)))
    })))
}

pub(super) fn analyze(args: &AnalyzeArgs) -> Result<ExitCode, Error> {
    let threads = args.threads.map_or_else(
        || {
            available_parallelism()
                .map_or(1, usize::from)
                .min(MAX_DEFAULT_THREADS)
        },
        usize::from,
    );
    let mut analysis = Analysis::new()
        .threads(threads)
        .inside_tunnels(args.tunnels);
    if let Some(filter) = filter(args)? {
        analysis = analysis.filter(filter);
    }
    if let Some(which) = args.connection {
        return show_each(args, which, &analysis);
    }
    if args.fail_on.is_some() && !args.selection.is_all() {
        let text = format!(
            "--fail-on counts all failures of the capture, so it cannot be combined with {}; --filter selects packets",
            args.selection.name()
        );
        return Err(Error::Usage(text));
    }
    let mut output = match &args.write {
        Some(path) => Some(Output::begin(path, args)?),
        None => None,
    };
    let interrupts = begin_live(args)?;
    let interrupts = interrupts.as_ref();
    if interrupts.is_some_and(Interrupts::has_cut_off) {
        return Ok(ExitCode::Signal(SIGINT));
    }
    let mut code = ExitCode::Success;
    let mut closed = None;
    if args.join {
        let points = Points::of(args, renderer(args).is_for_people())?;
        let analysis = analysis.joined(points.join().frames());
        let capture = Capture::Joined(points);
        let mut total = Totalled::default();
        match one(
            args,
            (capture, interrupts),
            &analysis,
            output.as_mut(),
            &mut total,
        ) {
            Ok(()) => {}
            Err(Error::OutputClosed) if output.is_some() => closed = Some(Error::OutputClosed),
            Err(error) => return Err(error),
        }
        code = code.worst(total.code(args.fail_on));
        return finish(args, output, code, closed);
    }
    let mut plan = if args.separate {
        Plan::default()
    } else {
        Plan::of(&args.files)?
    };
    let mut total = Totalled::default();
    for input in inputs(&args.files)? {
        let one = input.and_then(|input| match plan.capture(input) {
            Some(capture) => {
                let capture = (capture, interrupts);
                one(args, capture, &analysis, output.as_mut(), &mut total)
            }
            None => Ok(()),
        });
        match one {
            Ok(()) => {}
            // Standard output is closed, but the output file still has to be completed.
            Err(Error::OutputClosed) if output.is_some() => closed = Some(Error::OutputClosed),
            Err(error @ (Error::OutputClosed | Error::Output(_))) => return Err(error),
            Err(error) if output.as_ref().is_some_and(Output::has_failed) => return Err(error),
            Err(error) => {
                code = code.worst(ExitCode::Failure);
                complain(&error.to_string());
            }
        }
    }
    code = code.worst(total.code(args.fail_on));
    if interrupts.is_some_and(Interrupts::has_come) {
        code = code.worst(ExitCode::Signal(SIGINT));
    }
    if closed.is_none() && renderer(args).is_for_people() {
        match total.print() {
            Err(Error::OutputClosed) if output.is_some() => closed = Some(Error::OutputClosed),
            printed => printed?,
        }
    }
    finish(args, output, code, closed)
}

/// Prints a connection of each capture, segment by segment.
fn show_each(args: &AnalyzeArgs, which: Which, analysis: &Analysis) -> Result<ExitCode, Error> {
    if !renderer(args).is_for_people() {
        let text = "--connection cannot be combined with --format json; the JSON output already contains every connection";
        return Err(Error::Usage(text.to_owned()));
    }
    if !args.selection.is_all() {
        let text = format!(
            "--connection shows whole connections, so it cannot be combined with {}",
            args.selection.name()
        );
        return Err(Error::Usage(text));
    }
    // A file that cannot be read does not keep the next ones from being shown; closed output ends the command.
    let mut code = ExitCode::Success;
    for input in inputs(&args.files)? {
        let shown = input.and_then(|input| show(which, input, analysis, args.utc));
        match shown {
            Ok(()) => {}
            Err(error @ (Error::OutputClosed | Error::Output(_))) => return Err(error),
            Err(error) => {
                code = code.worst(ExitCode::Failure);
                complain(&error.to_string());
            }
        }
    }
    Ok(code)
}

/// Number of SIGINT.
const SIGINT: u8 = 2;

/// Prepares to read standard input while it is written: from now on SIGINT waits to be taken. `None` if it is not read, or is no
/// pipe.
fn begin_live(args: &AnalyzeArgs) -> Result<Option<Interrupts>, Error> {
    let is_standard_input = |path: &PathBuf| path.as_os_str() == STANDARD_INPUT;
    if !args.files.iter().any(is_standard_input) || !live::is_piped() {
        return Ok(None);
    }
    let interrupts = Interrupts::begin()?;
    // Files before it are read first.
    if args.files.first().is_some_and(is_standard_input) {
        live::await_first_bytes(interrupts.as_ref());
    }
    Ok(interrupts)
}

/// Completes the output file, and returns the exit code.
fn finish(
    args: &AnalyzeArgs,
    output: Option<Output>,
    code: ExitCode,
    closed: Option<Error>,
) -> Result<ExitCode, Error> {
    if let Some(output) = output {
        output.end(renderer(args).is_for_people() && !args.quiet)?;
    }
    // Closed output counts as success, so it must not hide a file that could not be read.
    match closed {
        Some(error) if code == ExitCode::Success => Err(error),
        _ => Ok(code),
    }
}

/// Analyzes one capture: prints the report, and copies the frames of reset connections if there is an output file.
fn one(
    args: &AnalyzeArgs,
    (mut capture, interrupts): (Capture, Option<&Interrupts>),
    analysis: &Analysis,
    mut output: Option<&mut Output>,
    total: &mut Totalled,
) -> Result<(), Error> {
    if let Some(output) = &mut output {
        output.refuse(&capture)?;
    }
    let path = capture.path().to_owned();
    let files = capture.names();
    let analysis = &analysis.clone().text(files.text().is_some());
    let renderer = renderer(args);
    // A single file that was named needs no heading.
    let heading = (renderer.heading(&files)).filter(|_| args.files != [path.as_path()]);
    let is_live = matches!(&capture, Capture::Alone(input) if live::is_live(input));
    let mut report = Report::new(
        &*renderer,
        is_live,
        heading,
        output.is_some(),
        (capture.length(), files.clock()),
    );
    // Shared, because the analysis reports events from several threads.
    let excerpt = output.is_some().then(|| Mutex::new(Excerpt::new(&files)));
    let row = |event: Event<'_>| {
        if let Some(excerpt) = &excerpt {
            let mut excerpt = excerpt.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Connection(connection) => excerpt.connection(connection),
                Event::Reset(connection, reset) => excerpt.reset(connection, reset),
                Event::Icmp(_, record) => excerpt.icmp(record),
                Event::Failed(_) => {}
            }
        }
        renderer.event(&files, event)
    };
    let mut summary = read_capture(&mut capture, interrupts, |source| {
        analysis.read(source, row, |part| {
            if let Some(excerpt) = &excerpt {
                let mut excerpt = excerpt.lock().unwrap_or_else(PoisonError::into_inner);
                (part.followed.iter()).for_each(|it| excerpt.followed(it));
            }
            report.take(&files, part)
        })
    });
    if interrupts.is_some_and(Interrupts::has_cut_off) && summary.read.is_err() {
        // What came last may be half a packet.
        summary.read = Ok(summary.position);
    }
    let mut broken = None;
    match &capture {
        Capture::Alone(_) => {}
        Capture::Several(parts) => in_parts(&mut summary, parts),
        Capture::Joined(points) => {
            summary.position = points.bytes();
            let stopped = points
                .stopped()
                .map(|(path, it)| (path.to_owned(), problem(it)));
            broken = stopped.last();
        }
    }
    let problem = match &broken {
        Some((path, text)) => Some(format!("{}: {text}", captures::name(path))),
        None => summary.read.as_ref().err().map(problem),
    };
    let said = report.end(&files, &summary, problem.as_deref(), total);
    let mut excerpt = excerpt.map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
    if let (Some(output), Some(excerpt)) = (output, &mut excerpt) {
        output.copy(excerpt, capture, analysis)?;
    }
    // Returned only now: the copy is made even if standard output is closed.
    said?;
    match (broken, problem) {
        (None, None) => Ok(()),
        (Some((path, problem)), _) => Err(not_whole(path, &problem, summary.totals.packets)),
        (None, Some(problem)) => Err(not_whole(path, &problem, summary.totals.packets)),
    }
}

/// Prints one connection of a capture, segment by segment. Fails if there is no such connection.
fn show(which: Which, mut input: Input, analysis: &Analysis, utc: bool) -> Result<(), Error> {
    let path = input.path().to_owned();
    let analysis = &analysis.clone().text(input.text().is_some());
    let clock = input.text().map_or(TextClock::Absolute, |it| it.clock());
    let mut more = Vec::new();
    let (which, mut input) = match which {
        // A first pass finds the frame that the connection begins with: segments are collected from there on.
        Which::Frame(frame) if input.is_repeatable() => {
            let mut found = First(None);
            let observer = || Finder::new(frame);
            read(&mut input, |source| {
                analysis.observe(source, observer, &mut found)
            });
            let first = found.0.unwrap_or(frame);
            (Which::Frame(first), reread(input)?)
        }
        // One finds the connections that have these addresses on another side of a NAT.
        Which::Between(one, other) if input.is_repeatable() => {
            let observer = || TranslatedFinder::new(one, other);
            let ended = read(&mut input, |source| {
                analysis.observe(source, observer, &mut Unused)
            });
            let found = ended.observers.into_iter();
            more.extend(found.flat_map(TranslatedFinder::into_found));
            (which, reread(input)?)
        }
        which => (which, input),
    };
    let mut out = Lines {
        out: Out::open(true),
        failed: None,
    };
    let name = printable(&path.to_string_lossy());
    let layout = Layout {
        width: width::columns(),
        utc,
        clock,
    };
    let observer = || Ladder::new(&name, layout, which, &more);
    let ended = read(&mut input, |source| {
        analysis.observe(source, observer, &mut out)
    });
    let written = match out.failed {
        None => out.out.flush(),
        Some(error) => Err(error),
    };
    written.map_err(Error::output)?;
    let totals = ended.totals;
    if let Err(stopped) = ended.read {
        return Err(not_whole(path, &problem(&stopped), totals.packets));
    }
    // Each listener has a share of the connections.
    if ended.observers.iter().all(|ladder| ladder.shown == 0) {
        let reason = match which {
            Which::Frame(frame) if u64::from(frame) > totals.packets => {
                format!(
                    "frame {frame} does not exist: the capture has {} frames",
                    totals.packets
                )
            }
            Which::Frame(frame) if input.is_repeatable() => {
                format!("frame {frame} belongs to no analyzed TCP connection")
            }
            Which::Frame(frame) => format!(
                "no connection begins with frame {frame}, and a stream can be read only once; save it to a file to search for \
                 other frames"
            ),
            Which::Between(one, other) => {
                format!("no connection between {one} and {other}")
            }
        };
        return Err(Error::File {
            action: "show the connection in",
            path,
            reason,
        });
    }
    Ok(())
}

/// Returns a capture to be read once more from its beginning.
fn reread(input: Input) -> Result<Input, Error> {
    // Uncompressed files are read at offsets; a compressed one is a stream, and has been read.
    if input.file().is_some() {
        Ok(input)
    } else {
        output::again(input)
    }
}

/// Sink for a pass whose results are in the observers.
struct Unused;

impl Sink<()> for Unused {
    fn accept(&mut self, _: Vec<()>, _: &Progress<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// First frame of the connection that is searched for. Ends the analysis as soon as the frame is known.
struct First(Option<u32>);

impl Sink<Option<u32>> for First {
    fn accept(&mut self, said: Vec<Option<u32>>, _: &Progress<'_>) -> ControlFlow<()> {
        self.0 = self.0.or_else(|| said.into_iter().flatten().next());
        match self.0 {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }
}

/// Writer of the lines of the connection that is shown.
struct Lines {
    out: Out,
    failed: Option<io::Error>,
}

impl Sink<String> for Lines {
    fn accept(&mut self, said: Vec<String>, _: &Progress<'_>) -> ControlFlow<()> {
        for text in said {
            if self.failed.is_none() {
                self.failed = self.out.write_all(text.as_bytes()).err();
            }
        }
        match self.failed {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }
}

/// Calls a function with the source of a capture: a file that is read at any offset, or a stream.
fn read<R>(input: &mut Input, with: impl FnOnce(&Source<'_>) -> R) -> R {
    if let Some((file, length)) = input.file() {
        return with(&Source::File(file, length));
    }
    with(&Source::Stream(Mutex::new(input)))
}

/// Calls a function with the source of a capture, which may be in several files.
fn read_capture<R>(
    capture: &mut Capture,
    interrupts: Option<&Interrupts>,
    with: impl FnOnce(&Source<'_>) -> R,
) -> R {
    match capture {
        Capture::Alone(input) if live::is_live(input) => {
            let mut live = LiveInput::begin(input, interrupts);
            with(&Source::Live(Mutex::new(&mut live)))
        }
        Capture::Alone(input) => read(input, with),
        Capture::Several(parts) => with(&Source::Stream(Mutex::new(&mut parts.open()))),
        Capture::Joined(points) => with(&Source::Stream(Mutex::new(&mut points.open(false)))),
    }
}

/// Converts offsets in joined files: the number of bytes read counts all their headers, and an error is in the last
/// file, because the others were read to their ends before.
fn in_parts(summary: &mut Summary, parts: &Parts) {
    match &mut summary.read {
        Ok(_) => summary.position += parts.headers_left_out(),
        Err(Stopped::Malformed(malformed)) => {
            summary.position += parts.headers_left_out();
            malformed.offset = parts.offset_in_last(malformed.offset);
        }
        Err(Stopped::Io(_, position) | Stopped::Unwanted(position)) => {
            *position = parts.offset_in_last(*position);
        }
    }
}

fn problem(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Malformed(malformed) => malformed.to_string(),
        Stopped::Io(error, position) => format!("byte {position}: {}", reason(error)),
        Stopped::Unwanted(position) => format!("output closed at byte {position}"),
    }
}

fn not_whole(path: PathBuf, problem: &str, packets: u64) -> Error {
    Error::File {
        action: "read all of",
        path,
        reason: format!("{problem}; packets analyzed before it: {packets}"),
    }
}
