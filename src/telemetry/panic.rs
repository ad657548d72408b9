//! Panics end the process: a thread that is gone half-way leaves state that nobody can trust.

use std::panic::PanicHookInfo;

use super::log::{LogLevel, Value, write_line};

/// From now on a panic is logged as one error line and aborts the process.
///
/// While `tolerated` says so, a panic is only noted at debug level and unwinds: some libraries panic
/// on damaged files, and who opens such a file catches that.
pub fn install_panic_hook(tolerated: fn() -> bool) {
    std::panic::set_hook(Box::new(move |info| {
        let message = message(info);
        let (place, line) = info.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
        if tolerated() {
            tracing::debug!(panic = message, file = place, line, "panic tolerated");
            return;
        }
        // Straight to standard error: the log's own code may be what has failed.
        let place = format!("{}:{line}", place.strip_prefix("src/").unwrap_or(place));
        let thread = std::thread::current();
        let thread = Value::Text(thread.name().unwrap_or("unnamed"));
        let fields = [("panic", Value::Text(message)), ("thread", thread)];
        write_line(LogLevel::Error, &place, "broken invariant, the process aborts", &fields);
        std::process::abort();
    }));
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("panic without a message")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    const ROLE: &str = "QUORUMGATE_TEST_PANIC";

    /// Does nothing by itself: the test below runs it in a process of its own.
    #[test]
    fn child() {
        match std::env::var(ROLE).as_deref() {
            Ok("abort") => super::install_panic_hook(|| false),
            Ok("tolerate") => super::install_panic_hook(|| true),
            _ => return,
        }
        let caught = std::panic::catch_unwind(|| panic!("two\nlines"));
        assert!(caught.is_err());
    }

    #[test]
    fn aborts_after_one_line_unless_tolerated() {
        let run = |role: &str| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "telemetry::panic::tests::child", "--nocapture"])
                .env(ROLE, role)
                .output()
                .unwrap()
        };
        let aborted = run("abort");
        assert!(!aborted.status.success());
        let stderr = String::from_utf8(aborted.stderr).unwrap();
        let line = stderr.lines().find(|line| line.starts_with("ts=")).unwrap_or_else(|| {
            panic!("no log line in {stderr:?}");
        });
        assert!(line.contains(" level=error caller=telemetry/panic.rs:"), "{line}");
        assert!(line.contains(r#" panic="two\nlines" thread="#), "{line}");

        let tolerated = run("tolerate");
        assert!(tolerated.status.success(), "{tolerated:?}");
        assert!(!String::from_utf8_lossy(&tolerated.stderr).contains("level=error"));
    }
}
