//! The command line: upstream's flags by their names, and what is refused.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Output;

use crate::harness::eventually;
use crate::harness::process::{PATIENCE, Server, gate_command};

fn run(flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    gate_command().args(flags).current_dir(folder.path()).output().unwrap()
}

#[test]
fn version_goes_to_standard_output() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("quorumgate, version "), "{said}");
    assert!(output.stderr.is_empty());
}

#[test]
fn help_lists_every_flag() {
    for flag in ["--help", "-h"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty());
        let said = String::from_utf8(output.stdout).unwrap();
        for flag in [
            "--web.systemd-socket",
            "--web.listen-address",
            "--web.config.file",
            "--web.telemetry-path",
            "--web.external-url",
            "--web.route-prefix",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--persistence.file",
            "--persistence.interval",
            "--push.disable-consistency-check",
            "--push.enable-utf8-names",
            "--log.level",
            "--log.format",
            "--version",
            "--storage.path",
            "--limits.body-bytes",
            "--web.self-metrics",
        ] {
            let switch = flag.replacen("--", "--[no-]", 1);
            let found = said.contains(flag) || said.contains(&switch);
            assert!(found, "{flag} is not in the help:\n{said}");
        }
    }
}

#[test]
fn bad_flags_are_one_line_and_status_1() {
    let table: &[(&[&str], &str)] = &[
        (&["--nope"], "unknown long flag '--nope'"),
        (&["-x"], "x"),
        (&["-web.enable-lifecycle"], ""),
        (&["--web.enable-lifecycle=true"], "true"),
        (&["word"], "word"),
        (&["--log.level=foo"], "unrecognized log level foo"),
        (&["--log.format=foo"], "foo"),
        (&["--persistence.interval=1d"], "1d"),
        (&["--persistence.interval"], "--persistence.interval"),
        (&["--web.telemetry-path=/a", "--web.telemetry-path=/b"], "web.telemetry-path"),
        (&["--web.enable-admin-api", "--web.enable-admin-api"], "web.enable-admin-api"),
        (&["--web.config.file=web.yml"], "--web.config.file"),
        (&["--web.systemd-socket"], "--web.systemd-socket"),
        (&["--web.listen-address=nonsense"], "nonsense"),
        (&["--web.listen-address=:99999"], "99999"),
        (&["--web.external-url=http://[::1"], ""),
        (&["--limits.body-bytes=many"], "--limits.body-bytes"),
        (&["--limits.body-bytes=0"], "--limits.body-bytes"),
        (&["--limits.body-timeout=0s"], "--limits.body-timeout"),
        (&["--web.self-metrics=foo"], "--web.self-metrics"),
        (&["--no-log.level"], "log.level"),
    ];
    for (flags, part) in table {
        let output = run(flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{flags:?}: {said}");
        assert!(said.starts_with("quorumgate: error: "), "{flags:?}: {said}");
        assert!(said.contains(part), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

#[test]
fn every_upstream_flag_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::gate_in(
        folder.path(),
        &[
            "--web.config.file=",
            "--no-web.systemd-socket",
            "--web.telemetry-path=/tele",
            "--web.external-url=http://gateway.example:9091/ext",
            "--web.route-prefix=/",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--persistence.file=old/pushgateway.data",
            "--persistence.interval=1m30s",
            "--no-push.disable-consistency-check",
            "--push.enable-utf8-names",
            "--log.level=debug",
            "--log.format",
            "logfmt",
        ],
    );
    assert_eq!(server.send("PUT", "/metrics/job/j", "{\"a.b\"} 1\n").status, 200);
    assert_eq!(server.send("GET", "/tele", "").status, 200);
    let status = server.send("GET", "/api/v1/status", "").text();
    for flag in [
        "\"persistence.interval\":\"1m30s\"",
        "\"web.enable-lifecycle\":\"true\"",
        "\"web.enable-admin-api\":\"true\"",
        "\"push.enable-utf8-names\":\"true\"",
        "\"push.disable-consistency-check\":\"false\"",
        "\"web.external-url\":\"http://gateway.example:9091/ext\"",
        "\"log.level\":\"debug\"",
        "\"web.route-prefix\":\"\"",
    ] {
        assert!(status.contains(flag), "no {flag} in {status}");
    }
}

#[test]
fn listens_on_every_address() {
    let server =
        Server::gate(&["--web.listen-address=127.0.0.1:0", "--web.listen-address=[::1]:0"]);
    // The harness waits for the first of them only.
    let addresses = eventually(PATIENCE, "three addresses", || {
        let said = server.stderr();
        let addresses: Vec<std::net::SocketAddr> = said
            .lines()
            .filter_map(|line| line.split(" address=").nth(1))
            .map(|rest| rest.split(' ').next().unwrap().trim_matches('"').parse().unwrap())
            .collect();
        (addresses.len() == 3).then_some(addresses)
    });
    for addr in addresses {
        let answer = crate::harness::http::send(addr, "GET", "/-/ready", b"");
        assert_eq!(answer.text(), "OK", "{addr}");
    }
}

#[test]
fn logs_as_json_when_asked() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let said = String::from_utf8(run(&["--log.format=json", &address]).stderr).unwrap();
    assert!(!said.is_empty());
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["ts", "level", "caller", "msg"] {
            assert!(line[key].is_string(), "no {key} in {line}");
        }
    }
}

#[test]
fn the_folder_follows_the_persistence_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pushgateway.data");
    // Given after the harness's own --storage.path this must not win over it.
    let server =
        Server::gate_in(folder.path(), &[&format!("--persistence.file={}", file.display())]);
    assert!(folder.path().join("data").is_dir());
    assert!(!file.exists());
    drop(server);
}

#[test]
fn own_metrics_are_separate_unless_inline() {
    let names = ["pushgateway_http_requests_total", "process_cpu_seconds_total", "quorumgate_"];
    let check = |server: &Server, target: &str, expect: bool| {
        let scrape = server.send("GET", target, "").text();
        for name in names {
            let found = scrape.lines().any(|line| line.starts_with(name));
            assert_eq!(found, expect, "{name} at {target}:\n{scrape}");
        }
        assert!(expect || scrape.contains("pushgateway_build_info{"), "{scrape}");
    };
    let server = Server::gate(&[]);
    assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
    check(&server, "/metrics", false);
    check(&server, "/-/metrics", true);
    let server = Server::gate(&["--web.self-metrics=inline"]);
    assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
    check(&server, "/metrics", true);
}
