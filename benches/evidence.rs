//! Cost of saving evidence and of checking it again, as ratios of alternating runs. `cargo bench --bench evidence`
//!
//! 1. A run that saves, against the same run without saving: for the fastest scenario (the most expensive case, since
//!    its trials wait for nothing) and for the whole catalogue, with one worker and with one per core. For comparison:
//!    a loop that only creates files of the same number and sizes. In memory and in the temporary directory, whose file
//!    system determines the cost of a file. Nothing is removed before the end: ext4 does not reuse an inode for one to
//!    five minutes after its file was deleted (`recently_deleted()`), and after many deletions the search for a free
//!    one costs more than everything else.
//! 2. `check` of 10,000 trials.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const ROUNDS: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    // `cargo test --benches` runs this program as well, but is not meant to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let fastest = ["run", "close-unread-data", "--repeat", "2000"];
    let catalogue = ["run", "--repeat", "50"];
    let memory = Path::new("/dev/shm").to_owned();
    let mut kept = Vec::new();
    for place in [memory, std::env::temp_dir()] {
        if !place.is_dir() {
            continue;
        }
        for arguments in [&fastest[..], &catalogue[..]] {
            saving(&place, arguments, 1, &mut kept)?;
            let cores = std::thread::available_parallelism()?.get();
            saving(&place, arguments, cores, &mut kept)?;
        }
    }
    checking()
}

/// Runs the program and returns the time it takes.
fn time(arguments: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{arguments:?}: {status}").into());
    }
    Ok(began.elapsed())
}

fn saving(place: &Path, arguments: &[&str], jobs: usize, kept: &mut Vec<TempDir>) -> Result<()> {
    let jobs = jobs.to_string();
    let run = [arguments, &["--jobs", &jobs]].concat();
    let (mut ratios, mut floors) = (Vec::new(), Vec::new());
    let mut trials = 0;
    for _ in 0..ROUNDS {
        let unsaved = time(&run)?;
        let directory = TempDir::new_in(place)?;
        let saved = time(&[&run, &["-w", text(directory.path())?][..]].concat())?;
        let sizes = sizes(directory.path())?;
        trials = sizes.len() / 2;
        ratios.push(saved.div_duration_f64(unsaved));
        kept.push(directory);
        let directory = TempDir::new_in(place)?;
        floors.push(floor(directory.path(), &sizes)?.div_duration_f64(unsaved));
        kept.push(directory);
    }
    println!(
        "rstproof {} in {}: {:.2} of the run that saves nothing ({trials} trials); files alone {:.2}",
        run.join(" "),
        place.display(),
        median(&mut ratios),
        median(&mut floors)
    );
    Ok(())
}

/// Creates files of these sizes and returns the time it takes.
fn floor(directory: &Path, sizes: &[u64]) -> Result<Duration> {
    let longest = sizes.iter().copied().max().unwrap_or_default();
    let bytes = vec![b'x'; usize::try_from(longest)?];
    let began = Instant::now();
    for (index, size) in sizes.iter().enumerate() {
        let path = directory.join(index.to_string());
        fs::write(path, &bytes[..usize::try_from(*size)?])?;
    }
    Ok(began.elapsed())
}

/// Returns the sizes in bytes of the trials' files, without the report.
fn sizes(directory: &Path) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != "report.json" {
            sizes.push(entry.metadata()?.len());
        }
    }
    Ok(sizes)
}

fn checking() -> Result<()> {
    let directory = TempDir::new()?;
    let path: PathBuf = directory.path().join("evidence");
    time(&[
        "run",
        "close-unread-data",
        "--repeat",
        "5000",
        "-w",
        text(&path)?,
    ])?;
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        seconds.push(time(&["check", text(&path)?])?.as_secs_f64());
    }
    println!(
        "rstproof check of 10,000 trials: {:.2} s",
        median(&mut seconds)
    );
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| "a path that is not UTF-8".into())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
