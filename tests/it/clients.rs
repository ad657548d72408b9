//! Real clients: Python's `prometheus_client`, curl as in the tutorials, and a Prometheus server.
//!
//! Every story is told to the original first, so that a wrong expectation shows.

use std::process::Command;
use std::time::Duration;

use crate::harness::process::Server;
use crate::harness::prometheus::Prometheus;
use crate::harness::{dependency, eventually, http, proto, root};

/// The original, where it is installed, and quorumgate.
fn servers() -> Vec<Server> {
    let mut servers: Vec<Server> = Server::original(&[]).into_iter().collect();
    if std::env::var_os("COMPAT_ORIGINAL_ONLY").is_none() {
        servers.push(Server::gate(&[]));
    }
    servers
}

/// Lets Python tell a story to each server, which must then expose all of `present` and nothing
/// that begins with one of `absent`.
fn python(story: &str, present: &[&str], absent: &[&str]) {
    let Some(python) = dependency("python/bin/python") else { return };
    for server in servers() {
        let output = Command::new(&python)
            .arg(root().join("tests/it/clients.py"))
            .arg(server.addr().to_string())
            .arg(story)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        check(&server, present, absent);
    }
}

fn check(server: &Server, present: &[&str], absent: &[&str]) {
    // A DELETE to the original is only queued when it is answered.
    eventually(Duration::from_secs(20), "what was pushed, and nothing else", || {
        let scrape = server.send("GET", "/metrics", "").text();
        let has = |start: &str| scrape.lines().any(|line| line.starts_with(start));
        (present.iter().all(|line| has(line)) && !absent.iter().any(|line| has(line))).then_some(())
    });
}

#[test]
fn python_push_to_gateway() {
    python(
        "push",
        &[
            "# HELP job_last_success_unixtime Last time a batch job succeeded",
            "# TYPE job_last_success_unixtime gauge",
            "job_last_success_unixtime{instance=\"\",job=\"batch\"} 2",
        ],
        &["job_last_success_unixtime{instance=\"\",job=\"batch\"} 1"],
    );
}

#[test]
fn python_pushadd_to_gateway() {
    python(
        "pushadd",
        &[
            "job_last_success_unixtime{instance=\"\",job=\"batch\"} 1",
            "added{instance=\"\",job=\"batch\"} 7",
        ],
        &[],
    );
}

#[test]
fn python_delete_from_gateway() {
    python(
        "delete",
        &["job_last_success_unixtime{instance=\"b\",job=\"batch\"} 1"],
        &["job_last_success_unixtime{instance=\"a\",job=\"batch\"} 1"],
    );
}

#[test]
fn python_compressed() {
    python("compressed", &["job_last_success_unixtime{instance=\"\",job=\"batch\"} 3"], &[]);
}

#[test]
fn python_grouping_keys() {
    python(
        "grouping",
        &[
            "job_last_success_unixtime{empty=\"\",instance=\"\",job=\"with/slash\",number=\"5\",\
             path=\"/var/tmp\",text=\"two words\"} 1",
            "job_last_success_unixtime{a=\"b+c&d=%\",instance=\"\",job=\"plus+ü\"} 2",
        ],
        &[],
    );
}

#[test]
fn python_all_kinds() {
    python(
        "kinds",
        &[
            "# TYPE requests_total counter",
            "requests_total{code=\"200\",instance=\"\",job=\"batch\"} 3",
            "# TYPE work_seconds summary",
            "work_seconds_count{instance=\"\",job=\"batch\"} 1",
            "work_seconds_sum{instance=\"\",job=\"batch\"} 0.5",
            "size_bytes_bucket{instance=\"\",job=\"batch\",le=\"1\"} 0",
            "size_bytes_bucket{instance=\"\",job=\"batch\",le=\"10\"} 1",
            "size_bytes_bucket{instance=\"\",job=\"batch\",le=\"+Inf\"} 1",
        ],
        &[],
    );
}

#[test]
fn python_default_registry() {
    python(
        "default_registry",
        &["process_open_fds{instance=\"\",job=\"batch\"} ", "python_info{"],
        &[],
    );
}

/// Runs a line of shell as it stands in the tutorials, with `$GATEWAY` for the address.
fn shell(server: &Server, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .env("GATEWAY", server.addr().to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_as_in_the_tutorials() {
    for server in servers() {
        let said = shell(
            &server,
            "echo 'some_metric 3.14' | curl -sS --data-binary @- http://$GATEWAY/metrics/job/some_job",
        );
        assert_eq!(said, "");
        check(&server, &["some_metric{instance=\"\",job=\"some_job\"} 3.14"], &[]);
        let many = "cat <<'END' | curl -sS --data-binary @- \
                    http://$GATEWAY/metrics/job/some_job/instance/some_instance\n\
                    # TYPE some_metric counter\nsome_metric{label=\"val1\"} 42\n\
                    # TYPE another_metric gauge\n# HELP another_metric Just an example.\n\
                    another_metric 2398.283\nEND\n";
        // The tutorials use one name for both, but the first has made it untyped.
        let said = shell(&server, many);
        assert!(said.starts_with("pushed metrics are invalid or inconsistent"), "{said}");
        shell(&server, "curl -sS --fail -X DELETE http://$GATEWAY/metrics/job/some_job");
        assert_eq!(shell(&server, many), "");
        let group = "instance=\"some_instance\",job=\"some_job\"";
        check(
            &server,
            &[
                &format!("some_metric{{{group},label=\"val1\"}} 42"),
                "# HELP another_metric Just an example.",
                &format!("another_metric{{{group}}} 2398.283"),
            ],
            &["some_metric{instance=\"\""],
        );
        shell(
            &server,
            "curl -sS --fail -X DELETE http://$GATEWAY/metrics/job/some_job/instance/some_instance",
        );
        check(&server, &[], &["some_metric", "another_metric"]);
    }
}

#[test]
fn curl_refused_posted_and_deleted() {
    for server in servers() {
        shell(
            &server,
            "echo 'm 1' | curl -sS --fail -T - http://$GATEWAY/metrics/job/a/instance/b",
        );
        shell(
            &server,
            "echo 'n 1' | curl -sS --fail --data-binary @- http://$GATEWAY/metrics/job/a",
        );
        check(&server, &["m{instance=\"b\",job=\"a\"} 1", "n{instance=\"\",job=\"a\"} 1"], &[]);
        // --data instead of --data-binary strips the line end, the best known mistake.
        let said = shell(&server, "echo 'm 1' | curl -sS --data @- http://$GATEWAY/metrics/job/a");
        assert_eq!(said, "text format parsing error in line 1: unexpected end of input stream\n");
        shell(&server, "curl -sS --fail -X DELETE http://$GATEWAY/metrics/job/a/instance/b");
        check(&server, &["n{instance=\"\",job=\"a\"} 1"], &["m{"]);
        shell(
            &server,
            "gzip -c <<'END' | curl -sS --fail -H 'Content-Encoding: gzip' \
                        --data-binary @- http://$GATEWAY/metrics/job/z\nz 1\nEND\n",
        );
        let scrape = shell(&server, "curl -sS --fail --compressed http://$GATEWAY/metrics");
        assert!(scrape.contains("\nz{instance=\"\",job=\"z\"} 1\n"));
    }
}

const PUSHED: &str = "# TYPE temperature gauge\ntemperature{instance=\"attic\"} 21.5\n\
                      # TYPE done_total counter\ndone_total 7\n\
                      # TYPE size histogram\nsize_bucket{le=\"1\"} 1\nsize_bucket{le=\"+Inf\"} 4\n\
                      size_sum 9\nsize_count 4\n\
                      # TYPE took summary\ntook{quantile=\"0.5\"} 0.25\ntook_sum 2\ntook_count 8\n";

/// What both formats must bring to Prometheus.
fn check_promql(prometheus: &Prometheus) {
    let found = prometheus.query("temperature");
    assert_eq!(found.len(), 1);
    // honor_labels: the pushed job and instance stay, nothing becomes exported_job.
    let labels =
        serde_json::json!({"__name__": "temperature", "instance": "attic", "job": "batch"});
    assert_eq!(found[0], (labels, "21.5".to_owned()));
    // An empty instance keeps Prometheus from adding that of the gateway.
    let labels = serde_json::json!({"__name__": "done_total", "job": "batch"});
    assert_eq!(prometheus.query("done_total"), [(labels, "7".to_owned())]);
    assert_eq!(prometheus.value("sum by (le) (size_bucket{job=\"batch\",le=\"1.0\"} or size_bucket{job=\"batch\",le=\"1\"})"), "1");
    assert_eq!(prometheus.value("size_bucket{job=\"batch\",le=\"+Inf\"}"), "4");
    assert_eq!(prometheus.value("size_sum / size_count"), "2.25");
    assert_eq!(prometheus.value("took{quantile=\"0.5\"}"), "0.25");
    assert_eq!(prometheus.value("up{job=\"gateway\"}"), "1");
    let age: f64 = prometheus.value("time() - push_time_seconds{job=\"batch\"}").parse().unwrap();
    assert!((-1.0..120.0).contains(&age), "{age}");
    assert_eq!(prometheus.value("push_failure_time_seconds{job=\"batch\"}"), "0");
}

#[test]
fn prometheus_scrapes_text() {
    for server in servers() {
        let Some(prometheus) = Prometheus::start(server.addr(), 1, &[]) else { return };
        assert_eq!(server.send("PUT", "/metrics/job/batch", PUSHED).status, 200);
        check_promql(&prometheus);
        // What is deleted goes stale at the next scrape.
        assert_eq!(server.send("DELETE", "/metrics/job/batch", "").status, 202);
        assert_eq!(prometheus.value("absent(temperature)"), "1");
    }
}

#[test]
fn prometheus_scrapes_protobuf() {
    for server in servers() {
        let flags = ["--enable-feature=native-histograms"];
        let Some(prometheus) = Prometheus::start(server.addr(), 1, &flags) else { return };
        assert_eq!(server.send("PUT", "/metrics/job/batch", PUSHED).status, 200);
        let media = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                     encoding=delimited";
        let native = proto::delimited(
            r#"name:"native" type:HISTOGRAM metric:{histogram:{sample_count:6 sample_sum:12 schema:0 zero_threshold:0.001 zero_count:1 positive_span:{offset:0 length:2} positive_delta:2 positive_delta:1}}"#,
        );
        let push = http::request("POST", "/metrics/job/batch", &[("Content-Type", media)], &native);
        assert_eq!(http::exchange(server.addr(), &push).unwrap().status, 200);
        check_promql(&prometheus);
        // Only the protobuf format carries a native histogram.
        assert_eq!(prometheus.value("histogram_count(native)"), "6");
        assert_eq!(prometheus.value("histogram_sum(native)"), "12");
    }
}
