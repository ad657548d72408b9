//! The command line, gaps and percentiles, what a refusal means, verdicts, and the page.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::args::{Asked, FLAGS, Settings, parse};
use super::client::{judged, shown};
use super::cluster::{Same, whole};
use super::course::{Check, Course, Round};
use super::fault::{Fault, Target};
use super::figures::{Gap, Latency, longest_gap, median};
use super::help::EXAMPLES;
use super::record::{Account, Ledger, Outcome, Push, Scrape, value};
use super::report::Report;
use super::run;
use crate::clock::UnixNanos;

fn settings(line: &str) -> Settings {
    match parse(line.split_whitespace().map(OsString::from)) {
        Ok(Asked::Run(settings)) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn reads_flags() {
    let drill = settings("drill");
    assert_eq!((drill.faults.as_slice(), drill.endpoints.len()), (&[Fault::Transfer][..], 1));
    let drill = settings("drill --local 5 --rate=10 --target follower -q");
    assert_eq!((drill.local, drill.load.rate, drill.quiet), (Some(5), 10, true));
    assert_eq!((drill.faults.as_slice(), drill.target), (&[Fault::Kill][..], Target::Follower));
    assert!(drill.endpoints.is_empty());
    assert_eq!(settings("drill --local 3 --fault all").faults, Fault::LOCAL);
    let drill = settings("drill --endpoint a:1,b:2 --fault-command ./cut --heal-command ./join");
    assert_eq!((drill.faults.as_slice(), drill.endpoints.len()), (&[Fault::Command][..], 2));
    let drill = settings("drill --max-gap 1s --max-p99=50ms --max-failed 3 --max-missing 1");
    assert_eq!((drill.thresholds.gap, drill.thresholds.p99), (ms(1000), Some(ms(50))));
    for example in EXAMPLES {
        settings(example);
    }
}

#[test]
fn bad_usage_is_one_line_and_code_2() {
    for (line, part) in [
        ("drill now", "unexpected \"now\""),
        ("drill --nope", "unknown flag \"--nope\""),
        ("drill --local 2", "must be 3, 5 or 7"),
        ("drill --local 3 --endpoint a:1", "either --local or --endpoint"),
        ("drill --fault kill", "--fault kill is for --local"),
        ("drill --fault nope", "must be one of transfer, manual"),
        ("drill --local 3 --fault manual", "is for a live cluster"),
        ("drill --fault command", "needs --fault-command"),
        ("drill --heal-command x", "needs --fault-command"),
        ("drill --fault-command x --fault transfer", "either --fault or --fault-command"),
        ("drill --fault-command=", "must not be empty"),
        ("drill --rate 0", "from 1 to 5000"),
        ("drill --rate 5000 --wait 1h", "lower one of them"),
        ("drill --duration 500ms", "must be 1s at least"),
        ("drill --timeout 5", "missing unit"),
        ("drill --rounds", "needs a value: N"),
        ("drill --target me", "must be leader or follower"),
        ("drill --replica-flag --x", "--replica-flag is for --local"),
        ("drill --json /nowhere/at/all", "cannot be written"),
    ] {
        let answer = run(line.split_whitespace().map(OsString::from));
        assert_eq!((answer.out.as_str(), answer.code), ("", 2), "{line}");
        let err = answer.err;
        assert!(err.starts_with("quorumgate: error: ") && err.contains(part), "{line}: {err}");
        assert_eq!(err.lines().count(), 1, "{line}: {err}");
    }
}

#[test]
fn help_lists_every_flag() {
    let answer = run(["drill", "--help"].into_iter().map(OsString::from));
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    for flag in FLAGS {
        assert!(answer.out.contains(flag.name), "{}", flag.name);
    }
    for example in EXAMPLES {
        assert!(answer.out.contains(example), "{example}");
    }
    assert!(answer.out.lines().all(|line| line.len() <= 80), "{}", answer.out);
}

#[test]
fn a_gap_is_the_longest_that_meets_or_follows_the_fault() {
    let gap = |successes: &[u64], fault, end| {
        longest_gap(successes.iter().map(|at| ms(*at)), ms(fault), ms(end))
    };
    let from_to = |from, to| Gap { from: ms(from), to: ms(to) };
    // A longer one before the fault does not count.
    assert_eq!(gap(&[10, 500, 600, 900, 910], 600, 1000), from_to(600, 900));
    // It began with the last success before the fault.
    assert_eq!(gap(&[10, 590, 900, 950], 600, 1000), from_to(590, 900));
    // Without any success afterwards it lasts until the end.
    assert_eq!(gap(&[10, 590, 1500], 600, 1000), from_to(590, 1000));
    assert_eq!(gap(&[], 600, 1000), from_to(0, 1000));
    // In any order.
    assert_eq!(gap(&[900, 10, 590], 600, 910), from_to(590, 900));
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let latency = Latency::of((1..=100).rev().map(ms)).unwrap();
    assert_eq!((latency.count, latency.max), (100, ms(100)));
    assert_eq!((latency.p50, latency.p99), (ms(50), ms(99)));
    let one = Latency::of([ms(7)].into_iter()).unwrap();
    assert_eq!((one.p50, one.p99, one.max), (ms(7), ms(7), ms(7)));
    assert_eq!(Latency::of(std::iter::empty()), None);
    assert_eq!(median(&[ms(3), ms(1), ms(2), ms(9)]), Some(ms(2)));
}

#[test]
fn a_refusal_counts_as_failed_only_if_nothing_can_come_of_it() {
    for (status, text, outcome) in [
        (400, "bad", Outcome::Failed),
        (507, "disk nearly full", Outcome::Failed),
        (503, "no quorum: no answer from b", Outcome::Failed),
        (503, "this replica is shutting down", Outcome::Failed),
        (
            503,
            "1024 requests are being served already (--limits.concurrent-requests); try again",
            Outcome::Failed,
        ),
        (503, "not committed within the deadline; it is unknown", Outcome::Unknown),
        (503, "this replica has failed, and it is unknown", Outcome::Unknown),
        (503, "upstream connect error", Outcome::Unknown),
        (502, "", Outcome::Unknown),
        (500, "internal error: x", Outcome::Unknown),
    ] {
        assert_eq!(judged(StatusCode::from_u16(status).unwrap(), text), outcome, "{status} {text}");
    }
}

#[test]
fn a_scrape_shows_the_values_of_one_run() {
    let scrape = b"# TYPE quorumgate_drill_push gauge\n\
        quorumgate_drill_push{instance=\"\",job=\"quorumgate_drill\",push=\"7\",run=\"a\"} 1.000007e+06\n\
        quorumgate_drill_push{instance=\"\",job=\"quorumgate_drill\",push=\"8\",run=\"b\"} 8\n\
        quorumgate_drill_push{push=\"x\"} 8\nother{push=\"9\",run=\"a\"} 9\n";
    assert_eq!(shown(scrape, "a").into_iter().collect::<Vec<_>>(), [(7, 1_000_007)]);
}

#[test]
fn a_ledger_passes_over_groups_whose_fate_is_open() {
    let ledger = Ledger::new(3, BTreeSet::from([0, 2]));
    assert_eq!([ledger.take_group(), ledger.take_group()], [1, 3]);
    assert_eq!(ledger.value(1), value(3, 1));
    ledger.push(push(0, 1, 0, Outcome::Acknowledged), None);
    ledger.push(push(0, 3, 0, Outcome::Unknown), Some("why".to_owned()));
    let shown = |group, value| [(group, value)].into_iter().collect();
    assert_eq!(ledger.not_shown(1, &shown(1, value(3, 1))), 0);
    assert_eq!(ledger.not_shown(1, &shown(1, value(2, 1))), 1);
    assert_eq!(ledger.not_shown(0, &shown(9, 9)), 0);
    assert_eq!(ledger.close().reasons["why"], 1);
}

type Told = Result<Value, String>;

#[expect(clippy::unnecessary_wraps, reason = "an answer may be missing")]
fn told(name: &str, leader: &str, gone: Option<&str>) -> Told {
    let member = |name: &str| {
        json!({ "name": name, "address": format!("{name}:1"), "voter": true,
            "reachable": gone != Some(name) })
    };
    Ok(json!({ "cluster_id": "c", "replica": name, "leader": leader, "term": 2, "healthy": true,
        "members": [member("a"), member("b")] }))
}

#[test]
fn a_cluster_is_whole_when_all_say_the_same() {
    let found = whole(&[told("a", "b", None), told("b", "b", None)]).unwrap();
    assert_eq!((found.leader.as_str(), found.leader_address.as_str()), ("b", "b:1"));
    assert_eq!((found.names, found.voters), (vec!["a".to_owned(), "b".to_owned()], 2));
    for (told, part) in [
        (vec![told("a", "b", None), told("b", "a", None)], "b follows a, others b"),
        (vec![told("a", "b", Some("b"))], "b does not answer a"),
        (vec![told("a", "", None)], "not healthy"),
        (vec![Err("http://a: refused".to_owned())], "refused"),
    ] {
        let why = whole(&told).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

fn push(endpoint: usize, group: u64, due: u64, outcome: Outcome) -> Push {
    Push { endpoint, group, due: ms(due), ended: ms(due + 4), outcome }
}

/// A round of ten seconds of two endpoints, whose first replica is away from 2 s to 6 s; the other
/// has no success until 2.5 s.
fn round() -> Round {
    let mut account = Account::default();
    for group in 0..1000 {
        let due = group * 10;
        let out = (2000..6000).contains(&due);
        let failed = if out { Outcome::Failed } else { Outcome::Acknowledged };
        account.pushes.push(push(0, group * 2, due, failed));
        let held = (2000..2500).contains(&due);
        let ended = if held { 2500 } else { due + 4 };
        let there = push(1, group * 2 + 1, due, Outcome::Acknowledged);
        account.pushes.push(Push { ended: ms(ended), ..there });
    }
    let scrape = Scrape { endpoint: 1, due: ms(1), ended: ms(2), succeeded: true, stale: 0 };
    account.scrapes.push(scrape);
    Round {
        fault: Fault::Kill,
        number: 1,
        leaders: ["a".to_owned(), "b".to_owned()],
        endpoints: 2,
        away: vec![0],
        fault_at: ms(2000),
        healed_at: Some(ms(5000)),
        whole_at: ms(6000),
        end: ms(10_000),
        troubles: Vec::new(),
        account,
        check: Check {
            missing_at: vec![Some(0), Some(0)],
            digests: Same::Yes,
            bytes: Same::Yes,
            ..Check::nothing()
        },
    }
}

fn course(rounds: Vec<Round>) -> Course {
    Course {
        run: "run".to_owned(),
        endpoints: vec!["http://a<&\">".to_owned(), "http://b".to_owned()],
        names: vec!["a".to_owned(), "b".to_owned()],
        cluster_id: "c".to_owned(),
        version: "1".to_owned(),
        rounds,
        not_begun: None,
        skipped: vec![(Fault::PowerCut, "needs root".to_owned())],
        remarks: Vec::new(),
    }
}

fn report(line: &str, round: Round) -> Report {
    Report::of(&settings(line), course(vec![round]), UnixNanos(0))
}

#[test]
fn survivors_are_judged_and_the_replica_that_was_away_is_not() {
    let report = report("drill", round());
    assert!(report.passed(), "{}", report.text());
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        json["pushes"],
        json!({ "tried": 2000, "acknowledged": 1600, "failed": 400, "unknown": 0 })
    );
    assert_eq!(json["pushes_at_survivors"]["failed"], 0);
    assert_eq!(json["faults"][0]["gap_ms"]["max"], 506.0);
    assert_eq!(json["endpoints"][0]["gap_ms"], 4010.0);
    assert_eq!(json["endpoints"][0]["gap_surviving_ms"], Value::Null);
    assert_eq!(json["faults"][0]["latency_ms"]["before"]["max"], 4.0);
    assert_eq!(json["faults"][0]["latency_ms"]["during"]["max"], 500.0);
    assert_eq!(json["faults"][0]["latency_ms"]["after"]["count"], 400);
    assert_eq!(json["verdict"]["pass"], true);
}

/// Makes a good round another one.
type Change = Box<dyn Fn(&mut Round)>;

#[test]
fn each_threshold_and_each_finding_fails_a_drill() {
    let cases: Vec<(&str, Change, &str)> = vec![
        (
            "drill --max-gap 500ms",
            Box::new(|_| {}),
            "kill: no success for 506 ms (--max-gap 500ms)",
        ),
        ("drill --max-p99 100ms", Box::new(|_| {}), "p99 during the fault is"),
        ("drill", Box::new(|round| round.check.missing = 1), "1 acknowledged pushes are missing"),
        ("drill", Box::new(|round| round.away.clear()), "400 pushes at surviving replicas"),
        ("drill --max-failed 400", Box::new(|round| round.away.clear()), "no success for"),
        ("drill", Box::new(|round| round.account.scrapes[0].stale = 1), "1 scrapes did not show"),
        (
            "drill",
            Box::new(|round| round.check.refused_but_stored = 2),
            "2 pushes that were refused",
        ),
        (
            "drill",
            Box::new(|round| round.check.not_whole = Some("b is gone".to_owned())),
            "b is gone",
        ),
        ("drill", Box::new(|round| round.check.unread.push("b: x".to_owned())), "afterwards: b: x"),
        ("drill", Box::new(|round| round.check.digests = Same::No("d".to_owned())), "identical: d"),
        ("drill", Box::new(|round| round.check.bytes = Same::No("e".to_owned())), "identical: e"),
        (
            "drill",
            Box::new(|round| round.check.digests = Same::Unknown("f".to_owned())),
            "compared: f",
        ),
        ("drill", Box::new(|round| round.fault_at = ms(1)), "nothing was acknowledged at"),
        (
            "drill",
            Box::new(|round| round.troubles.push("no leader".to_owned())),
            "round 1: no leader",
        ),
    ];
    for (line, change, part) in cases {
        let mut round = round();
        change(&mut round);
        if line.contains("--max-failed") {
            // Only the endpoints together have gaps.
            round.account.pushes.retain(|push| push.endpoint == 0);
        }
        let report = report(line, round);
        let text = report.text();
        assert!(!report.passed() && text.contains(part), "{part}: {text}");
        assert!(text.ends_with("verdict: FAIL\n"), "{text}");
    }
    let mut missing = round();
    missing.check.missing = 1;
    assert!(report("drill --max-missing 1", missing).passed());
    let not_begun = Some("round 2: b is gone".to_owned());
    let course = Course { not_begun, ..course(vec![round()]) };
    let text = Report::of(&settings("drill"), course, UnixNanos(0)).text();
    assert!(text.contains("FAILED: round 2: b is gone"), "{text}");
}

#[test]
fn where_all_are_away_none_is_an_exception() {
    let mut all = round();
    all.away = vec![0, 1];
    assert!(all.survives(0) && all.survives(1));
    let mut some = round();
    some.away = vec![1];
    assert!(some.survives(0) && !some.survives(1));
    assert_eq!(some.gap().length(), ms(4010));
}

#[test]
fn the_page_stands_alone_and_its_pictures_are_whole() {
    let page = report("drill", round()).html().unwrap();
    for part in
        ["passed", "Skipped power-cut: needs root", "506 ms", "4010 ms", "fault", "whole again"]
    {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(page.contains("http://a&lt;&amp;&quot;&gt;"), "endpoints are escaped in pictures");
    assert!(!page.contains("http://a<"), "endpoints are escaped");
    for foreign in ["src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(foreign), "the page refers to something: {foreign}");
    }
    for tag in ["svg", "figure", "table", "div", "text"] {
        let opened =
            page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf "), "no number is out of bounds");
}
