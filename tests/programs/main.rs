//! Real servers and clients whose connections fail: what `analyze` says of the capture against what the programs said themselves.
//!
//! Each case is a script beside this file, run on a loopback of its own and captured by tcpdump. The programs are those of the
//! system, or those that `scripts/setup.sh --programs` has unpacked into a cache. A program that is missing fails its test.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Secret that the scripts send as a query parameter, a cookie, a password and a query. Nothing repeats it.
const SECRET: &str = "hunter2";

const PROGRAM: &str = env!("CARGO_BIN_EXE_rstproof");

/// A case that was run: what its programs said, and the capture.
struct Case {
    directory: TempDir,
    said: String,
    rows: Vec<Value>,
}

/// The directory into which `scripts/setup.sh --programs` unpacks.
fn unpacked() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty());
    let cache = cache.map_or_else(
        || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    cache.join("rstproof/programs")
}

/// The environment in which the programs are found: those of the system last.
fn environment() -> Vec<(&'static str, String)> {
    let root = unpacked();
    let versions = fs::read_dir(root.join("usr/lib/postgresql"));
    let versions = versions.into_iter().flatten().map(|it| it.unwrap().path());
    let postgresql: Vec<PathBuf> = versions.collect();
    let libraries = fs::read_dir(root.join("usr/lib")).into_iter().flatten();
    let libraries = libraries.map(|it| it.unwrap().path());
    let libraries = libraries.filter(|it| it.to_string_lossy().ends_with("-linux-gnu"));
    let mut programs: Vec<PathBuf> = vec![root.join("usr/sbin"), root.join("usr/bin")];
    programs.extend(postgresql.iter().map(|it| it.join("bin")));
    // Debian has the server's programs apart, and others have daemons where only root looks.
    let system = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let system = system.map(|it| it.unwrap().path().join("bin"));
    let inherited = env::var_os("PATH").unwrap_or_default();
    programs.extend(env::split_paths(&inherited));
    programs.extend(["/usr/sbin".into(), "/sbin".into()]);
    programs.extend(system);
    let join = |paths: Vec<PathBuf>| env::join_paths(paths).unwrap().into_string().unwrap();
    let mut environment = vec![
        ("PATH", join(programs)),
        ("LD_LIBRARY_PATH", join(libraries.collect())),
    ];
    let share = postgresql.first().and_then(|it| it.file_name());
    environment.extend(share.map(|version| {
        let share = root.join("usr/share/postgresql").join(version);
        ("PG_SHARE", share.to_str().unwrap().to_owned())
    }));
    environment
}

impl Case {
    fn run(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/harness.sh");
        // No program runs as root: PostgreSQL refuses to, and others would change to users that the namespace does not have.
        let output = Command::new("unshare")
            .args(["--user", "--map-user=1", "--map-group=1", "--keep-caps"])
            .args(["--net", "--pid", "--fork", "--kill-child"])
            .args(["timeout", "-k", "5", "120", "bash"])
            .arg(harness)
            .arg(name)
            .arg(directory.path())
            .envs(environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name}: {error}{log}(scripts/setup.sh --programs installs what is missing)"
        );
        let mut case = Self {
            said: String::from_utf8(output.stdout).unwrap(),
            rows: Vec::new(),
            directory,
        };
        let rows = case.analyze(&["--format", "json"]);
        case.rows = rows.lines().map(|row| row.parse().unwrap()).collect();
        for options in [&[][..], &["-v"], &["--format", "json"]] {
            let said = case.analyze(options);
            assert!(!said.contains(SECRET), "{name}: {said}");
        }
        case
    }

    fn analyze(&self, options: &[&str]) -> String {
        let output = Command::new(PROGRAM)
            .arg("analyze")
            .args(options)
            .arg(self.directory.path().join("capture.pcap"))
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the programs said of this connection.
    fn said(&self, of: &str) -> &str {
        let mut lines = self.said.lines();
        let line = lines.find_map(|line| line.strip_prefix(of));
        line.unwrap_or_else(|| panic!("nothing of {of}: {}", self.said))
            .trim()
    }

    /// The connections to this port, in their order.
    fn connections(&self, port: u16) -> Vec<&Value> {
        let server = format!("127.0.0.1:{port}");
        let rows = self.rows.iter();
        let rows = rows.filter(|row| row["type"] == "connection" && row["server"] == server);
        // Rows are in the order in which the connections ended.
        let mut rows: Vec<&Value> = rows.collect();
        rows.sort_by_key(|row| row["connection"].as_u64());
        rows
    }
}

/// Failure, and the errors of client and server.
fn verdict(connection: &Value) -> Value {
    let fields = ["failure", "client_errno", "server_errno"];
    fields
        .map(|field| connection[field].clone())
        .as_slice()
        .into()
}

fn words(connection: &Value, of: &str) -> String {
    let words = &connection[format!("{of}_last_words")]["text"];
    words.as_str().unwrap_or_default().to_owned()
}

/// curl(1): 52 is an empty reply, 56 a failure to receive (here ECONNRESET). nginx closes without an answer for 444, and with
/// `reset_timedout_connection` by an RST (`ngx_http_terminate_request()`, `SO_LINGER` with 0 seconds).
#[test]
fn nginx() {
    let case = Case::run("nginx");
    assert_eq!(case.said("closed "), "52");
    assert_eq!(case.said("reset "), "56");
    assert_eq!(case.said("backend "), "502");
    assert_eq!(case.said("Connection reset by peer"), "");
    let [closed, backend] = case.connections(8080)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(
        verdict(closed),
        json!(["closed-before-response", null, null])
    );
    assert_eq!(words(closed, "client"), "GET /closed (Host 127.0.0.1:8080)");
    assert_eq!(verdict(backend), json!([null, null, null]));
    let [reset, slow] = case.connections(8081)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(verdict(reset), json!(["aborted", "ECONNRESET", null]));
    assert_eq!(verdict(slow), json!(["aborted", "ECONNRESET", null]));
    // client_header_timeout is a second, and its timer is not exact.
    let silence = slow["silence_before_ns"].as_i64().unwrap();
    assert!(
        (990_000_000..10_000_000_000).contains(&silence),
        "{silence}"
    );
    let [refused] = case.connections(81)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(verdict(refused), json!(["refused", "ECONNREFUSED", null]));
}

/// `HAProxy` ends a health check with an RST, to save ports: its server reads ECONNRESET. A rejected connection is closed without an
/// answer, and a backend that is down is refused while the client gets 503. In TCP mode the client reads the end of file if the backend
/// accepts no connection within `timeout connect`, or closes: curl(1) 52. A SYN is repeated after a second (RFC 6298, 2.1).
#[test]
fn haproxy() {
    let case = Case::run("haproxy");
    assert_eq!(case.said("a check was "), "reset");
    let checks = case.connections(8090);
    assert!(!checks.is_empty());
    assert!(
        (checks.iter()).any(|it| verdict(it) == json!(["aborted", null, "ECONNRESET"])),
        "{checks:?}"
    );
    assert_eq!(case.said("rejected "), "52");
    let [rejected] = case.connections(8082)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(
        verdict(rejected),
        json!(["closed-before-response", null, null])
    );
    assert_eq!(case.said("silent "), "52");
    let [silent] = case.connections(8086)[..] else {
        panic!("{:?}", case.rows)
    };
    let preceded = &silent["preceded_by"];
    assert_eq!(silent["failure"], "closed-before-response");
    assert_eq!(preceded["failure"], "no-reply", "{preceded}");
    assert_eq!(preceded["server"], "127.0.0.1:8091");
    let waited = preceded["before_ns"].as_i64().unwrap();
    assert!((1_990_000_000..4_000_000_000).contains(&waited), "{waited}");
    assert_eq!(case.said("closing "), "52");
    let [closing] = case.connections(8087)[..] else {
        panic!("{:?}", case.rows)
    };
    let preceded = &closing["preceded_by"];
    assert_eq!(preceded["failure"], "closed-before-response", "{preceded}");
    assert_eq!(preceded["server"], "127.0.0.1:8092");
    assert_eq!(case.said("broken "), "503");
    let [broken] = case.connections(8083)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(verdict(broken), json!([null, null, null]));
    let [refused] = case.connections(81)[..] else {
        panic!("{:?}", case.rows)
    };
    assert_eq!(verdict(refused), json!(["refused", "ECONNREFUSED", null]));
}

/// `socket.destroy()` closes, `socket.resetAndDestroy()` aborts (net.Socket, Node documentation).
#[test]
fn node() {
    let case = Case::run("node");
    assert_eq!(case.said("destroyed "), "52");
    assert_eq!(case.said("reset "), "56");
    assert_eq!(case.said("answered "), "0");
    let verdicts: Vec<Value> = case.connections(8084).into_iter().map(verdict).collect();
    let expected = [
        json!(["closed-before-response", null, null]),
        json!(["aborted", "ECONNRESET", null]),
        json!([null, null, null]),
    ];
    assert_eq!(verdicts, expected);
}

/// Redis answers a client too many with an error before it closes. CLIENT KILL closes as well: no client
/// reads an error.
#[test]
fn redis() {
    let case = Case::run("redis");
    assert_eq!(case.said("authenticated "), "+OK");
    assert_eq!(case.said("too many "), "-ERR max number of clients reached");
    assert_eq!(case.said("killed "), ":1");
    let connections = case.connections(6390);
    assert_eq!(connections.len(), 3, "{:?}", case.rows);
    // A client that closes at the same time may refuse what the server still sends, but none got an error.
    for connection in connections {
        assert_eq!(connection["client_errno"], Value::Null, "{connection}");
    }
}

/// The server's last words are the reason (57P01 is `admin_shutdown`). psql writes after it, to a socket that is closed: its error
/// would be EPIPE, but it reads first.
#[test]
fn postgresql() {
    let case = Case::run("postgresql");
    assert_eq!(case.said("terminated "), "true");
    case.said("server closed the connection unexpectedly");
    let connections = case.connections(5433);
    let ended = connections[0];
    assert_eq!(verdict(ended), json!(["data-after-close", "EPIPE", null]));
    assert_eq!(
        words(ended, "server"),
        "FATAL 57P01: terminating connection due to administrator command"
    );
    assert_eq!(verdict(connections[1]), json!([null, null, null]));
}

/// A connection more than `MaxStartups` allows is closed before the key exchange. The identification of the client may come before
/// that, and then be unread, or after it.
#[test]
fn sshd() {
    let case = Case::run("sshd");
    let said = case.said("kex_exchange_identification: ");
    let connections = case.connections(2222);
    let last = connections.last().unwrap();
    if said == "read: Connection reset by peer" {
        assert_eq!(verdict(last), json!(["aborted", "ECONNRESET", null]));
    } else {
        assert_eq!(said, "Connection closed by remote host");
        let failure = last["failure"].as_str().unwrap();
        assert!(
            ["data-after-close", "closed-before-response"].contains(&failure),
            "{last}"
        );
    }
}

/// Connections that end well have not failed, however they end.
#[test]
fn good_connections() {
    let case = Case::run("good");
    assert_eq!(case.said("made "), "504");
    let connections = case.connections(8095);
    // The end of the connection that the script made to see whether the server listens may be captured as well.
    assert!(
        [504, 505].contains(&connections.len()),
        "{}",
        connections.len()
    );
    for connection in connections {
        assert_eq!(
            verdict(connection),
            json!([null, null, null]),
            "{connection}"
        );
    }
}
