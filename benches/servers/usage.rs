//! What a process has used, as the kernel counts it.

use std::time::{Duration, Instant};

/// CPU time of a process so far, in seconds.
///
/// The scheduler's own count of each living thread is exact to the nanosecond. The count in
/// `/proc/PID/stat` has threads that have ended too, but only in steps of 10 ms: it decides where it
/// is higher by more than its steps explain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    fine: f64,
    coarse: f64,
}

/// The two ticks by which user and system time may each be cut off.
const COARSE_STEPS: f64 = 0.02;
/// `USER_HZ`, which Linux promises to programs whatever the kernel itself uses.
const TICKS_PER_SECOND: f64 = 100.0;

impl Cpu {
    pub(crate) fn of(pid: u32) -> Cpu {
        let mut fine = 0.0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            // A thread may end between being listed and being read.
            let read = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
            let nanos = read.ok().and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
            fine += nanos.unwrap_or(0.0) * 1e-9;
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The second field is the program's name in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        Cpu { fine, coarse: (ticks(11) + ticks(12)) / TICKS_PER_SECOND }
    }

    /// Seconds used between `earlier` and this.
    pub(crate) fn since(self, earlier: Cpu) -> f64 {
        (self.fine - earlier.fine).max(self.coarse - earlier.coarse - COARSE_STEPS).max(0.0)
    }
}

/// Waits until the process has finished what it does in the background: collecting garbage, writing
/// behind. What it cost is then in its CPU time.
pub(crate) fn settle(pid: u32) {
    const PAUSE: Duration = Duration::from_millis(10);
    const IDLE_SHARE: f64 = 0.05;
    let begun = Instant::now();
    let mut before = Cpu::of(pid);
    let mut quiet = 0;
    while quiet < 2 && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(PAUSE);
        let now = Cpu::of(pid);
        let idle = now.fine - before.fine < PAUSE.as_secs_f64() * IDLE_SHARE;
        quiet = if idle { quiet + 1 } else { 0 };
        before = now;
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}
