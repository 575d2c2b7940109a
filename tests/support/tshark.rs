//! Results of tshark on a capture, for comparison.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the numbers of all frames with an RST, over IPv4 and IPv6.
pub(crate) fn reset_frames(capture: &Path) -> Vec<u64> {
    let output = Command::new("tshark")
        .args(["-Y", "tcp.flags.reset==1", "-T", "fields"])
        .args(["-e", "frame.number", "-r"])
        .arg(capture)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    let frames = String::from_utf8(output.stdout).unwrap();
    frames.lines().map(|it| it.parse().unwrap()).collect()
}
