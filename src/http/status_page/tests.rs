use std::collections::BTreeMap;

use super::*;
use crate::exposition::{ParseRules, parse_text};
use crate::group::{
    Batch, GroupStore, GroupingKey, Mutation, PushMode, PushRules, RequestId, StateLimits,
    prepare_push,
};
use crate::limits::Limits;
use crate::telemetry::BuildInfo;

fn options() -> Options {
    Options {
        telemetry_path: "/metrics".to_owned(),
        route_prefix: String::new(),
        external_url: Some("http://<outside>/".to_owned()),
        enable_lifecycle: false,
        enable_admin_api: false,
        utf8_names: true,
        checked: true,
        inline_self_metrics: false,
        stale_reads: false,
        max_staleness: std::time::Duration::from_secs(1),
        read_timeout: std::time::Duration::from_secs(1),
        flags: BTreeMap::from([("log.level".to_owned(), "<info>".to_owned())]),
        build: BuildInfo::current(),
        started: UnixNanos(1_700_000_000_500_000_000),
        limits: Limits::default(),
    }
}

fn view(pushes: &[(&[(&str, &str)], &str)]) -> View {
    let mut store = GroupStore::new([1; 16]);
    let rules = ParseRules::new(&Limits::default(), true);
    for (index, (labels, body)) in (1_u8..).zip(pushes) {
        let key = GroupingKey::new(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let families = parse_text(body.as_bytes(), &rules).unwrap();
        let push_rules = PushRules { labels_max: 100, own: &[] };
        let change = prepare_push(key, PushMode::Replace, families, &push_rules);
        let mutations = vec![Mutation { id: RequestId([index; 16]), change }];
        let at = UnixNanos(1_700_000_000_000_000_000);
        store.apply(u64::from(index), &Batch { at, limits: StateLimits::default(), mutations });
    }
    store.view()
}

fn html(view: &View, filter: &str, options: &Options) -> String {
    Page::of(view, filter.to_owned(), options).render().unwrap()
}

#[test]
fn escapes_whatever_was_pushed() {
    let nasty = "<script>alert(\"'&\")</script>";
    let pushed = view(&[(
        &[("job", nasty), ("x\"y", nasty)],
        "# HELP a <b>help</b>\n# TYPE a gauge\na{k=\"<i>\"} 1\n{\"<u>\"} 2\n",
    )]);
    let page = html(&pushed, nasty, &options());
    for hostile in ["<script>alert", "<b>", "<i>", "<u>", "<info>", "<outside>", "\"'&"] {
        assert!(!page.contains(hostile), "{hostile} in {page}");
    }
    assert!(page.contains("&#60;b&#62;help") || page.contains("&lt;b&gt;help"), "{page}");
}

#[test]
fn shows_groups_with_their_families() {
    let pushed = view(&[
        (&[("job", "a"), ("instance", "h")], "# TYPE c counter\nc{k=\"v\"} 1e21\n"),
        (&[("job", "b")], "s 1 5\n"),
        (
            &[("job", "c")],
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n\
             # TYPE q summary\nq{quantile=\"0.5\"} 7\nq_sum 1\nq_count 2\n",
        ),
    ]);
    let page = html(&pushed, "", &options());
    for expected in [
        "3 of 3 groups",
        "<code>c</code> <span class=\"badge\">COUNTER</span>",
        "1000000000000000000000\n",
        "Last push failed!",
        "last failed push: 2023-11-14T22:13:20Z",
        "data-path=\"metrics/job@base64/YQ=/instance@base64/aA=\"",
        "\u{2264} 1: 1\n",
        "count: 3\nsum: 2\n",
        "quantile 0.5: 7\ncount: 2\nsum: 1\n",
        "2023-11-14T22:13:20.5Z",
    ] {
        assert!(page.contains(expected), "{expected} not in {page}");
    }
    assert_eq!(page.matches("Last push failed!").count(), 1);
    assert!(!page.contains("api/v1/admin/wipe"));
    let page = html(&pushed, "", &Options { enable_admin_api: true, ..options() });
    assert!(page.contains("data-path=\"api/v1/admin/wipe\""));
}

#[test]
fn shows_what_the_filter_finds() {
    let pushed = view(&[(&[("job", "apples")], "a 1\n"), (&[("job", "pears")], "a 1\n")]);
    let page = html(&pushed, "pear", &options());
    assert!(page.contains("1 of 2 groups") && page.contains("pears") && !page.contains("apples"));
}

#[test]
fn bounds_what_it_shows() {
    let many: Vec<String> =
        (0..PAGE_SERIES_MAX + 10).map(|at| format!("m{{x=\"{at}\"}} 1\n")).collect();
    let pushed = view(&[(&[("job", "a")], &many.concat())]);
    let page = html(&pushed, "", &options());
    assert!(page.contains("10 more series are not shown"), "{}", page.len());
}

#[test]
fn reads_the_filter_from_the_query() {
    for (query, expected) in [
        ("", ""),
        ("filter=", ""),
        ("filter=a%2Fb+c%C3%A9", "a/b cé"),
        ("x=1&filter=y&filter=z", "y"),
        ("filter=%ff%zz", "\u{fffd}%zz"),
    ] {
        assert_eq!(filter_of(query), expected, "{query}");
    }
}
