//! What each change does, one table per section of the upstream behaviour that it matches.

use super::*;
use crate::group::{Group, PUSH_FAILURE_TIME, PUSH_TIME};
use crate::pb::client::{Metric, MetricType};

fn check(changes: Vec<Change>, expected: &[&str]) {
    let shown = format!("{changes:?}");
    let fixture = Fixture::with(changes);
    assert_eq!(samples(&fixture.store.view()), expected, "{shown}");
}

#[test]
fn put_replaces_the_group_and_post_the_families_it_carries() {
    check(
        vec![put("j", "a 1\nb 1\n"), put("j", "b 2\nc 2\n")],
        &[r#"b{instance="",job="j"} 2"#, r#"c{instance="",job="j"} 2"#],
    );
    check(
        vec![put("j", "a{x=\"1\"} 1\na{x=\"2\"} 1\nb 1\n"), post("j", "a{x=\"3\"} 2\n")],
        &[r#"a{instance="",job="j",x="3"} 2"#, r#"b{instance="",job="j"} 1"#],
    );
    check(vec![put("j", "a 1\n"), put("j", "")], &[]);
    check(vec![put("j", "a 1\n"), post("j", "")], &[r#"a{instance="",job="j"} 1"#]);
}

#[test]
fn an_empty_push_creates_and_keeps_the_group() {
    for change in [put("j", ""), post("j", "")] {
        let mut fixture = Fixture::with([change]);
        let expected = "# HELP push_failure_time_seconds Last Unix time when changing this group in the Pushgateway failed.\n\
            # TYPE push_failure_time_seconds gauge\n\
            push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n\
            # HELP push_time_seconds Last Unix time when changing this group in the Pushgateway succeeded.\n\
            # TYPE push_time_seconds gauge\n\
            push_time_seconds{instance=\"\",job=\"j\"} 1\n";
        assert_eq!(fixture.text(), expected);
        fixture.apply(put("j", "a 1\n"));
        fixture.apply(put("j", ""));
        assert_eq!(fixture.text(), expected.replace("} 1\n", "} 3\n"));
    }
}

#[test]
fn delete_takes_exactly_the_key() {
    let groups = || vec![put("j", "a 1\n"), put("j/i=1", "a 1\n"), put("j/instance=", "b 1\n")];
    // The last one collides with the first: its push times are the same series.
    let mut fixture = Fixture::with(groups().into_iter().take(2));
    assert_eq!(fixture.apply(delete("j")), Outcome::Applied);
    assert_eq!(samples(&fixture.store.view()), [r#"a{i="1",instance="",job="j"} 1"#]);
    assert_eq!(fixture.apply(delete("nobody")), Outcome::Applied);
    assert_eq!(fixture.apply(Change::Wipe), Outcome::Applied);
    assert_eq!(fixture.text(), "");
    assert_eq!(fixture.apply(put("j/instance=", "b 1\n")), Outcome::Applied);
}

#[test]
fn an_absent_and_an_empty_label_make_different_groups() {
    let fixture = Fixture::with([put("j", "a 1\n"), put("j/x=", "a 2\n")]);
    let keys: Vec<GroupingKey> = fixture.store.view().groups().map(|g| g.key().clone()).collect();
    assert_eq!(keys, [key("j"), key("j/x=")]);
}

fn times(group: &Group) -> (f64, f64) {
    let value = |name| {
        let family = group.families().find(|f| f.name() == name).unwrap();
        let metric: Metric = family.decode().metric.remove(0);
        metric.gauge.unwrap().value.unwrap()
    };
    (value(PUSH_TIME), value(PUSH_FAILURE_TIME))
}

#[test]
fn push_times() {
    let mut fixture = Fixture::new();
    let mut step = |change, expected| {
        fixture.apply(change);
        let view = fixture.store.view();
        let group = view.group(&key("j")).unwrap();
        let (success, failure) = times(group);
        assert_eq!((success, failure, group.last_push_successful()), expected);
        let seconds = |at: Option<UnixNanos>| at.map_or(0.0, UnixNanos::as_seconds);
        let told = (seconds(group.push_time()), seconds(group.push_failure_time()));
        assert_eq!(told, (success, failure));
    };
    // Created by a refused push.
    step(put("j", "a 1 1\n"), (0.0, 1.0, false));
    step(put("j", "a 1\n"), (2.0, 1.0, true));
    step(post("j", "a 2\n"), (3.0, 1.0, true));
    step(post("j", "a 2 5\n"), (3.0, 4.0, false));
    step(put("j", ""), (5.0, 4.0, true));
    // What the body says about the push times does not count.
    step(post("j", "push_time_seconds 77\npush_failure_time_seconds 78\n"), (6.0, 4.0, true));
}

#[test]
fn only_what_a_push_carries_is_stamped_anew() {
    let mut fixture = Fixture::with([put("j", "a 1\nb 1\n"), post("j", "b 2\n")]);
    fixture.apply(post("j", "a 1 1\n"));
    let view = fixture.store.view();
    let group = view.group(&key("j")).unwrap();
    let stamps: Vec<_> = group.families().map(|f| (f.name(), f.pushed_at().0 / SECOND)).collect();
    assert_eq!(stamps, [("a", 1), ("b", 2), (PUSH_FAILURE_TIME, 3), (PUSH_TIME, 2)]);
}

#[test]
fn within_a_batch_the_later_push_tells_whether_the_last_one_succeeded() {
    let mut store = GroupStore::new(HASH_KEY);
    let changes =
        [post("j", "a 1\n"), post("j", "a 1 1\n"), post("k", "a 1 1\n"), post("k", "b 1\n")];
    let mutations =
        changes.into_iter().zip(0..).map(|(change, n)| Mutation { id: id(n), change }).collect();
    let at = UnixNanos(1_800_000_000 * SECOND);
    store.apply(1, &Batch { at, limits: StateLimits::default(), mutations });
    let view = store.view();
    let [j, k] = ["j", "k"].map(|path| view.group(&key(path)).unwrap());
    assert!(!j.last_push_successful() && k.last_push_successful());
    assert!(times(j).1 > times(j).0, "an alert compares the doubles");
}

/// Applies the last change to a store with the others; expects a refusal that touches nothing but
/// the failure time.
fn refused(before: Vec<Change>, change: Change, expected: &str) {
    let mut fixture = Fixture::with(before);
    let stored = samples(&fixture.store.view());
    let groups = fixture.store.view().group_count();
    let (key, existed) = match &change {
        Change::Push { key, .. } | Change::FailedPush { key, .. } => {
            (key.clone(), fixture.store.view().group(key).is_some())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(fixture.apply(change), Outcome::Rejected(expected.to_owned()));
    let view = fixture.store.view();
    assert_eq!(samples(&view), stored);
    assert!(!view.group(&key).unwrap().last_push_successful());
    assert_eq!(view.group_count(), groups + u64::from(!existed));
}

#[test]
fn refusals_that_depend_on_the_state() {
    let a = |labels: &str, value: &str| format!(r#"collected metric "a" {{ {labels}  {value}}}"#);
    let instance = r#"label:{name:"instance"  value:"i"}"#;
    let labels = format!("{instance}  {}", r#"label:{name:"job"  value:"j"}"#);
    let before = " was collected before with the same name and label values";
    refused(
        vec![put("j", "a{instance=\"i\"} 1\n")],
        put("j/instance=i", "a 2\n"),
        &(a(&labels, "untyped:{value:2}") + before),
    );
    refused(
        vec![put("k", "# TYPE a counter\na 1\n")],
        put("j/instance=i", "# TYPE a gauge\na 2\n"),
        &(a(&labels, "gauge:{value:2}") + " is not a COUNTER"),
    );
    let collides = |what: &str, name: &str, with: &str, other: &str| {
        format!(
            "collected {what} named \"{name}\" collides with previously collected {with} named \"{other}\""
        )
    };
    let both = "histogram or summary";
    for (stored, pushed, expected) in [
        (
            "# TYPE a summary\na_sum 1\n",
            "a_count 1\n",
            collides("metric", "a_count", "summary", "a"),
        ),
        ("# TYPE a summary\na_sum 1\n", "a_sum 1\n", collides("metric", "a_sum", "summary", "a")),
        (
            "# TYPE a histogram\na_sum 1\n",
            "a_sum 1\n",
            collides("metric", "a_sum", "histogram", "a"),
        ),
        (
            "# TYPE a histogram\na_sum 1\n",
            "a_bucket 1\n",
            collides("metric", "a_bucket", "histogram", "a"),
        ),
        (
            "a_count 1\n",
            "# TYPE a summary\na{quantile=\"1\"} 1\n",
            collides(both, "a", "metric", "a_count"),
        ),
        (
            "a_sum 1\n",
            "# TYPE a summary\na{quantile=\"1\"} 1\n",
            collides(both, "a", "metric", "a_sum"),
        ),
        (
            "a_bucket 1\n",
            "# TYPE a histogram\na_sum 1\n",
            collides(both, "a", "metric", "a_bucket"),
        ),
    ] {
        refused(vec![put("k", stored)], put("j", pushed), &expected);
    }
    // Within one push the earlier name is right.
    refused(
        vec![],
        put("j", "a_count 1\n# TYPE a summary\na{quantile=\"1\"} 1\n"),
        &collides("metric", "a_count", "summary", "a"),
    );
    refused(vec![], put("j", "a 1 1\n"), "pushed metrics must not have timestamps");
}

#[test]
fn several_reasons_are_listed_in_a_fixed_order() {
    let mut fixture = Fixture::with([
        put("k", "a{instance=\"1\",job=\"j\"} 1\n# TYPE b gauge\nb 1\n"),
        put("j", "a{instance=\"1\"} 1\na{instance=\"2\"} 1\n"),
    ]);
    let outcome = fixture.apply(put("j/z=", "b 1\nb{x=\"1\"} 1\n"));
    let Outcome::Rejected(text) = outcome else { panic!("{outcome:?}") };
    assert!(text.starts_with("2 error(s) occurred:\n* collected metric \"b\""), "{text}");
    assert_eq!(text.matches("is not a GAUGE").count(), 2);
}

#[test]
fn what_is_displaced_does_not_count() {
    // The same group may change types, move names into each other's way, and back.
    check(
        vec![
            put("j", "# TYPE a counter\na 1\n"),
            put("j", "# TYPE a gauge\na 2\n"),
            put("j", "# TYPE a summary\na_sum 1\n"),
            put("j", "a_sum 3\n"),
            post("j", "b_count 1\n"),
            put("j", "# TYPE b histogram\nb_sum 1\n"),
        ],
        &[
            r#"b_bucket{instance="",job="j",le="+Inf"} 0"#,
            r#"b_sum{instance="",job="j"} 1"#,
            r#"b_count{instance="",job="j"} 0"#,
        ],
    );
    // But merging leaves the other families in place.
    let mut fixture = Fixture::with([put("j", "a_count 1\n")]);
    let outcome = fixture.apply(post("j", "# TYPE a summary\na_sum 1\n"));
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    assert_eq!(fixture.apply(put("j", "# TYPE a summary\na_sum 1\n")), Outcome::Applied);
}

#[test]
fn what_upstream_accepts_is_accepted() {
    check(
        vec![put("j", "# HELP a x\na{k=\"1\"} 1\n"), put("k", "# HELP a y\na{l=\"1\"} 1\n")],
        &[r#"a{instance="",job="j",k="1"} 1"#, r#"a{instance="",job="k",l="1"} 1"#],
    );
    Fixture::with([put("j", "# TYPE s summary\ns_sum 1\ns_bucket 1\n")]);
    Fixture::with([put("j", "# TYPE g gaugehistogram\ng_sum 1\n"), put("k", "g_count 1\n")]);
    Fixture::with([put("j", "# TYPE g gauge\ng 1\ng_count 1\n_count 1\n")]);
}

#[test]
fn a_twin_whose_push_times_collide_is_refused_without_a_trace() {
    for change in [put("j/instance=", "b 1\n"), put("j/instance=", "b 1 1\n")] {
        let mut fixture = Fixture::with([put("j", "a 1\n")]);
        let before = fixture.text();
        let with_timestamp = matches!(change, Change::FailedPush { .. });
        let Outcome::Rejected(text) = fixture.apply(change) else { panic!() };
        assert_eq!(text.contains("push_time_seconds"), !with_timestamp, "{text}");
        assert_eq!(fixture.text(), before);
        fixture.apply(delete("j"));
        assert_eq!(fixture.apply(put("j/instance=", "b 1\n")), Outcome::Applied);
    }
}

#[test]
fn a_key_that_cannot_be_exposed_leaves_no_marker() {
    let mut fixture = Fixture::new();
    for change in [
        put("j/__name__=x", ""),
        Change::Push { key: key("j/__x=1"), mode: PushMode::Merge, families: vec![] },
    ] {
        assert!(matches!(fixture.apply(change), Outcome::Rejected(_)));
        assert_eq!(fixture.text(), "");
    }
}

#[test]
fn limits() {
    let mut fixture = Fixture::with([put("j", "a 1\n")]);
    let over = |text: &str| Outcome::OverLimit(text.to_owned());
    let mut apply = |change, groups, series| {
        fixture.apply_within(change, StateLimits { groups, series, bytes: 0 })
    };
    let groups = over("2 groups would be more than the limit of 1 (--limits.groups)");
    assert_eq!(apply(put("k", "a 1\n"), 1, 0), groups);
    assert_eq!(apply(post("j", "b 1\n"), 1, 4), Outcome::Applied);
    let series = over("5 series would be more than the limit of 4 (--limits.series)");
    assert_eq!(apply(post("j", "c 1\n"), 1, 4), series);
    assert_eq!(apply(put("j", "c 1\nd 1\n"), 1, 4), Outcome::Applied);
    // Above a limit that was lowered: what does not add anything still passes.
    assert_eq!(apply(post("j", "c 2\n"), 1, 2), Outcome::Applied);
    assert_eq!(apply(put("j", "c 2\n"), 1, 2), Outcome::Applied);
    let series = over("5 series would be more than the limit of 4 (--limits.series)");
    assert_eq!(apply(put("k", ""), 2, 4), series);
    // A refused push gets its reason, but no marker beyond the limit.
    assert!(matches!(apply(put("k", "a 1 1\n"), 1, 0), Outcome::Rejected(_)));
    assert_eq!(fixture.store.view().group_count(), 1);
}

#[test]
fn a_limit_on_bytes() {
    let mut fixture = Fixture::with([put("j", "a 1\n")]);
    let full = fixture.store.view().state_bytes();
    let mut apply = |change, bytes| {
        let limits = StateLimits { bytes, ..StateLimits::default() };
        let outcome = fixture.apply_within(change, limits);
        (outcome, fixture.store.view().state_bytes())
    };
    let over = |bytes: u64, max: u64| {
        let text =
            format!("{bytes} bytes would be more than the limit of {max} (--limits.state-bytes)");
        Outcome::OverLimit(text)
    };
    // What replaces as much is taken at the limit, one byte more is not.
    assert_eq!(apply(put("j", "b 1\n"), full), (Outcome::Applied, full));
    assert_eq!(apply(put("j", "ab 1\n"), full), (over(full + 1, full), full));
    assert_eq!(apply(put("j", "ab 1\n"), full + 1), (Outcome::Applied, full + 1));
    // Above a limit that was lowered: what adds nothing still passes, and deleting does.
    assert_eq!(apply(put("j", "b 1\n"), 1), (Outcome::Applied, full));
    assert_eq!(apply(post("j", "b 2\n"), 1), (Outcome::Applied, full));
    // A family without metrics counts, and so does each of them.
    let (outcome, bytes) = apply(empty_family("e", "h"), 0);
    assert_eq!(outcome, Outcome::Applied);
    let added = bytes - full;
    assert!(added > 2, "{added}");
    assert_eq!(apply(empty_family("f", "h"), bytes), (over(bytes + added, bytes), bytes));
    // A group of its own counts, with its key, and so does the marker of a refused push.
    let (outcome, _) = apply(put("k", ""), bytes + 100);
    assert!(matches!(outcome, Outcome::OverLimit(_)), "{outcome:?}");
    let (outcome, after) = apply(put("k", "a 1 1\n"), bytes + 100);
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    assert_eq!(after, bytes, "no marker beyond the limit");
    let (_, short) = apply(put("k", ""), 0);
    assert_eq!(apply(delete("k"), 1), (Outcome::Applied, bytes));
    let (_, long) = apply(put("kkkkkk", ""), 0);
    assert_eq!(long - short, 10, "both series of push times bear the key");
    assert_eq!(apply(delete("kkkkkk"), 1), (Outcome::Applied, bytes));
}

fn empty_family(name: &str, help: &str) -> Change {
    let empty = MetricFamily {
        name: Some(name.to_owned()),
        help: Some(help.to_owned()),
        r#type: Some(MetricType::Gauge.into()),
        metric: vec![],
    };
    prepare_push(key("j"), PushMode::Merge, vec![empty], &RULES)
}

#[test]
fn families_without_metrics_are_kept_but_not_exposed() {
    let change = empty_family("e", "h");
    let fixture = Fixture::with([change]);
    let view = fixture.store.view();
    let group = view.group(&key("j")).unwrap();
    let family = group.families().next().unwrap();
    assert_eq!((family.name(), family.help(), family.series()), ("e", "h", 0));
    assert_eq!(family.decode().metric, vec![]);
    assert_eq!(samples(&view), Vec::<String>::new());
    assert!(!fixture.text().contains('e') || !fixture.text().contains("# TYPE e "));
}

#[test]
fn malformed_pushes_are_refused_without_a_trace() {
    let families = |families: Vec<(&str, &[u8])>| Change::Push {
        key: key("j"),
        mode: PushMode::Merge,
        families: families
            .into_iter()
            .map(|(name, metrics)| crate::group::PushedFamily {
                name: name.to_owned(),
                help: String::new(),
                kind: MetricType::Untyped,
                metrics: bytes::Bytes::copy_from_slice(metrics),
            })
            .collect(),
    };
    let mut fixture = Fixture::new();
    for change in [
        families(vec![("a", b"\x22\x05")]),
        families(vec![("b", b""), ("a", b"")]),
        families(vec![("", b"")]),
        families(vec![("push_time_seconds", b"")]),
    ] {
        assert_eq!(fixture.apply(change), Outcome::Rejected("malformed push".to_owned()));
        assert_eq!(fixture.text(), "");
    }
}

#[test]
fn a_request_takes_effect_once() {
    let mut store = GroupStore::new(HASH_KEY);
    let mut apply = |index, mutations: Vec<(u64, Change)>| {
        let mutations =
            mutations.into_iter().map(|(n, change)| Mutation { id: id(n), change }).collect();
        let limits = StateLimits { groups: 1, ..StateLimits::default() };
        let batch = Batch { at: UnixNanos(0), limits, mutations };
        (store.apply(index, &batch), text(&store.view()))
    };
    apply(1, vec![(1, put("j", "a 1\n"))]);
    apply(2, vec![(2, put("j", "a 2\n"))]);
    // The retry of the first comes behind the second.
    let (outcomes, text) = apply(3, vec![(1, put("j", "a 1\n"))]);
    assert_eq!(outcomes, [Outcome::Applied]);
    assert!(text.contains("a{instance=\"\",job=\"j\"} 2\n"), "{text}");
    // Also within one batch, and refusals are remembered, too.
    let (outcomes, _) = apply(4, vec![(3, put("j", "b 1 1\n")), (3, put("j", "b 3\n"))]);
    assert_eq!(
        outcomes,
        vec![Outcome::Rejected("pushed metrics must not have timestamps".into()); 2]
    );
    // What was over a limit did nothing, so it may be tried again.
    let (outcomes, _) = apply(5, vec![(4, put("k", "")), (5, delete("j")), (4, put("k", ""))]);
    assert!(matches!(outcomes[..], [Outcome::OverLimit(_), Outcome::Applied, Outcome::Applied]));
}

#[test]
fn old_requests_are_forgotten_by_whole_entries() {
    let mut store = GroupStore::new(HASH_KEY);
    let per_entry = crate::limits::RECENT_REQUESTS_MAX as u64 / 4;
    let mut next = 0;
    for index in 1..=6 {
        let change = || Change::Delete { key: key("j") };
        let ids = next..next + per_entry;
        next += per_entry;
        let mutations = ids.map(|n| Mutation { id: id(n), change: change() }).collect();
        store.apply(index, &Batch { at: UnixNanos(0), limits: StateLimits::default(), mutations });
    }
    let remembered: Vec<u64> = store.recent.by_index().iter().map(|r| r.index).collect();
    assert_eq!(remembered, [3, 4, 5, 6]);
    assert_eq!(store.recent.find(&store.hashes, id(2 * per_entry - 1), (6, &[])), None);
    assert_eq!(
        store.recent.find(&store.hashes, id(2 * per_entry), (6, &[])),
        Some(Outcome::Applied)
    );
}

#[test]
fn time_never_goes_back() {
    let mut store = GroupStore::new(HASH_KEY);
    for (index, at, expected) in [(1, 5, 5), (2, 3, 5), (3, 9, 9)] {
        let mutations = vec![Mutation { id: id(index), change: post("j", "a 1\n") }];
        let at = UnixNanos(at * SECOND);
        store.apply(index, &Batch { at, limits: StateLimits::default(), mutations });
        let expected = UnixNanos(expected * SECOND);
        assert_eq!(store.view().last_at(), expected);
        assert_eq!(store.view().groups().next().unwrap().push_time(), Some(expected));
    }
}
