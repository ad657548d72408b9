//! The `quorumgate` program: flags, logging, server or tool, signals, exit code.

use std::process::ExitCode;
use std::time::Duration;

use quorumgate::cli::{self, Command};
use quorumgate::config::Config;
use quorumgate::ctl::{self, Answer};
use quorumgate::drill;
use quorumgate::server::{Error, Server};
use quorumgate::telemetry::{self, LogConfig, LogFormat, LogLevel};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "help and usage errors go to the terminal"
)]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|first| ctl::is_command(first)) {
        return tool(|| ctl::run(args));
    }
    if args.peek().is_some_and(|first| drill::is_command(first)) {
        return tool(|| drill::run(args));
    }
    let config = match cli::parse(args) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(err) => {
            eprintln!("{err}");
            return ExitCode::FAILURE;
        }
    };
    telemetry::init(&config.log);
    telemetry::install_panic_hook(quorumgate::storage_tolerates_panics);
    let begun = quorumgate::trials::begin().map_err(|unknown| {
        tracing::error!(err = unknown, "quorumgate cannot start");
    });
    let Ok(warning) = begun else { return ExitCode::FAILURE };
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!(err = %err, "quorumgate cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// Runs one of the operators' tools.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool answers on the terminal")]
fn tool(run: impl FnOnce() -> Answer) -> ExitCode {
    telemetry::init(&LogConfig { level: LogLevel::Warn, format: LogFormat::Logfmt });
    telemetry::install_panic_hook(quorumgate::storage_tolerates_panics);
    let Answer { out, err, code } = run();
    print!("{out}");
    eprint!("{err}");
    ExitCode::from(code)
}

/// How long tasks on the disk may go on after everything else has stopped.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn run(config: Config) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // A single worker would let one long computation hold up everything else.
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).max(2))
        .enable_all()
        .build()
        .map_err(|source| Error::Replica(Box::new(source)))?;
    let result = runtime.block_on(async {
        // From here on a signal stops the server in order, also while it is still starting.
        let stop = stop_signal().map_err(|source| Error::Replica(Box::new(source)))?;
        tokio::pin!(stop);
        // A task of its own: what it holds is let go of where that may wait for the disk.
        let mut binding = tokio::spawn(Server::bind(config));
        let server = tokio::select! {
            bound = &mut binding => bound.map_err(|ended| Error::Replica(Box::new(ended)))??,
            () = &mut stop => {
                binding.abort();
                return Ok(());
            }
        };
        server.run(stop).await
    });
    // What still runs is either done with the disk or stuck on it.
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    result
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("received SIGTERM"),
            _ = interrupt.recv() => tracing::info!("received SIGINT"),
        }
    })
}
