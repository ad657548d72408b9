//! Logging to standard error, in the two formats and with the keys of the Prometheus programs.
//!
//! Our own lines are logged from the level that the operator chose; those of libraries, whether they
//! use `tracing` or `log`, only from warnings on.

mod line;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

use line::Fields;
pub(super) use line::{Line, Value};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severity that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// Severity, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For who looks for the cause of something.
    Debug,
    /// What the operator may want to know.
    Info,
    /// Unexpected, but went on.
    Warn,
    /// A human must look.
    Error,
}

impl LogLevel {
    const ALL: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

    /// The name on the command line and in a log line.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => LogLevel::Error,
            tracing::Level::WARN => LogLevel::Warn,
            tracing::Level::INFO => LogLevel::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => LogLevel::Debug,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object.
    Json,
}

impl LogFormat {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Logfmt => "logfmt",
            LogFormat::Json => "json",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [LogFormat::Logfmt, LogFormat::Json].into_iter().find(|format| format.name() == name)
    }
}

/// The format for lines that do not pass through `tracing`: those of a panic, and of `log`'s users.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts logging. The first call counts: a process has one log.
pub fn init(config: &LogConfig) {
    let LogConfig { level, format } = *config;
    if FORMAT.set(format).is_err() {
        return;
    }
    // Errors here mean that the embedding program has set up its own log, which then stands.
    tracing::subscriber::set_global_default(subscriber(config, std::io::stderr)).unwrap_or(());
    if ::log::set_logger(&LOG_BRIDGE).is_ok() {
        ::log::set_max_level(match level {
            LogLevel::Error => ::log::LevelFilter::Error,
            LogLevel::Debug | LogLevel::Info | LogLevel::Warn => ::log::LevelFilter::Warn,
        });
    }
}

/// Writes a line straight to standard error.
pub(super) fn write_line(
    level: LogLevel,
    caller: &str,
    message: &str,
    fields: &[(&str, Value<'_>)],
) {
    let format = FORMAT.get().copied().unwrap_or(LogFormat::Logfmt);
    let mut line = Line::new(format, Clock::System.now(), level, caller, message);
    for (key, value) in fields {
        line.field(key, *value);
    }
    // There is nobody left to tell when standard error is gone.
    std::io::stderr().lock().write_all(line.finish().as_bytes()).unwrap_or(());
}

/// The name under which this program's own events are known.
const OUR_TARGET: &str = env!("CARGO_CRATE_NAME");

fn subscriber<W>(config: &LogConfig, writer: W) -> impl tracing::Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let theirs = config.level.max(LogLevel::Warn);
    // openraft warns at every attempt to reach a replica that is gone; we say it once.
    let debugging = config.level == LogLevel::Debug;
    let openraft = if debugging { LogLevel::Warn } else { LogLevel::Error };
    let filter = Targets::new()
        .with_default(theirs.filter())
        .with_target("openraft", openraft.filter())
        .with_target(OUR_TARGET, config.level.filter());
    let lines = tracing_subscriber::fmt::layer()
        .event_format(PrometheusLines(config.format))
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines)
}

struct PrometheusLines(LogFormat);

impl<S, N> FormatEvent<S, N> for PrometheusLines
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let caller = caller(metadata.target(), metadata.file(), metadata.line());
        let level = LogLevel::of(*metadata.level());
        let mut line = Line::new(self.0, Clock::System.now(), level, &caller, &fields.message);
        for (key, text, bare) in &fields.rest {
            line.field(key, if *bare { Value::Bare(text) } else { Value::Text(text) });
        }
        writer.write_str(&line.finish())
    }
}

/// Where a line comes from: our file, or the module of a library, whose files have endless paths.
fn caller(target: &str, file: Option<&str>, line: Option<u32>) -> String {
    let ours = target == OUR_TARGET || target.starts_with(concat!(env!("CARGO_CRATE_NAME"), "::"));
    let place = match file {
        Some(file) if ours => file.strip_prefix("src/").unwrap_or(file),
        _ => target,
    };
    match line {
        Some(line) => format!("{place}:{line}"),
        None => place.to_owned(),
    }
}

/// What sled warns about at every start after a crash: blobs that were not part of its last stable
/// write are removed. That is how it recovers, and what is missing then is noticed by our own sums.
fn is_noise(record: &::log::Record<'_>) -> bool {
    record.level() == ::log::Level::Warn && record.target() == "sled::pagecache::blob_io" && {
        let message = record.args().to_string();
        let count = message.strip_prefix("removing ").and_then(|rest| rest.split_once(' '));
        count.is_some_and(|(count, rest)| {
            count.parse::<u64>().is_ok()
                && rest.starts_with("blobs that have a higher lsn than our stable log: ")
        })
    }
}

static LOG_BRIDGE: LogBridge = LogBridge;

/// Takes in what libraries log through the `log` crate.
struct LogBridge;

impl ::log::Log for LogBridge {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &::log::Record<'_>) {
        if !self.enabled(record.metadata()) || is_noise(record) {
            return;
        }
        let level = match record.level() {
            ::log::Level::Error => LogLevel::Error,
            ::log::Level::Warn => LogLevel::Warn,
            ::log::Level::Info => LogLevel::Info,
            ::log::Level::Debug | ::log::Level::Trace => LogLevel::Debug,
        };
        let caller = caller(record.target(), record.file(), record.line());
        write_line(level, &caller, &record.args().to_string(), &[]);
    }

    fn flush(&self) {}
}
