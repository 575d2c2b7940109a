//! External programs: their presence and their versions.
//!
//! Programs are looked up on PATH as by a shell, and run without privileges, in a process group that is killed after a
//! timeout.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, eaccess};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::distribution::Program;
use super::here::Here;
use super::{Check, Facts, Group, Status};
use crate::error::{Error, reason};

/// Maximum time for a program to print its version. A bound on failure, not a pace.
const BOUND: Duration = Duration::from_secs(5);

/// Maximum number of bytes read from a program's output.
const MOST: u64 = 64 << 10;

/// Directories of administrators' programs, which are not on every user's PATH.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Checks all external programs. Privileges must have been dropped. Fails if `no_new_privs` cannot be set.
pub(super) async fn all(here: &Here) -> Result<Vec<Check>, Error> {
    // Otherwise a program that root executes would regain all capabilities.
    set_no_new_privs().map_err(|errno| Error::system("give up new privileges", errno))?;
    let qemu = qemu(&here.machine);
    // Concurrently, because each program may take the whole time limit.
    let (nft, qemu, tshark) = tokio::join!(
        look("nft", Program::Nft, "scenarios with a firewall", here),
        look(
            qemu.0,
            Program::Qemu(qemu.1),
            "`rstproof kernels`, which boots other kernels in it",
            here
        ),
        look(
            "tshark",
            Program::Tshark,
            "nothing in proofs; it displays what `run -w` saves, and the tests use it",
            here
        ),
    );
    Ok(vec![nft, qemu, tshark])
}

/// Returns the name of the emulator for a machine (as `uname -m` prints it), and the machine in that name.
fn qemu(machine: &str) -> (&'static str, &'static str) {
    match machine {
        "x86_64" => ("qemu-system-x86_64", "x86_64"),
        "aarch64" => ("qemu-system-aarch64", "aarch64"),
        "riscv64" => ("qemu-system-riscv64", "riscv64"),
        "ppc64le" | "ppc64" => ("qemu-system-ppc64", "ppc64"),
        "s390x" => ("qemu-system-s390x", "s390x"),
        "i686" | "i586" => ("qemu-system-i386", "i386"),
        machine if machine.starts_with("arm") => ("qemu-system-arm", "arm"),
        _ => ("qemu-system", "unknown"),
    }
}

async fn look(name: &'static str, wanted: Program<'_>, costs: &str, here: &Here) -> Check {
    let id = match wanted {
        Program::Nft => "nft",
        Program::Qemu(_) => "qemu",
        Program::Tshark => "tshark",
    };
    let check = |detail: String| Check::ok(Group::Programs, id, name, detail);
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(name, &path) else {
        let (status, detail, fix) = absent(name, wanted, here);
        return check(detail).less(status, costs, fix);
    };
    let version = version_of(&program).await;
    let facts = Facts::Program {
        path: program.display().to_string(),
        version: version.as_ref().ok().cloned(),
    };
    match version {
        Ok(version) => check(version).with(facts),
        Err(why) => check(format!("{} {why}", program.display()))
            .with(facts)
            .less(Status::Limited, costs, None),
    }
}

/// Returns status, detail and fix for a program that is not on PATH.
fn absent(name: &str, wanted: Program<'_>, here: &Here) -> (Status, String, Option<String>) {
    let elsewhere = env::join_paths(ADMINISTRATORS).unwrap_or_default();
    if let Some(program) = find(name, &elsewhere) {
        let directory = program.parent().unwrap_or(Path::new("/"));
        let fix = format!("export PATH=\"$PATH:{}\"", directory.display());
        let detail = format!("{}, which is not on PATH", program.display());
        return (Status::Limited, detail, Some(fix));
    }
    let install = here.distribution.install(wanted);
    let fix = install.map(|install| here.as_root(&install));
    (Status::Missing, not_found(fix.is_some(), here), fix)
}

fn not_found(can_be_installed: bool, here: &Here) -> String {
    match (can_be_installed, here.distribution.name.as_str()) {
        (true, _) => "not found on PATH".to_owned(),
        (false, "") => "not found on PATH; its package is not known for this system".to_owned(),
        (false, name) => format!("not found on PATH; no {name} package is known to contain it"),
    }
}

/// Returns the first executable file of this name on `path`. Skips relative directories, because any user may control
/// the files below the current directory.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| file.is_file() && eaccess(file, AccessFlags::X_OK).is_ok())
}

/// Starts a program with `--version`.
fn start(program: &Path) -> std::io::Result<Child> {
    Command::new(program)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that a timeout kills its children as well.
        .process_group(0)
        .spawn()
}

/// Returns the first line that a program prints for `--version`. Fails with the reason if there is none.
async fn version_of(program: &Path) -> Result<String, String> {
    let mut child = start(program).map_err(|error| format!("cannot be run: {}", reason(&error)))?;
    // Dropped before `child`: until `child` has been waited for, its process group id cannot be reused.
    let offspring = Offspring(child.id().and_then(|id| i32::try_from(id).ok()));
    let answered = timeout(BOUND, answer(&mut child)).await;
    let (said, success) = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("cannot be read: {}", reason(&error))),
        Err(_) => {
            return Err(format!(
                "did not print its version within {} s",
                BOUND.as_secs()
            ));
        }
    };
    offspring.has_ended();
    let text = String::from_utf8_lossy(&said);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    match first {
        // Any program may have this name, so the length of the line is bounded.
        Some(line) if success => Ok(line.chars().take(100).collect()),
        _ => Err("does not print its version".to_owned()),
    }
}

/// Process group of a child and its descendants. Killed on drop, unless the child has ended.
struct Offspring(Option<i32>);

impl Offspring {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

/// Reads the output of a child, waits for its end, and returns the output and true if it exited with success.
async fn answer(child: &mut Child) -> std::io::Result<(Vec<u8>, bool)> {
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MOST).read_to_end(&mut said).await?;
    }
    Ok((said, child.wait().await?.success()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use tempfile::TempDir;

    use super::*;
    use crate::trial::pool::runtime;

    /// Creates a directory in which programs can be executed, next to this binary: /tmp may be mounted noexec.
    fn directory() -> TempDir {
        tempfile::tempdir_in(env::current_exe().unwrap().parent().unwrap()).unwrap()
    }

    /// Writes an executable script by another process: execve(2) fails with ETXTBSY while this process, or one forked
    /// by another thread, has the file open for writing.
    fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
        let (file, source) = (directory.join(name), directory.join("source"));
        fs::write(&source, text).unwrap();
        let mut install = std::process::Command::new("install");
        let status = install.args(["-m", "755"]).args([&source, &file]).status();
        assert!(status.unwrap().success());
        file
    }

    #[test]
    fn a_program_is_the_first_on_path_that_may_be_executed() {
        let [first, second] = [(); 2].map(|()| directory());
        let path = env::join_paths([Path::new("relative"), first.path(), second.path()]).unwrap();
        assert_eq!(find("tool", &path), None);
        let executable = script(second.path(), "tool", "");
        fs::write(first.path().join("tool"), "not executable").unwrap();
        assert_eq!(find("tool", &path), Some(executable));
        fs::remove_file(first.path().join("tool")).unwrap();
        fs::create_dir(first.path().join("tool")).unwrap();
        assert_eq!(find("tool", &path), Some(second.path().join("tool")));
    }

    #[test]
    fn the_first_line_is_the_version_if_the_program_ends_well() {
        let directory = directory();
        let run = |text: &str| {
            let program = script(directory.path(), "tool", text);
            runtime().unwrap().block_on(version_of(&program))
        };
        let version = run("#!/bin/sh\n[ \"$1\" = --version ] && printf '\\ntool 1.2\\nmore\\n'\n");
        assert_eq!(version, Ok("tool 1.2".to_owned()));
        for mute in ["#!/bin/sh\necho 1.2\nexit 1\n", "#!/bin/sh\n"] {
            assert_eq!(run(mute), Err("does not print its version".to_owned()));
        }
        assert!(
            run("#!/nonexistent\n")
                .unwrap_err()
                .starts_with("cannot be run")
        );
    }
}
