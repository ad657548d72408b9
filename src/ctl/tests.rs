//! The command line, the texts, and the comparison of digests.

use serde_json::{Value, json};

use super::args::{Action, Asked, Invocation, VERBS, parse};
use super::client::Endpoint;
use super::digest::{Samples, Verdict};
use super::*;

fn invocation(line: &str) -> Invocation {
    match parse(line.split_whitespace().map(OsString::from)) {
        Ok(Asked::Run(invocation)) => *invocation,
        other => panic!("{line}: {other:?}"),
    }
}

fn answer(line: &str) -> Answer {
    run(line.split_whitespace().map(OsString::from))
}

#[test]
fn reads_flags_wherever_they_stand() {
    let asked = invocation("ctl -o json member remove --timeout=2s gate-1 --endpoint a:1,b:2");
    assert_eq!(asked.operand, "gate-1");
    assert!(asked.json && matches!(asked.action, Action::Change(_)));
    assert_eq!(asked.timeout.as_secs(), 2);
    assert_eq!(asked.endpoints.len(), 2);
    let asked = invocation("ctl status --endpoint a:1 --endpoint http://b:2/x/");
    assert_eq!(asked.endpoints[1], Endpoint::parse("http://b:2/x/").unwrap());
    assert_eq!(invocation("ctl leader transfer").operand, "");
    assert_eq!(invocation("ctl member remove -- -x").operand, "-x");
    assert!(invocation("ctl snapshot restore f --storage.path d --force").force);
    assert!(invocation("recover --storage.path=d --force-new-cluster").force_new_cluster);
}

#[test]
fn bad_usage_is_one_line_and_code_2() {
    for (line, part) in [
        ("ctl", "\"ctl\" needs a command"),
        ("ctl member", "\"ctl member\" needs a command"),
        ("ctl nope", "unknown command \"ctl nope\""),
        ("ctl status now", "unexpected \"now\""),
        ("ctl member add", "needs an operand: ADDRESS"),
        ("ctl member add a b", "unexpected \"b\""),
        ("ctl status --nope", "unknown flag \"--nope\""),
        ("ctl status --force", "has no flag --force"),
        ("ctl status -o xml", "must be table or json"),
        ("ctl status --timeout 5", "missing unit"),
        ("ctl status --timeout", "needs a value: DURATION"),
        ("ctl status --timeout 0s", "above 0s"),
        ("ctl status --endpoint https://a", "https is not supported"),
        ("ctl status --endpoint ftp://a", "http://"),
        ("ctl snapshot restore f", "--storage.path is missing"),
        ("ctl snapshot restore f --storage.path d --force=yes", "takes no value"),
        ("recover", "--storage.path is missing"),
        ("recover x --storage.path d", "unexpected \"x\""),
    ] {
        let Answer { out, err, code } = answer(line);
        assert_eq!((out.as_str(), code), ("", 2), "{line}");
        assert!(err.starts_with("quorumgate: error: ") && err.contains(part), "{line}: {err}");
        assert!(err.trim_end().ends_with("--help") && err.lines().count() == 1, "{line}: {err}");
    }
}

#[test]
fn every_verb_explains_itself() {
    for verb in VERBS {
        let Answer { out, err, code } = answer(&format!("{} --help", verb.words));
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with(&format!("usage: quorumgate {}", verb.words)), "{out}");
        assert!(out.lines().all(|line| line.len() <= 80), "{out}");
        for part in verb.examples.iter().chain(verb.flags) {
            assert!(out.contains(part), "{part} is missing: {out}");
        }
        for example in verb.examples {
            invocation(example);
        }
        for group in ["ctl --help", "ctl nope --help"] {
            assert!(answer(group).out.contains(verb.words), "{}", verb.words);
        }
    }
    let members = answer("ctl member -h").out;
    assert!(members.contains("ctl member add") && !members.contains("snapshot"), "{members}");
}

#[test]
fn endpoints_may_leave_out_what_is_usual() {
    for (url, shown) in [
        ("localhost:9091", "http://localhost:9091"),
        ("http://[::1]:9091", "http://[::1]:9091"),
        ("http://gate/prefix", "http://gate/prefix"),
    ] {
        assert_eq!(Endpoint::parse(url).unwrap().shown, shown);
    }
    for url in ["", "http://", "http://a b", "http://u@h", "http://h?x"] {
        assert!(Endpoint::parse(url).is_err(), "{url}");
    }
}

fn cluster(
    teller: &str,
    index: u64,
    digest: &str,
    members: &[(&str, Option<(u64, &str)>)],
) -> Value {
    let members: Vec<Value> = members
        .iter()
        .map(|(name, applied)| {
            let mut member =
                json!({ "name": name, "id": format!("id-{name}"), "reachable": applied.is_some() });
            if let Some((index, digest)) = applied {
                member["applied_index"] = json!(index);
                member["digest"] = json!(digest);
            }
            member
        })
        .collect();
    json!({
        "cluster_id": "c", "replica": teller, "applied_index": index, "digest": digest,
        "members": members,
    })
}

#[test]
fn digests_are_compared_at_the_same_index_only() {
    let mut samples = Samples::default();
    let at = |index, digest| Some((index, digest));
    samples.add(&cluster("a", 7, "x", &[("a", at(7, "x")), ("b", at(6, "y"))])).unwrap();
    assert_eq!(samples.verdict(), Verdict::Incomplete(vec!["b".to_owned()]));
    samples.add(&cluster("a", 8, "z", &[("a", at(8, "z")), ("b", at(7, "x"))])).unwrap();
    assert_eq!(samples.verdict(), Verdict::Agree);
    samples.add(&cluster("b", 8, "other", &[("a", at(8, "z")), ("b", at(8, "other"))])).unwrap();
    assert_eq!(samples.verdict(), Verdict::Disagree(8));
    assert!(samples.add(&json!({ "cluster_id": "another" })).is_err());

    // Met where both have been before.
    let mut busy = Samples::default();
    for (teller, index) in [("a", 131), ("b", 140)] {
        let mut told = cluster(teller, index, teller, &[("a", at(0, "0")), ("b", None)]);
        told["checkpoint"] = json!({ "applied_index": 128, "digest": "x" });
        busy.add(&told).unwrap();
    }
    assert_eq!(busy.verdict(), Verdict::Agree);

    let mut silent = Samples::default();
    silent.add(&cluster("a", 7, "x", &[("a", at(7, "x")), ("b", None)])).unwrap();
    assert_eq!(silent.verdict(), Verdict::Incomplete(vec!["b".to_owned()]));
}
