//! Tests of the checkers: histories of a simulated system that is right must pass all of them, and
//! each way of breaking one must be caught by the checkers that are named for it.

mod evidence;
mod faults;
mod mutate;
mod oracle;
mod plain;
mod simulate;

use std::cell::Cell;
use std::time::Instant;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::checkers::{self, Evidence, Finding, Verdict};
use crate::history::History;
use mutate::Mutation;
use simulate::{Script, Style, scripts, simulate};

/// Why a test failed.
type Failed = String;

const LEGAL_CASES: u32 = 64;
const BROKEN_CASES: u32 = 48;

/// Counts within a property.
#[derive(Default)]
struct Count(Cell<u32>);

impl Count {
    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn get(&self) -> u32 {
        self.0.get()
    }
}

/// Holds a property against many inputs.
fn many<S: Strategy>(
    cases: u32,
    inputs: &S,
    property: impl Fn(&S::Value) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let property = |input: S::Value| property(&input).map_err(TestCaseError::fail);
    TestRunner::new(config).run(inputs, property).map_err(|err| match err {
        TestError::Abort(reason) => reason.to_string(),
        TestError::Fail(reason, input) => format!("{reason}\nfor {input:?}"),
    })
}

fn verdict_of(history: &History, evidence: &Evidence, property: &str) -> Finding {
    let verdicts = checkers::judge(history, evidence);
    let found = verdicts.into_iter().find(|verdict| verdict.property == property);
    found.map_or_else(|| Finding::Fail("no such checker".to_owned()), |verdict| verdict.result)
}

/// No checker has anything against a system that is right.
fn legal(style: Style) -> Result<(), Failed> {
    many(LEGAL_CASES, &scripts(style), passes)
}

fn passes(script: &Script) -> Result<(), Failed> {
    let (history, evidence) = simulate(script);
    let evidence = Evidence { sightings: evidence::lawful(), ..evidence };
    let verdicts = checkers::judge(&history, &evidence);
    let bad: Vec<String> =
        verdicts.iter().filter(|verdict| verdict.is_bad()).map(Verdict::to_string).collect();
    if bad.is_empty() { Ok(()) } else { Err(bad.join("\n")) }
}

/// Long histories are decided, too, with as much unknown as a storm of faults leaves.
fn long() -> Result<(), Failed> {
    for style in [Style::Puts, Style::Mix, Style::Failures, Style::Wipes] {
        let (clients, ops_per_client, groups) = (8, 200, 8);
        let (unknown, repeated, relayed) = (2, 5, 5);
        let seed = 7;
        passes(&Script {
            style,
            seed,
            clients,
            ops_per_client,
            groups,
            unknown,
            repeated,
            relayed,
        })?;
    }
    Ok(())
}

/// A way of breaking a history, and who must notice.
struct Broken {
    name: &'static str,
    style: Style,
    mutation: Mutation,
    caught_by: &'static [&'static str],
}

const fn broken(
    name: &'static str,
    style: Style,
    mutation: Mutation,
    caught_by: &'static [&'static str],
) -> Broken {
    Broken { name, style, mutation, caught_by }
}

/// Which of the two decides depends on whether the group was only ever replaced as a whole.
const BLACK_BOX: &str = "zones or linearizable";

static BROKEN: [Broken; 42] = [
    broken("stale_read", Style::Puts, mutate::stale_read, &["order_by_index", "zones"]),
    broken("stale_read_of_a_mix", Style::Mix, mutate::stale_read, &["order_by_index", BLACK_BOX]),
    broken("old_read", Style::Puts, mutate::old_read, &["order_by_index", "zones"]),
    broken("old_read_of_a_mix", Style::Mix, mutate::old_read, &["order_by_index", BLACK_BOX]),
    broken("lost_push", Style::Puts, mutate::lost_push, &["no_lost_push", "order_by_index"]),
    broken(
        "lost_push_of_a_mix",
        Style::Mix,
        mutate::lost_push,
        &["no_lost_push", "order_by_index"],
    ),
    broken("lost_group", Style::Puts, mutate::lost_group, &["no_lost_push", "zones"]),
    broken("resurrected", Style::Puts, mutate::resurrected, &["at_most_once", "zones"]),
    broken("resurrected_delete", Style::Mix, mutate::resurrected, &["at_most_once", BLACK_BOX]),
    broken(
        "resurrected_by_wipe",
        Style::Wipes,
        mutate::resurrected,
        &["at_most_once", "order_by_index"],
    ),
    broken("phantom", Style::Mix, mutate::phantom, &["no_phantom", "order_by_index"]),
    broken("torn", Style::Mix, mutate::torn, &["no_phantom"]),
    broken("refused_but_done", Style::Puts, mutate::refused_but_done, &["no_phantom"]),
    broken("forked_bytes", Style::Mix, mutate::forked, &["same_bytes"]),
    broken("going_back", Style::Mix, mutate::going_back, &["monotone_reads", "order_by_index"]),
    broken("reordered", Style::Mix, mutate::reordered, &["order_by_index"]),
    broken("half_applied", Style::Mix, mutate::half_applied, &["order_by_index", BLACK_BOX]),
    broken("half_wiped", Style::Wipes, mutate::half_wiped, &["order_by_index", BLACK_BOX]),
    broken("own_time", Style::Puts, mutate::own_time, &["push_times"]),
    broken("wrong_clock", Style::Mix, mutate::wrong_clock, &["push_times"]),
    broken("forgotten_failure", Style::Failures, mutate::forgotten_failure, &["push_times"]),
    broken("two_terms", Style::Mix, mutate::two_terms, &["no_phantom"]),
    broken("other_digest", Style::Puts, evidence::other_digest, &["same_digest"]),
    broken("slow_healing", Style::Puts, evidence::slow_healing, &["heals"]),
    broken("no_push_after_healing", Style::Puts, evidence::no_push_after_healing, &["heals"]),
    broken("silent_in_the_end", Style::Puts, evidence::silent_in_the_end, &["heals"]),
    broken(
        "success_without_majority",
        Style::Puts,
        evidence::success_without_majority,
        &["minority"],
    ),
    broken(
        "hanging_without_majority",
        Style::Puts,
        evidence::hanging_without_majority,
        &["minority"],
    ),
    broken(
        "wrong_refusal_without_majority",
        Style::Puts,
        evidence::wrong_refusal_without_majority,
        &["minority"],
    ),
    broken(
        "late_refusal_without_majority",
        Style::Puts,
        evidence::late_refusal_without_majority,
        &["minority"],
    ),
    broken("leak", Style::Puts, evidence::leak, &["resources"]),
    broken("leader_goes_back", Style::Puts, evidence::leader_goes_back, &["raft_order"]),
    broken("applied_falls", Style::Puts, evidence::applied_falls, &["raft_order"]),
    broken("purged_too_far", Style::Puts, evidence::purged_too_far, &["raft_order"]),
    broken(
        "purged_and_not_applied",
        Style::Puts,
        evidence::purged_and_not_applied,
        &["raft_order"],
    ),
    broken("forgotten_vote", Style::Puts, evidence::forgotten_vote, &["raft_order"]),
    broken("committed_and_missing", Style::Puts, evidence::committed_and_missing, &["raft_order"]),
    broken("snapshot_falls", Style::Puts, evidence::snapshot_falls, &["raft_order"]),
    broken("passing_fork", Style::Puts, evidence::passing_fork, &["same_digest"]),
    broken("flapping", Style::Puts, evidence::flapping, &["coverage"]),
    broken("missed_place", Style::Puts, evidence::missed_place, &["coverage"]),
    broken("idle", Style::Puts, evidence::idle, &["coverage"]),
];

impl Broken {
    fn is_caught(&self) -> Result<(), Failed> {
        let applied = Count::default();
        many(BROKEN_CASES, &scripts(self.style), |script| {
            let Some((history, evidence)) = (self.mutation)(&simulate(script)) else {
                return Ok(());
            };
            applied.add();
            let verdicts = checkers::judge(&history, &evidence);
            let failed = |name: &str| {
                let mut fails = verdicts.iter().filter(|v| matches!(v.result, Finding::Fail(_)));
                fails.any(|verdict| verdict.property == name)
            };
            if let Some(names) =
                self.caught_by.iter().find(|names| !names.split(" or ").any(failed))
            {
                return Err(format!("{names} does not notice"));
            }
            Ok(())
        })?;
        if applied.get() < BROKEN_CASES / 8 {
            let (few, all) = (applied.get(), BROKEN_CASES);
            return Err(format!("only {few} of {all} histories could be broken so"));
        }
        Ok(())
    }
}

/// A named test.
struct Test {
    name: String,
    run: Box<dyn Fn() -> Result<(), Failed>>,
}

fn all() -> Vec<Test> {
    let test = |name: &str, run: fn() -> Result<(), Failed>| Test {
        name: name.to_owned(),
        run: Box::new(run),
    };
    let mut tests = vec![
        test("legal::puts", || legal(Style::Puts)),
        test("legal::mix", || legal(Style::Mix)),
        test("legal::failures", || legal(Style::Failures)),
        test("legal::wipes", || legal(Style::Wipes)),
        test("legal::long", long),
        test("oracle::search", oracle::search),
        test("oracle::zones", oracle::zones),
        test("plain::files", plain::files),
        test("plain::bugs", plain::bugs),
        test("plain::kinds", plain::kinds),
        test("plain::outcomes", plain::outcomes),
        test("plain::scrapes", plain::scrapes),
        test("faults::schedules", faults::schedules),
        test("faults::minorities", faults::minorities),
        test("faults::checksums", faults::checksums),
        test("faults::leaders", faults::leaders),
        test("faults::damage", faults::damage),
    ];
    tests.extend(BROKEN.iter().map(|broken| Test {
        name: format!("caught::{}", broken.name),
        run: Box::new(|| broken.is_caught()),
    }));
    tests
}

/// Flags of libtest that are followed by a value.
const WITH_VALUE: [&str; 6] =
    ["--skip", "--test-threads", "--format", "--color", "--logfile", "--report-time"];

/// Runs the tests whose names contain one of the arguments that are no flags; whether all are good.
#[expect(clippy::print_stdout, reason = "a test runner reports on the standard output")]
pub(crate) fn run(args: &[String]) -> bool {
    let mut tests = all();
    let (mut filters, mut skipped) = (Vec::new(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--skip" => skipped.extend(rest.next()),
            flag if WITH_VALUE.contains(&flag) => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(arg),
        }
    }
    let exact = args.iter().any(|arg| arg == "--exact");
    let matches = |name: &str, filter: &&String| {
        if exact { name == filter.as_str() } else { name.contains(filter.as_str()) }
    };
    let count = tests.len();
    tests.retain(|test| {
        (filters.is_empty() || filters.iter().any(|filter| matches(&test.name, filter)))
            && !skipped.iter().any(|filter| matches(&test.name, filter))
    });
    if args.iter().any(|arg| arg == "--list") {
        for test in &tests {
            println!("{}: test", test.name);
        }
        return true;
    }
    println!("\nrunning {} tests", tests.len());
    let begun = Instant::now();
    let mut failed = Vec::new();
    for test in &tests {
        match (test.run)() {
            Ok(()) => println!("test {} ... ok", test.name),
            Err(text) => {
                println!("test {} ... FAILED", test.name);
                failed.push((&test.name, text));
            }
        }
    }
    for (name, text) in &failed {
        println!("\n---- {name} ----\n{text}");
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        tests.len() - failed.len(),
        failed.len(),
        count - tests.len(),
        begun.elapsed().as_secs_f64()
    );
    failed.is_empty()
}
