//! Cost of running other kernels. `RSTPROOF_TEST_KERNELS=a:b cargo bench --bench kernels`, with a colon between image
//! paths.
//!
//! 1. The first filesystem of a guest: collected and packed, against a plain copy of as many bytes.
//! 2. Each kernel alone, emulated, from the image on disk to the comparison: the whole loopback catalogue over both
//!    families, against the same catalogue on this kernel.
//! 3. All kernels in parallel, against the sum of each alone.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rstproof::vm::Machine;
use rstproof::vm::kernel_image::KernelImage;
use rstproof::vm::qemu::{Accelerator, Emulator};
use tokio::sync::watch;

const ROUNDS: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    // `cargo test --benches` runs this program as well, but is not meant to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let named = std::env::var("RSTPROOF_TEST_KERNELS").unwrap_or_default();
    let images: Vec<&str> = named.split(':').filter(|it| !it.is_empty()).collect();
    if images.is_empty() {
        return Err("name kernel images in RSTPROOF_TEST_KERNELS, a colon between two".into());
    }
    for image in &images {
        making(Path::new(image))?;
    }
    let native = time("run", &[])?;
    let mut sum = Duration::ZERO;
    for image in &images {
        let alone = time("kernels", &[image])?;
        sum += alone;
        println!(
            "{image}: {:.1} s to its report, {:.1} times the catalogue here",
            alone.as_secs_f64(),
            alone.div_duration_f64(native)
        );
    }
    let together = time("kernels", &images)?;
    println!(
        "all {} together: {:.1} s, {:.2} of one after the other",
        images.len(),
        together.as_secs_f64(),
        together.div_duration_f64(sum)
    );
    Ok(())
}

/// Runs the program with this command and returns the time it takes, whether it finds differences or not.
fn time(command: &str, words: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    program.arg(command).args(words);
    if command == "kernels" {
        program.args(["--accel", "tcg"]);
    }
    let status = program.stdout(Stdio::null()).status()?;
    // Exit code 1 reports a difference between kernels, which is a valid result.
    if !matches!(status.code(), Some(0 | 1)) {
        return Err(format!("{command}: {status}").into());
    }
    Ok(began.elapsed())
}

fn making(path: &Path) -> Result<()> {
    let image = KernelImage::find(path)?;
    let emulator = Emulator::find().ok_or("QEMU is not on PATH")?;
    let (_stop, stopping) = watch::channel(false);
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    let mut length = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let machine = Machine::new(
            emulator.clone(),
            Accelerator::Tcg,
            false,
            &[],
            stopping.clone(),
        )?;
        let filesystem = machine.filesystem(&image)?;
        let made = began.elapsed();
        let began = Instant::now();
        let copy = std::hint::black_box(filesystem.clone());
        ratios.push(made.div_duration_f64(began.elapsed()));
        times.push(made.as_secs_f64());
        length = copy.len();
    }
    times.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    println!(
        "{}: filesystem of {} MiB in {:.3} s, {:.1} times a copy of it",
        image.release,
        length >> 20,
        times[ROUNDS / 2],
        ratios[ROUNDS / 2]
    );
    Ok(())
}
