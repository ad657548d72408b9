//! quorumgate against the original: the cases of `tests/data/compat/`, sent to both.
//!
//! The same cases are sent to a cluster of three, each request to another replica than the one before,
//! which must make no difference.
//!
//! Every answer of the original 1.11.2 is recorded in the cases. The original at hand must still
//! give it (another version is only reported), and quorumgate must give the same, or what the case
//! says it gives instead, with the entry of `docs/compatibility.md` that says why.
//!
//! `COMPAT_RECORD=1` asks the original for the answers that are not recorded yet and writes them
//! into the files; `COMPAT_RECORD=gate` does so with quorumgate's answers that differ, in cases that
//! give a reason for it. `COMPAT_ONLY=text` runs the cases whose name contains the text.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::cases::{self, Case, Section, Step};
use crate::harness::cluster::{Cluster, THREE};
use crate::harness::http;
use crate::harness::normal::{CLOSED, Normal};
use crate::harness::process::{Original, Server};
use crate::harness::{eventually, root, say};

/// How long the original may take to do what it has only queued.
const SETTLE: Duration = Duration::from_secs(10);

fn folder() -> PathBuf {
    root().join("tests/data/compat")
}

macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        $(#[test] fn $area() { area(stringify!($area)); })*
        const AREAS: &[&str] = &[$(stringify!($area)),*];
    };
}

areas!(
    api,
    admin_off,
    encoding,
    lifecycle,
    negotiation,
    parse,
    path,
    prefix,
    protobuf,
    push,
    routes,
    scrape,
    unchecked,
    utf8
);

#[test]
fn every_file_of_cases_is_run() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .collect();
    files.sort();
    let mut areas: Vec<&str> = AREAS.to_vec();
    areas.sort_unstable();
    assert_eq!(files, areas);
}

#[test]
fn every_difference_is_documented() {
    let documented = std::fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    for area in AREAS {
        let text = std::fs::read_to_string(folder().join(format!("{area}.txt"))).unwrap();
        for case in cases::parse(area, &text).iter().flat_map(|s| &s.cases) {
            let changed = case.steps.iter().any(|step| step.gate.is_some());
            assert_eq!(
                changed,
                case.differs.is_some(),
                "{area} [{}]: differs without reason, or a reason without difference",
                case.name
            );
            if let Some(entry) = &case.differs {
                assert!(
                    documented.contains(entry.as_str()),
                    "{area} [{}]: docs/compatibility.md does not say: {entry}",
                    case.name
                );
            }
        }
    }
}

/// Who answers the requests of a case.
trait Gateway {
    /// Where the next request goes.
    fn next(&self) -> SocketAddr;
}

impl Gateway for Server {
    fn next(&self) -> SocketAddr {
        self.addr()
    }
}

/// Three replicas in turn.
struct InTurn {
    cluster: Cluster,
    turn: Cell<usize>,
}

impl InTurn {
    fn start(flags: &[&str], prefix: &str) -> InTurn {
        let mut cluster = Cluster::prepared(THREE, flags);
        cluster.route_under(prefix);
        for name in THREE {
            cluster.start(name);
        }
        cluster.until_ready(THREE);
        InTurn { cluster, turn: Cell::new(0) }
    }
}

impl Gateway for InTurn {
    fn next(&self) -> SocketAddr {
        self.turn.set(self.turn.get() + 1);
        self.cluster.server(THREE[self.turn.get() % THREE.len()]).addr()
    }
}

/// Clusters that work on the cases at once.
const CLUSTERS: usize = 4;

#[test]
fn a_cluster_answers_as_one_process_does() {
    if std::env::var_os("COMPAT_RECORD").is_some() {
        return;
    }
    // What has the same flags shares a cluster, which takes longer to form than most cases to run.
    let mut shares: Vec<Share<'_>> = Vec::new();
    for area in AREAS {
        let text = std::fs::read_to_string(folder().join(format!("{area}.txt"))).unwrap();
        for section in cases::parse(area, &text) {
            let share = shares.iter_mut().find(|s| s.flags == section.flags && s.has_room());
            match share {
                Some(share) => share.sections.push((area, section)),
                None => shares
                    .push(Share { flags: section.flags.clone(), sections: vec![(area, section)] }),
            }
        }
    }
    // The longest first.
    shares.sort_by_key(Share::cases);
    let left = std::sync::Mutex::new(shares);
    let report = std::sync::Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..CLUSTERS {
            scope.spawn(|| {
                loop {
                    // Not within a condition, which would keep the lock while the body runs.
                    let next = left.lock().unwrap().pop();
                    let Some(share) = next else { return };
                    let partial = in_a_cluster(&share);
                    let mut report = report.lock().unwrap();
                    report.requests += partial.requests;
                    report.failures.extend(partial.failures);
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    let count = report.failures.len();
    say(&format!("{} requests to three replicas in turn", report.requests));
    assert!(count == 0, "{count} differences\n\n{}", report.failures.join("\n"));
}

/// What one cluster works on.
struct Share<'a> {
    flags: Vec<String>,
    sections: Vec<(&'a str, Section)>,
}

impl Share<'_> {
    fn cases(&self) -> usize {
        self.sections.iter().map(|(_, section)| section.cases.len()).sum()
    }

    fn has_room(&self) -> bool {
        self.cases() < 150
    }
}

fn in_a_cluster(Share { flags, sections }: &Share<'_>) -> Report {
    let only = std::env::var("COMPAT_ONLY").unwrap_or_default();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (mut report, mut gate) = (Report::default(), None);
    for (area, section) in sections {
        for case in section.cases.iter().filter(|case| case.name.contains(&only)) {
            let start = || Some(InTurn::start(&flags, &section.prefix));
            gate = fresh(gate.take(), wipes(&flags), &section.prefix, start);
            let context = format!("{area}.txt [{}], in a cluster", case.name);
            run_gate(&context, case, gate.as_ref().unwrap(), Record::Nothing, &mut report);
            report.requests += case.steps.len();
        }
    }
    report
}

/// Whether a process with these flags can be emptied; otherwise only a new one is empty.
fn wipes(flags: &[&str]) -> bool {
    flags.contains(&"--web.enable-admin-api")
}

/// Whose answers are written into the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Nothing,
    /// Those of the original where there is none.
    Original,
    /// Those of quorumgate that differ, in cases that say why.
    Gate,
}

/// What came of one area.
#[derive(Default)]
struct Report {
    requests: usize,
    failures: Vec<String>,
    /// Differences of an original that is not the recorded version.
    other_version: Vec<String>,
    /// Line in the file and what to insert there.
    recorded: Vec<(usize, String)>,
}

fn area(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let record = match std::env::var("COMPAT_RECORD").as_deref() {
        Ok("gate") => Record::Gate,
        Ok(_) => Record::Original,
        Err(_) => Record::Nothing,
    };
    let mut report = Report::default();
    for section in cases::parse(name, &text) {
        run_section(name, &section, record, &mut report);
    }
    if record != Record::Nothing {
        write_recorded(&path, &text, &report.recorded);
    }
    if !report.other_version.is_empty() {
        let version = Original::find().map(|o| o.version().to_owned()).unwrap_or_default();
        say(&format!(
            "{name}: {} of {} answers of the original {version} are not those of {}",
            report.other_version.len(),
            report.requests,
            Original::REFERENCE
        ));
    }
    let count = report.failures.len();
    assert!(
        count == 0,
        "{name}: {count} differences in {} requests\n\n{}",
        report.requests,
        report.failures.join("\n")
    );
}

fn write_recorded(path: &std::path::Path, text: &str, recorded: &[(usize, String)]) {
    let mut lines: Vec<&str> = text.lines().collect();
    for (at, answer) in recorded.iter().rev() {
        lines.insert(*at, answer.trim_end_matches('\n'));
    }
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn run_section(area: &str, section: &Section, record: Record, report: &mut Report) {
    let only = std::env::var("COMPAT_ONLY").unwrap_or_default();
    let flags: Vec<&str> = section.flags.iter().map(String::as_str).collect();
    let reference = Original::find().is_none_or(|o| o.is_reference());
    assert!(
        reference || record != Record::Original,
        "only answers of {} are recorded",
        Original::REFERENCE
    );
    let mut original = None;
    let mut gate = None;
    for case in section.cases.iter().filter(|case| case.name.contains(&only)) {
        let context = format!("{area}.txt [{}]", case.name);
        let wipe = wipes(&flags);
        if std::env::var_os("COMPAT_GATE_ONLY").is_none() && record != Record::Gate {
            original = fresh(original.take(), wipe, &section.prefix, || Server::original(&flags));
        }
        if std::env::var_os("COMPAT_ORIGINAL_ONLY").is_none() && record != Record::Original {
            gate = fresh(gate.take(), wipe, &section.prefix, || Some(Server::gate(&flags)));
        }
        if let Some(server) = &original {
            run_original(&context, case, server, record, reference, report);
        }
        if let Some(server) = &gate {
            run_gate(&context, case, server, record, report);
        }
        report.requests += case.steps.len();
    }
}

/// A server that holds nothing: a new one, or the last one wiped.
fn fresh<G: Gateway>(
    server: Option<G>,
    wipe: bool,
    prefix: &str,
    start: impl FnOnce() -> Option<G>,
) -> Option<G> {
    let Some(server) = server.filter(|_| wipe) else { return start() };
    let wiped = http::send(server.next(), "PUT", &format!("{prefix}/api/v1/admin/wipe"), b"");
    assert_eq!(wiped.status, 202);
    eventually(SETTLE, "the wipe", || {
        let groups = http::send(server.next(), "GET", &format!("{prefix}/api/v1/metrics"), b"");
        groups.text().contains("\"data\":[]").then_some(())
    });
    Some(server)
}

fn run_original(
    context: &str,
    case: &Case,
    server: &Server,
    record: Record,
    reference: bool,
    report: &mut Report,
) {
    let mut normal = Normal::default();
    let mut queued = false;
    for step in case.steps.iter().filter(|step| !step.request.spare_original) {
        let bytes = step.request.bytes();
        let before = normal.clone();
        let mut ask = || {
            normal.clone_from(&before);
            normal.answer(&http::exchange(server.addr(), &bytes))
        };
        let mut answer = ask();
        if answer == CLOSED && reference && !matches(&step.original, CLOSED) {
            // The original is not under test; a connection that broke is not its answer.
            say(&format!("{context} line {}: the original broke the connection", step.line));
            answer = ask();
        }
        if step.original.is_empty() && record == Record::Original {
            if queued && step.request.method == "GET" {
                std::thread::sleep(SETTLE / 100);
                answer = ask();
            }
            report.recorded.push((step.answer_at, format!("<<< {answer}")));
        } else if step.request.method == "GET" && queued && !matches(&step.original, &answer) {
            // The original answers 202 before it has done what it was asked to do.
            let deadline = Instant::now() + SETTLE;
            while !matches(&step.original, &answer) && Instant::now() < deadline {
                answer = ask();
            }
        }
        queued |= answer.starts_with("202");
        if !matches(&step.original, &answer) && record == Record::Nothing {
            let difference = describe(context, "the original", step, &step.original, &answer);
            if reference {
                report.failures.push(difference);
            } else {
                report.other_version.push(difference);
            }
        }
    }
}

fn run_gate(
    context: &str,
    case: &Case,
    server: &impl Gateway,
    record: Record,
    report: &mut Report,
) {
    let mut normal = Normal::default();
    for step in &case.steps {
        let answer = normal.answer(&http::exchange(server.next(), &step.request.bytes()));
        let expected = match &step.gate {
            Some(answer) => std::slice::from_ref(answer),
            None => &step.original[..],
        };
        if matches(expected, &answer) {
            continue;
        }
        if record == Record::Gate && case.differs.is_some() && step.gate.is_none() {
            report.recorded.push((step.answer_at, format!("<<< quorumgate {answer}")));
        } else if record == Record::Nothing {
            report.failures.push(describe(context, "quorumgate", step, expected, &answer));
        }
    }
}

/// Whether an answer is one of those expected; `...` at the end of one stands for any rest.
fn matches(expected: &[String], answer: &str) -> bool {
    expected.iter().any(|expected| match expected.strip_suffix("...\n") {
        Some(start) => answer.starts_with(start),
        None => expected == answer,
    })
}

fn describe(context: &str, who: &str, step: &Step, expected: &[String], answer: &str) -> String {
    let target = String::from_utf8_lossy(&step.request.target).into_owned();
    let target: String = target.chars().take(120).collect();
    let mut out = format!("{context} line {}: {} {target}\n", step.line, step.request.method);
    if expected.is_empty() {
        out.push_str("  nothing recorded: run with COMPAT_RECORD=1\n");
    }
    for expected in expected {
        write!(out, "  expected:\n{}", indent(expected)).unwrap();
    }
    write!(out, "  {who} said:\n{}", indent(answer)).unwrap();
    out
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |out, line| out + "    " + line + "\n")
}
