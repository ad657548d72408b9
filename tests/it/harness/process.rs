//! The two programs under comparison, as real processes: each with its own temporary folder and a
//! free port, killed on drop, with what it said kept for the failure report.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::{dependency, deps, eventually, http, say};

/// How long a process may take to start or to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    addr: SocketAddr,
    stderr: Arc<Mutex<String>>,
    /// Gone with the server, unless the test brought a folder of its own.
    folder: Option<TempDir>,
}

impl Server {
    /// quorumgate on a free port with a new folder.
    pub(crate) fn gate(flags: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::gate_in(folder.path(), flags);
        server.folder = Some(folder);
        server
    }

    /// quorumgate on a free port with its data in `folder`.
    pub(crate) fn gate_in(folder: &Path, flags: &[&str]) -> Server {
        Server::gate_with(folder, flags, &[])
    }

    /// As `gate_in`, with more in its environment.
    pub(crate) fn gate_with(folder: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = gate_command();
        command.envs(environment.iter().copied());
        command.arg("--web.listen-address=127.0.0.1:0");
        command.arg(format!("--storage.path={}", folder.join("data").display()));
        command.args(flags).current_dir(folder);
        Server::run(command)
    }

    /// quorumgate started in `folder` with these flags alone.
    pub(crate) fn gate_bare(folder: &Path, flags: &[&str]) -> Server {
        let mut command = gate_command();
        command.args(flags).current_dir(folder);
        Server::run(command)
    }

    fn run(command: Command) -> Server {
        let shown = format!("{command:?}");
        let (mut child, stderr) = spawn(command);
        let addr = eventually(PATIENCE, "quorumgate to listen", || {
            let said = stderr.lock().unwrap().clone();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{shown} stopped with {status}:\n{said}");
            }
            listening(&said).map(reachable)
        });
        let server = Server { name: "quorumgate", child, addr, stderr, folder: None };
        server.wait_until_answering();
        server
    }

    /// The original Pushgateway, or nothing where it is not installed or does not know the flags.
    pub(crate) fn original(flags: &[&str]) -> Option<Server> {
        let original = Original::find()?;
        if !original.is_reference() && flags.iter().any(|f| f.contains("utf8")) {
            return None;
        }
        // Between choosing a free port and its use by the child another process may take it.
        Some(eventually(PATIENCE, "the original to listen", || original.start(flags)))
    }

    /// The same under another name in the report of a failure.
    pub(crate) fn named(mut self, name: &'static str) -> Server {
        self.name = name;
        self
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// A plain request that must be answered.
    pub(crate) fn send(&self, method: &str, target: &str, body: &str) -> http::Response {
        http::send(self.addr, method, target, body.as_bytes())
    }

    /// The same with headers instead of a body.
    pub(crate) fn send_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> http::Response {
        http::exchange(self.addr, &http::request(method, target, headers, b""))
            .unwrap_or_else(|e| panic!("{method} {target} got no answer: {e}"))
    }

    /// A figure that the kernel has of the process's memory, such as `VmHWM`, in bytes.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// One of the process's own metrics, if it is there.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.send("GET", "/-/metrics", "").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually(PATIENCE, "the process to stop", || child.try_wait().unwrap())
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_stopped(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends the process the hard way, as a crash would.
    pub(crate) fn kill(&mut self) {
        // Both fail only if the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn wait_until_answering(&self) {
        let probe = http::request("GET", "/-/ready-probe", &[], b"");
        eventually(PATIENCE, "an answer", || http::exchange(self.addr, &probe).ok());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.stderr();
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            say(&format!("--- the end of what {} said:\n{}\n---", self.name, tail.join("\n")));
            // All of it, where somebody wants it.
            if let Some(folder) = std::env::var_os("TEST_LOGS") {
                let file = format!("{}-{}.log", self.name.replace(' ', "-"), self.child.id());
                drop(std::fs::write(Path::new(&folder).join(file), said));
            }
        }
        // Only now that nothing writes there any more.
        drop(self.folder.take());
    }
}

/// The original at hand.
pub(crate) struct Original {
    program: PathBuf,
    assets: PathBuf,
    version: String,
}

impl Original {
    /// The version whose answers are recorded in the cases.
    pub(crate) const REFERENCE: &'static str = "1.11.2";

    pub(crate) fn find() -> Option<Original> {
        let newer = deps().join("pushgateway-1.11");
        let folder = if newer.exists() { newer } else { dependency("pushgateway-1.5")? };
        let program = folder.join("usr/bin/prometheus-pushgateway");
        let said = Command::new(&program).arg("--version").output().unwrap();
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        let version = said.split_whitespace().nth(2).unwrap_or_default().to_owned();
        Some(Original { program, assets: folder.join("usr/share/prometheus/pushgateway"), version })
    }

    /// Whether this is the very version whose answers are recorded.
    pub(crate) fn is_reference(&self) -> bool {
        self.version == Original::REFERENCE
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    fn start(&self, flags: &[&str]) -> Option<Server> {
        let addr = free_port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.program);
        command.arg(format!("--web.listen-address={addr}")).arg("--persistence.file=");
        if self.is_reference() {
            command.arg(format!("--web.local-assets={}", self.assets.display()));
        }
        command.args(flags).current_dir(folder.path());
        let (child, stderr) = spawn(command);
        let mut server = Server { name: "the original", child, addr, stderr, folder: Some(folder) };
        let probe = http::request("GET", "/-/ready-probe", &[], b"");
        eventually(PATIENCE, "the original to answer or to stop", || {
            match server.child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => http::exchange(addr, &probe).ok().map(|_| true),
            }
        })
        .then_some(server)
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// The quorumgate binary under test.
pub(crate) fn gate_command() -> Command {
    let program = std::env::var_os("QUORUMGATE_BIN")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_quorumgate").into());
    Command::new(program)
}

/// Starts a process and gathers its standard error in the background.
fn spawn(mut command: Command) -> (Child, Arc<Mutex<String>>) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let said = Arc::new(Mutex::new(String::new()));
    let (pipe, sink) = (child.stderr.take().unwrap(), Arc::clone(&said));
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = sink.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
    (child, said)
}

/// Where to connect to what listens here.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    addr
}

/// The address in `msg="listening" ... address=127.0.0.1:PORT`.
fn listening(said: &str) -> Option<SocketAddr> {
    let line =
        said.lines().find(|l| l.contains("msg=\"listening\"") || l.contains("msg=listening"))?;
    line.split(" address=").nth(1)?.split(' ').next()?.trim_matches('"').parse().ok()
}
