//! Cost of a proof, as ratios and counts that are stable on a noisy machine. `cargo bench --bench trial`
//!
//! 1. A warm trial of `close-unread-data`, recorded and judged as a whole, against the bare exchange: the same calls on
//!    the same kind of socket, in a namespace of its own without capture and judge. Both alternate in short rounds on
//!    the same CPU; the result is the median of the rounds' ratios.
//! 2. The same trial with the kernel trace, against the trial without it: rounds of all three take turns. Tracing is on
//!    during its own rounds only. Needs root; otherwise it is skipped with a message.
//! 3. The program: `--repeat 10000` with one worker (rate, peak memory) and `run` over everything (wall time from start
//!    to exit), with `--all` over the slow scenarios as well.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rstproof::capture::cpus;
use rstproof::lab::ports::ports;
use rstproof::lab::{self, Environment, Lab};
use rstproof::sources::tracefs::Tracefs;
use rstproof::sources::{RunSources, trace};
use rstproof::trial::{Settings, Worker};
use rstproof_core::scenario::{self, Family, Needs};
use rstproof_core::verdict::Verdict;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const ROUNDS: usize = 21;
const TRIALS: usize = 2_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    // `cargo test --benches` runs this program as well, but is not meant to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    lab::prepare(Environment::Private)?;
    trial_against_bare_exchange()?;
    whole_program()
}

/// Receiver of requests to run a round.
type Told = mpsc::Receiver<()>;
/// Sender of the times of a round's trials.
type Tell = mpsc::Sender<Result<Vec<Duration>>>;

/// Thread that runs a round on request and returns the times of its trials.
struct Rounds {
    go: mpsc::Sender<()>,
    times: mpsc::Receiver<Result<Vec<Duration>>>,
}

impl Rounds {
    fn start(round: impl FnOnce(Told, Tell) + Send + 'static) -> Self {
        let (go, told) = mpsc::channel();
        let (tell, times) = mpsc::channel();
        thread::spawn(move || round(told, tell));
        Self { go, times }
    }

    /// Runs one round and returns its times, sorted.
    fn round(&self) -> Result<Vec<Duration>> {
        self.go.send(())?;
        let mut times = self.times.recv()??;
        times.sort_unstable();
        Ok(times)
    }
}

fn trial_against_bare_exchange() -> Result<()> {
    let start = |rounds: fn(&Told, &Tell) -> Result<()>| {
        Rounds::start(move |told, tell| {
            if let Err(error) = rounds(&told, &tell) {
                let _ = tell.send(Err(error));
            }
        })
    };
    let median = |times: &[Duration]| times[times.len() / 2].as_secs_f64() * 1e6;
    let (bare, proven) = (start(bare_rounds), start(proven_rounds));
    let traced = match open_trace() {
        Ok(trace) => {
            trace.close();
            Some(start(traced_rounds))
        }
        Err(why) => {
            println!("without the kernel's trace: {why}");
            None
        }
    };
    let contenders: Vec<&Rounds> = [&bare, &proven].into_iter().chain(&traced).collect();
    let mut medians = vec![Vec::new(); contenders.len()];
    for contender in &contenders {
        contender.round()?;
    }
    for _ in 0..ROUNDS {
        for (contender, medians) in contenders.iter().zip(&mut medians) {
            medians.push(median(&contender.round()?));
        }
    }
    println!("close-unread-data, {ROUNDS} rounds of {TRIALS} each, in turn:");
    for (name, (than, what)) in [
        ("proven", (0, "the bare exchange")),
        ("traced as well", (1, "without the trace")),
    ]
    .into_iter()
    .take(contenders.len() - 1)
    {
        let rounds = medians[than + 1].iter().zip(&medians[than]);
        let mut ratios: Vec<f64> = rounds.map(|(it, other)| it / other).collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "  {name}: {:.1} µs, {what}: {:.1} µs, ratio {:.2} ({:.2} to {:.2})",
            middle(&medians[than + 1]),
            middle(&medians[than]),
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
    Ok(())
}

fn middle(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PORT: u16 = 8080;

fn open_trace() -> Result<Arc<trace::TraceSession>> {
    let tracefs = Tracefs::open().map_err(|why| why.to_string())?;
    Ok(trace::TraceSession::open(
        tracefs,
        ports(PORT),
        trace::RING_KIB,
    )?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn open_worker(trace: Option<Arc<trace::TraceSession>>) -> Result<Worker> {
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_rstproof").into(),
        sources: RunSources { trace },
        ..Settings::private(PORT)
    };
    Ok(Worker::open(settings, 0).await?)
}

async fn proven_round(worker: &mut Worker) -> Result<Vec<Duration>> {
    let scenario = scenario::find("close-unread-data").ok_or("the scenario is gone")?;
    let mut times = Vec::with_capacity(TRIALS);
    for _ in 0..TRIALS {
        let began = Instant::now();
        let trial = worker.run(scenario, Family::Ipv4).await?;
        times.push(began.elapsed());
        if trial.judgement.verdict != Verdict::Confirmed {
            return Err(format!("{:?}", trial.judgement).into());
        }
    }
    Ok(times)
}

fn proven_rounds(told: &Told, tell: &Tell) -> Result<()> {
    runtime()?.block_on(async {
        let mut worker = open_worker(None).await?;
        while told.recv().is_ok() {
            tell.send(Ok(proven_round(&mut worker).await?))?;
        }
        Ok(())
    })
}

/// Runs rounds with the kernel trace. Each round has a thread of its own, since a worker drops the privileges that
/// opening a trace needs.
fn traced_rounds(told: &Told, tell: &Tell) -> Result<()> {
    while told.recv().is_ok() {
        let trace = open_trace()?;
        let of_worker = Arc::clone(&trace);
        let round = thread::spawn(move || -> Result<Vec<Duration>> {
            runtime()?.block_on(async {
                let mut worker = open_worker(Some(of_worker)).await?;
                proven_round(&mut worker).await
            })
        });
        let times = round.join().map_err(|_| "a round panicked")?;
        trace.close();
        tell.send(times)?;
    }
    Ok(())
}

fn bare_rounds(told: &Told, tell: &Tell) -> Result<()> {
    cpus::stay_on_one(0);
    runtime()?.block_on(Lab::enter(Environment::Private, Needs::default(), PORT))?;
    let address = SockAddr::from(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&address)?;
    listener.listen(128)?;
    while told.recv().is_ok() {
        let mut times = Vec::with_capacity(TRIALS);
        for _ in 0..TRIALS {
            let began = Instant::now();
            bare_exchange(&listener, &address)?;
            times.push(began.elapsed());
        }
        tell.send(Ok(times))?;
    }
    Ok(())
}

/// Makes the calls of `close-unread-data` and nothing else.
fn bare_exchange(listener: &Socket, address: &SockAddr) -> Result<()> {
    let mut byte = [0];
    let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    client.connect(address)?;
    let (server, _) = listener.accept()?;
    nix::unistd::write(&client, b"xx")?;
    nix::unistd::read(&server, &mut byte)?;
    drop(server);
    let reset = nix::unistd::read(&client, &mut byte);
    let eof = nix::unistd::read(&client, &mut byte);
    let broken = nix::unistd::write(&client, b"x");
    match (reset, eof, broken) {
        (Err(nix::errno::Errno::ECONNRESET), Ok(0), Err(nix::errno::Errno::EPIPE)) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn whole_program() -> Result<()> {
    let rate = |arguments: &[&str]| -> Result<Duration> {
        let began = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_rstproof"))
            .args(arguments)
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{arguments:?}: {status}").into());
        }
        Ok(began.elapsed())
    };
    let median = |arguments: &[&str]| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..11 {
            times.push(rate(arguments)?);
        }
        times.sort_unstable();
        Ok(times[5].as_secs_f64())
    };
    let many = [
        "run",
        "close-unread-data",
        "--repeat",
        "10000",
        "--jobs",
        "1",
    ];
    let seconds = median(&many)?;
    let peak_kib = u32::try_from(getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss())?;
    println!(
        "rstproof {}: {:.2} s for 20,000 trials, {:.0} a second, peak {:.1} MiB",
        many.join(" "),
        seconds,
        20_000.0 / seconds,
        f64::from(peak_kib) / 1024.0
    );
    println!("rstproof run: {:.0} ms", median(&["run"])? * 1e3);
    // Once is enough: the duration depends on timers, not on the machine.
    let all = rate(&["run", "--all"])?;
    println!("rstproof run --all: {:.1} s", all.as_secs_f64());
    Ok(())
}
