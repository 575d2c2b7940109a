//! What a proof costs, as ratios and counts that hold on a noisy machine. `cargo bench --bench trial`
//!
//! 1. A warm trial of `close-unread-data`, whole aftermath recorded and judged, against the bare exchange: the same
//!    calls on the same kind of socket, in a namespace of its own without a capture, without a judge. The two
//!    alternate in short rounds on the same CPU; the median of each round's ratio is what counts.
//! 2. The program: `--repeat 10000` with one worker (rate, peak memory) and `run` over everything (wall time from start
//!    to exit).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rstproof::lab::{self, Kept, Lab, Place};
use rstproof::scenario::{self, Family};
use rstproof::trial::{Settings, Worker};
use rstproof::verdict::Verdict;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const ROUNDS: usize = 21;
const TRIALS: usize = 2_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    // `cargo test --benches` runs this too, and is no place for it.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    lab::prepare(Place::Private)?;
    trial_against_bare_exchange()?;
    whole_program()
}

/// A thread that runs a round when told to and gives back its times.
struct Rounds {
    go: mpsc::Sender<()>,
    times: mpsc::Receiver<Result<Vec<Duration>>>,
}

impl Rounds {
    fn start(
        round: impl FnOnce(mpsc::Receiver<()>, mpsc::Sender<Result<Vec<Duration>>>) + Send + 'static,
    ) -> Self {
        let (go, told) = mpsc::channel();
        let (tell, times) = mpsc::channel();
        thread::spawn(move || round(told, tell));
        Self { go, times }
    }

    /// One round; its times in order.
    fn round(&self) -> Result<Vec<Duration>> {
        self.go.send(())?;
        let mut times = self.times.recv()??;
        times.sort_unstable();
        Ok(times)
    }
}

fn trial_against_bare_exchange() -> Result<()> {
    let proven = Rounds::start(|told, tell| {
        let result = proven_rounds(&told, &tell);
        if let Err(error) = result {
            let _ = tell.send(Err(error));
        }
    });
    let bare = Rounds::start(|told, tell| {
        let result = bare_rounds(&told, &tell);
        if let Err(error) = result {
            let _ = tell.send(Err(error));
        }
    });
    let median = |times: &[Duration]| times[times.len() / 2].as_secs_f64() * 1e6;
    let (mut ratios, mut bares, mut provens) = (Vec::new(), Vec::new(), Vec::new());
    proven.round()?;
    bare.round()?;
    for _ in 0..ROUNDS {
        let (bare, proven) = (median(&bare.round()?), median(&proven.round()?));
        ratios.push(proven / bare);
        bares.push(bare);
        provens.push(proven);
    }
    for list in [&mut ratios, &mut bares, &mut provens] {
        list.sort_by(f64::total_cmp);
    }
    println!(
        "close-unread-data, {ROUNDS} rounds of {TRIALS}: bare {:.1} µs, proven {:.1} µs, ratio {:.2} ({:.2} to {:.2})",
        bares[ROUNDS / 2],
        provens[ROUNDS / 2],
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn proven_rounds(
    told: &mpsc::Receiver<()>,
    tell: &mpsc::Sender<Result<Vec<Duration>>>,
) -> Result<()> {
    let scenario = scenario::find("close-unread-data").ok_or("the scenario is gone")?;
    let settings = Settings {
        place: Place::Private,
        interface: "lo".to_owned(),
        filter: None,
        port: 8080,
        kept: Kept::default(),
        recorder: None,
        program: env!("CARGO_BIN_EXE_rstproof").into(),
    };
    runtime()?.block_on(async {
        let mut worker = Worker::open(settings, 0).await?;
        while told.recv().is_ok() {
            let mut times = Vec::with_capacity(TRIALS);
            for _ in 0..TRIALS {
                let began = Instant::now();
                let trial = worker.run(scenario, Family::Ipv4).await?;
                times.push(began.elapsed());
                if trial.judgement.verdict != Verdict::Confirmed {
                    return Err(format!("{:?}", trial.judgement).into());
                }
            }
            tell.send(Ok(times))?;
        }
        Ok(())
    })
}

fn bare_rounds(
    told: &mpsc::Receiver<()>,
    tell: &mpsc::Sender<Result<Vec<Duration>>>,
) -> Result<()> {
    lab::stay_on_one_cpu(0)?;
    runtime()?.block_on(Lab::enter(Place::Private))?;
    let address = SockAddr::from(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));
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

/// The calls of `close-unread-data`, and nothing else.
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
    Ok(())
}
