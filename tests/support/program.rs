//! Programs that a test installs and runs, whatever the mount options and umask of the host.
//!
//! execve(2) fails with ETXTBSY while a process has the file open for writing, and a descriptor of this process may
//! survive in a child that another thread has just forked. So another process writes the file. /tmp may be mounted
//! noexec, and under a umask of 077 other users may not execute the new file.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Creates a directory for programs on a file system that is mounted without any of these flags. Only its owner may
/// enter the directory.
pub(crate) fn directory_without(flags: FsFlags) -> TempDir {
    let places = [
        std::env::temp_dir(),
        "/var/tmp".into(),
        "/dev/shm".into(),
        "/run".into(),
        env!("CARGO_TARGET_TMPDIR").into(),
    ];
    let usable = places.iter().filter(|place| {
        let mounted = statvfs(place.as_path());
        mounted.is_ok_and(|it| !it.flags().intersects(flags)) && others_may_enter(place)
    });
    let mut made = usable.filter_map(|place| tempfile::tempdir_in(place).ok());
    made.next()
        .unwrap_or_else(|| panic!("none of {places:?} is writable and mounted without {flags:?}"))
}

/// Creates a directory in which programs can be executed.
pub(crate) fn directory() -> TempDir {
    directory_without(FsFlags::ST_NOEXEC)
}

/// Returns true if an ordinary user can reach this directory. Matters for root only, who runs the program as such a
/// user.
fn others_may_enter(place: &Path) -> bool {
    let may = |it: &Path| fs::metadata(it).is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    !geteuid().is_root() || place.ancestors().all(may)
}

/// Copies a program with mode 0755.
pub(crate) fn copy(program: &Path, to: &Path) {
    let mut install = Command::new("install");
    let status = install.args(["-m", "755"]).arg(program).arg(to).status();
    assert!(status.unwrap().success(), "{}", to.display());
}

/// Creates a script with mode 0755 and returns its path.
pub(crate) fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let mut source = tempfile::NamedTempFile::new().unwrap();
    source.write_all(text.as_bytes()).unwrap();
    copy(source.path(), &path);
    path
}

/// Sets the directory's mode to 0755, so that all users may enter it.
pub(crate) fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
}
