//! Small things that every part of the harness needs.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Speaks to whoever runs the suite.
pub(crate) fn say(line: &str) {
    // Nobody may be listening any more; that is no reason to fail.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Runs a tool to its end; what it printed, or why it failed.
pub(crate) fn run(tool: &str, args: &[&str]) -> Result<String, String> {
    feed(tool, args, "")
}

/// As `run`, with something on standard input.
pub(crate) fn feed(tool: &str, args: &[&str], input: &str) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{tool} {}: {why}", args.join(" "));
    let mut child = Command::new(tool)
        .args(args)
        .env("PATH", path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| failed(&err))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|err| failed(&err))?;
    }
    let output = child.wait_with_output().map_err(|err| failed(&err))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr).trim()))
}

/// Where tools of the administrator are, also for whoever's path lacks them.
fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Whether a tool is installed.
pub(crate) fn installed(tool: &str) -> bool {
    path().split(':').any(|folder| Path::new(folder).join(tool).is_file())
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Sends a signal by its name to processes, in one go.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // Who has ended meanwhile needs no signal.
    let _sent = run("sh", &["-c", &format!("kill -{name} {}", pids.join(" "))]);
}

/// Polls until `probe` yields something, at most for `limit`.
pub(crate) fn eventually<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the suite keeps what it needs while it runs, and what a failed run leaves.
pub(crate) fn workshop() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("jepsen-like")
}

/// A seed that nobody chose.
pub(crate) fn fresh_seed() -> u64 {
    let mut bytes = [0; 4];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut bytes).unwrap();
    u64::from(u32::from_le_bytes(bytes))
}

/// Random numbers that depend on the seed only, whatever version of whatever crate is used.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// `SplitMix64`.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least `from`, less than `to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from).max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.next() % of.len() as u64).unwrap()]
    }

    pub(crate) fn shuffle<T>(&mut self, of: &mut [T]) {
        for at in (1..of.len()).rev() {
            of.swap(at, usize::try_from(self.between(0, at as u64 + 1)).unwrap());
        }
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}
