//! The metrics of the process itself, held against those of the original.

use std::collections::BTreeSet;

use crate::harness::process::{Original, PATIENCE, Server};
use crate::harness::{eventually, say};

/// Requests of every handler that the original counts, with every outcome it has, and of some that
/// it does not count.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("PUT", "/metrics/job/j", "a 1\n"),
    ("POST", "/metrics/job/j", "b 2\n"),
    ("PUT", "/metrics/job/j", "a 1 5\n"),
    ("POST", "/metrics/job/j", "nonsense"),
    ("PUT", "/metrics/job/", "a 1\n"),
    ("PUT", "/metrics/job@base64/ag", "a 1\n"),
    ("PUT", "/metrics/job@base64/!!", "a 1\n"),
    ("DELETE", "/metrics/job/j", ""),
    ("DELETE", "/metrics/job@base64/!!", ""),
    ("PATCH", "/metrics/job/j", ""),
    ("GET", "/-/healthy", ""),
    ("HEAD", "/-/healthy", ""),
    ("GET", "/-/ready", ""),
    ("GET", "/status", ""),
    ("GET", "/", ""),
    ("GET", "/static/nothing", ""),
    ("GET", "/nowhere", ""),
    ("GET", "/api/v1/status", ""),
    ("GET", "/api/v1/metrics", ""),
    ("OPTIONS", "/api/v1/metrics", ""),
    ("PUT", "/api/v1/admin/wipe", ""),
    ("PUT", "/-/quit", ""),
    ("GET", "/metrics", ""),
];

/// What a server tells of the requests, but for how long they took.
fn told_of_requests(server: &Server) -> BTreeSet<String> {
    for (method, target, body) in REQUESTS {
        server.send(method, target, body);
    }
    let scrape = server.send("GET", "/metrics", "").text();
    let of_requests = scrape.lines().filter(|line| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        let a_time = name.starts_with("pushgateway_http_push_duration_seconds{")
            || name.starts_with("pushgateway_http_push_duration_seconds_sum{");
        name.starts_with("pushgateway_http_") && !a_time
    });
    of_requests.map(str::to_owned).collect()
}

#[test]
fn requests_are_counted_as_the_original_counts_them() {
    if !Original::find().is_some_and(|original| original.is_reference()) {
        return say("SKIPPED: only the reference version counts like this");
    }
    let original = Server::original(&["--web.enable-admin-api"]).unwrap();
    let gate = Server::gate(&["--web.enable-admin-api", "--web.self-metrics=inline"]);
    let expected = told_of_requests(&original);
    let counted = "pushgateway_http_requests_total{code=\"";
    assert!(expected.iter().filter(|line| line.starts_with(counted)).count() > 10, "{expected:#?}");
    let found = told_of_requests(&gate);
    let missing: Vec<_> = expected.difference(&found).collect();
    let additional: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && additional.is_empty(),
        "missing: {missing:#?}\nadditional: {additional:#?}"
    );
}

#[test]
fn a_snapshot_is_due_by_bytes_as_well() {
    let flags = ["--storage.snapshot-bytes=1MiB", "--storage.snapshot-entries=1000000"];
    let server = Server::gate(&flags);
    let value = "v".repeat(100_000);
    let push = |n: usize| {
        let answer = server.send("PUT", "/metrics/job/j", &format!("a{{x=\"{n}{value}\"}} 1\n"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    (0..15).for_each(push);
    let index = eventually(PATIENCE, "a snapshot", || {
        let status = server.send("GET", "/api/v1/cluster", "").text();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["data"]["log"]["snapshot_index"].as_u64().filter(|index| *index > 0)
    });
    // Ten pushes are less than a MiB.
    assert!(index > 10, "{index}");
}

#[test]
fn figures_of_what_is_stored_and_of_the_disk() {
    let server = Server::gate(&["--web.self-metrics=inline", "--storage.snapshot-entries=5"]);
    for n in 0..20 {
        let answer = server.send("PUT", &format!("/metrics/job/j/n/{}", n % 3), "a 1\nb 2\n");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let figure = |name: &str| {
        let scrape = server.send("GET", "/metrics", "").text();
        let value = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse::<f64>().unwrap())
    };
    assert_eq!(figure("quorumgate_groups"), Some(3.0));
    // Two of each push, and two of push times.
    assert_eq!(figure("quorumgate_series"), Some(12.0));
    assert_eq!(figure("quorumgate_families"), Some(4.0));
    // Each series has its three labels at least.
    let bytes = figure("quorumgate_state_bytes").unwrap();
    assert!((12.0 * 20.0..1e5).contains(&bytes), "{bytes}");
    // One after another, so none shared its sync with another.
    let syncs = figure("quorumgate_log_fsync_duration_seconds_count").unwrap();
    assert!(syncs >= 20.0, "{syncs}");
    assert!(figure("quorumgate_log_fsync_duration_seconds_sum").unwrap() > 0.0);
    assert!(figure("quorumgate_applied_index").unwrap() >= 20.0);
    let age = eventually(PATIENCE, "a snapshot", || figure("quorumgate_snapshot_age_seconds"));
    assert!((0.0..PATIENCE.as_secs_f64()).contains(&age), "{age}");
    assert!(figure("quorumgate_snapshot_last_bytes").unwrap() > 0.0);
}
