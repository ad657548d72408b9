//! `quorumgate drill`: rehearses a failover and tells what clients noticed.
//!
//! Promises: every acknowledged push is looked for at every endpoint after each round; a push whose
//! fate is not known is never counted as failed; what the drill pushed, started, mounted or cut is
//! gone when it ends, also by Ctrl-C. Must never do: touch groups that are not its own, or a replica
//! of a live cluster but through its API.

mod args;
mod client;
mod cluster;
mod course;
mod fault;
mod figures;
mod help;
mod load;
mod local;
mod progress;
mod record;
mod report;
mod stage;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::args::{Asked, Settings};
use self::report::Report;
use crate::clock::{Clock, UnixNanos};
use crate::ctl::{Answer, one_line};

/// Whether the first argument asks for a drill.
pub fn is_command(first: &OsStr) -> bool {
    first == "drill"
}

/// Does what the arguments say. Says how it goes on standard error, the rest is in the answer: exit
/// code 0 passed, 1 failed, 2 bad usage or not run.
pub fn run(args: impl Iterator<Item = OsString>) -> Answer {
    let settings = match args::parse(args) {
        Ok(Asked::Help(out)) => return Answer { out, err: String::new(), code: 0 },
        Ok(Asked::Run(settings)) => settings,
        Err(text) => return not_run(&format!("{text}, try quorumgate drill --help")),
    };
    match drill(&settings) {
        Ok(report) => written(&settings, &report),
        Err(text) => not_run(&text),
    }
}

fn not_run(text: &str) -> Answer {
    let err = format!("quorumgate: error: {}\n", one_line(text));
    Answer { out: String::new(), err, code: 2 }
}

fn drill(settings: &Settings) -> Result<Report, String> {
    for path in [&settings.json, &settings.html].into_iter().flatten() {
        writable(path)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|err| err.to_string())?;
    let begun = Clock::System.now();
    let run = run_id(begun);
    runtime.block_on(async {
        let stop = stop_signal().map_err(|err| err.to_string())?;
        let judge = |course: &course::Course| report::passes(settings, course);
        let done = tokio::select! {
            done = course::run(settings, &run, judge) => done,
            () = stop => Err("interrupted".to_owned()),
        };
        match done {
            Ok(course) => Ok(Report::of(settings, course, begun)),
            Err(why) => Err(abandoned(settings, &run, why).await),
        }
    })
}

/// How long an abandoned drill may take to remove what it pushed.
const CLEARING: Duration = Duration::from_secs(10);

/// How long pushes may be under way when nobody waits for them any more, in a cluster that is well.
const ARRIVING: Duration = Duration::from_millis(500);

/// Clears up after a drill that did not get to its end; why it did not.
async fn abandoned(settings: &Settings, run: &str, why: String) -> String {
    if settings.local.is_some() {
        return why;
    }
    // What was under way arrives first.
    tokio::time::sleep(ARRIVING).await;
    let sweeping = stage::sweep(&settings.endpoints, run, settings.load.timeout);
    match tokio::time::timeout(CLEARING, sweeping).await {
        Ok(Ok(_)) => why,
        _ => format!("{why}; groups of job {}, run {run} may be left", client::JOB),
    }
}

async fn either(mut one: tokio::signal::unix::Signal, mut other: tokio::signal::unix::Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(either(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

/// A name for a run: its time, and the process.
fn run_id(now: UnixNanos) -> String {
    let seconds = now.0 / 1_000_000_000;
    format!("{seconds:x}-{:x}", std::process::id())
}

fn writable(path: &std::path::Path) -> Result<(), String> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|err| format!("{}: cannot be written: {err}", path.display()))
}

/// Writes what was asked for.
fn written(settings: &Settings, report: &Report) -> Answer {
    let json = report.json();
    let mut out = report.text();
    let mut failed = Vec::new();
    let mut save = |path: &std::path::Path, text: &str| {
        if let Err(err) = std::fs::write(path, text) {
            failed.push(format!("{}: cannot be written: {err}", path.display()));
        }
    };
    match &settings.json {
        Some(path) if path.as_os_str() == "-" => out = json,
        Some(path) => save(path, &json),
        None => {}
    }
    if let Some(path) = &settings.html {
        match report.html() {
            Ok(page) => save(path, &page),
            Err(err) => failed.push(err),
        }
    }
    if let Some(why) = failed.first() {
        return Answer { out, ..not_run(why) };
    }
    Answer { out, err: String::new(), code: u8::from(!report.passed()) }
}
