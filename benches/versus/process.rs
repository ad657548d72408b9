//! The two programs as real processes, each in a folder of its own on a real disk.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::bench_folder;
use crate::servers::place::free_port;

/// How long a process may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether the original compares a push with everything stored before it takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    On,
    Off,
}

/// A running server; killed on drop.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    /// quorumgate with its data in `folder`; checks are always on.
    pub(crate) fn gate(folder: &Path) -> Server {
        let addr = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorumgate"));
        command
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--storage.path={}", folder.join("quorumgate").display()));
        Server::start(command, addr, &folder.join("quorumgate.log"))
    }

    /// The original, which reads its state from a file in `folder` and writes it when it is stopped.
    pub(crate) fn original(folder: &Path, checks: Checks) -> Server {
        let addr = free_port();
        let original = Original::find();
        let mut command = Command::new(original.folder.join("usr/bin/prometheus-pushgateway"));
        command
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--persistence.file={}", folder.join("original.state").display()))
            // Not while something is measured.
            .arg("--persistence.interval=1h");
        if checks == Checks::Off {
            command.arg("--push.disable-consistency-check");
        }
        let assets = original.folder.join("usr/share/prometheus/pushgateway");
        if original.version.starts_with("1.11") {
            command.arg(format!("--web.local-assets={}", assets.display()));
        }
        Server::start(command, addr, &folder.join("original.log"))
    }

    fn start(mut command: Command, addr: SocketAddr, log: &Path) -> Server {
        let said = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let mut server = Server { child, addr };
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{command:?} stopped with {status}, see {}", log.display());
            }
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the process does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The original as `make test-deps` unpacked it.
#[derive(Debug)]
pub(crate) struct Original {
    folder: PathBuf,
    pub(crate) version: String,
}

impl Original {
    pub(crate) fn find() -> Original {
        let deps = bench_folder().with_file_name("test-deps");
        let found = ["pushgateway-1.11", "pushgateway-1.5"].map(|name| deps.join(name));
        let folder = found.into_iter().find(|folder| folder.exists());
        let folder = folder.expect("the original is missing: run `make test-deps` first");
        let program = folder.join("usr/bin/prometheus-pushgateway");
        let said = Command::new(program).arg("--version").output().unwrap();
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        let version = said.split_whitespace().nth(2).unwrap_or_default();
        Original { folder, version: version.to_owned() }
    }
}
