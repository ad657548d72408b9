//! How the process starts, stops and comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::harness::eventually;
use crate::harness::http::read_response;
use crate::harness::process::{PATIENCE, Server, gate_command};

/// Runs quorumgate until it ends by itself, which it must.
fn run_to_the_end(folder: &Path, flags: &[&str]) -> Output {
    let mut command = gate_command();
    command.args(flags).current_dir(folder);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually(PATIENCE, "quorumgate to give up", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

/// The lines of a log that say that something failed.
fn errors(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("level=error")).collect()
}

#[test]
fn alone_it_is_ready_as_soon_as_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..6 {
        let mut server = Server::gate_in(folder.path(), &[]);
        let ready = server.send("GET", "/-/ready?verbose", "");
        assert_eq!(ready.status, 200, "start {start}: {}", ready.text());
        assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
        server.kill();
    }
}

#[test]
fn a_signal_stops_it_with_success() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::gate(&[]);
        assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}: {}", server.stderr());
        assert!(errors(&server.stderr()).is_empty(), "{}", server.stderr());
    }
}

#[test]
fn without_flags_it_keeps_its_data_where_it_was_started() {
    let folder = tempfile::tempdir().unwrap();
    // A port of every address is the one thing that a test cannot do without.
    let mut server = Server::gate_bare(folder.path(), &["--web.listen-address=:0"]);
    assert!(server.addr().ip().is_loopback(), "{}", server.addr());
    assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
    assert!(server.send("GET", "/metrics", "").text().contains("a{instance=\"\",job=\"j\"} 1\n"));
    let data = folder.path().join("data");
    assert!(data.join("IDENTITY").is_file());
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    // In full, since nobody remembers where it was started.
    let data = data.canonicalize().unwrap().display().to_string();
    assert!(server.stderr().contains(&data), "{}", server.stderr());
    server.kill();
    let server = Server::gate_bare(folder.path(), &["--web.listen-address=:0"]);
    assert!(server.send("GET", "/metrics", "").text().contains("a{instance=\"\",job=\"j\"} 1\n"));
}

#[test]
fn a_request_to_quit_stops_it_with_success() {
    for method in ["PUT", "POST"] {
        let mut server = Server::gate(&["--web.enable-lifecycle"]);
        let answer = server.send(method, "/-/quit", "");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "Requesting termination... Goodbye!")
        );
        assert_eq!(answer.header("X-Content-Type-Options"), None);
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    }
}

#[test]
fn a_request_to_quit_is_refused_unless_enabled() {
    let server = Server::gate(&[]);
    for method in ["PUT", "POST"] {
        let answer = server.send(method, "/-/quit", "");
        assert_eq!((answer.status, answer.text().as_str()), (403, "Lifecycle API is not enabled."));
    }
    assert_eq!(server.send("GET", "/-/healthy", "").status, 200);
}

#[test]
fn a_push_under_way_is_finished_before_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::gate_in(folder.path(), &[]);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(
            b"PUT /metrics/job/j HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
              Expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    // The interim answer shows that the request has been accepted.
    let mut interim = [0; 25];
    client.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 "));
    server.signal("TERM");
    eventually(PATIENCE, "the stop to begin", || {
        server.stderr().contains("stopping").then_some(())
    });
    client.write_all(b"a 1\n").unwrap();
    assert_eq!(read_response(&mut client, false).unwrap().status, 200);
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());

    let server = Server::gate_in(folder.path(), &[]);
    assert!(server.send("GET", "/metrics", "").text().contains("a{instance=\"\",job=\"j\"} 1\n"));
}

#[test]
fn a_client_that_never_finishes_does_not_hold_up_the_stop() {
    let mut server = Server::gate(&["--limits.shutdown-timeout=300ms"]);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client
        .write_all(b"PUT /metrics/job/j HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\na")
        .unwrap();
    let idle = TcpStream::connect(server.addr()).unwrap();
    assert_eq!(server.send("GET", "/-/healthy", "").status, 200);
    let signalled = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    // Far from the default of 20 s.
    assert!(signalled.elapsed() < Duration::from_secs(8), "{:?}", signalled.elapsed());
    assert!(server.stderr().contains("some requests were not finished"), "{}", server.stderr());
    drop((client, idle));
}

#[test]
fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    for orderly in [true, false] {
        let mut server = Server::gate_in(folder.path(), &[]);
        let pushes = [
            (
                "PUT",
                "/metrics/job/j",
                "# HELP a text\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n",
            ),
            ("POST", "/metrics/job/j", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n"),
            ("PUT", "/metrics/job/gone", "b 1\n"),
            ("DELETE", "/metrics/job/gone", ""),
            ("PUT", "/metrics/job/refused", "b 1 5\n"),
        ];
        for (method, target, body) in pushes {
            server.send(method, target, body);
        }
        let before = pushed(&server);
        assert!(before.0.contains("a{instance=\"\",job=\"j\",x=\"2\"} 2\n"));
        assert!(before.0.contains("push_time_seconds{instance=\"\",job=\"refused\"} 0\n"));
        assert!(!before.0.contains("gone"));
        if orderly {
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0));
        } else {
            server.kill();
        }
        let server = Server::gate_in(folder.path(), &[]);
        assert_eq!(
            pushed(&server),
            before,
            "after an {} end",
            if orderly { "orderly" } else { "abrupt" }
        );
    }
}

/// Everything that was pushed, with all times.
fn pushed(server: &Server) -> (String, String) {
    let scrape = server.send("GET", "/metrics", "").text();
    let own = |line: &&str| !line.contains("pushgateway_build_info");
    let scrape: Vec<&str> = scrape.lines().filter(own).collect();
    (scrape.join("\n") + "\n", server.send("GET", "/api/v1/metrics", "").text())
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::gate_in(folder.path(), &[]);
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let second = run_to_the_end(folder.path(), &["--web.listen-address=127.0.0.1:0", &storage]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert_eq!(errors(&said).len(), 1, "{said}");
    assert!(errors(&said)[0].contains("data"), "{said}");
    assert_eq!(server.send("PUT", "/metrics/job/j", "a 1\n").status, 200);
}

#[test]
fn a_port_in_use_is_refused() {
    let server = Server::gate(&[]);
    let folder = tempfile::tempdir().unwrap();
    let address = format!("--web.listen-address={}", server.addr());
    let second = run_to_the_end(folder.path(), &[&address]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert_eq!(errors(&said).len(), 1, "{said}");
    assert!(errors(&said)[0].contains(&server.addr().to_string()), "{said}");
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let storage = format!("--storage.path={}", folder.path().join("file/data").display());
    let output = run_to_the_end(folder.path(), &["--web.listen-address=127.0.0.1:0", &storage]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert_eq!(errors(&said).len(), 1, "{said}");
}

#[test]
fn a_stop_is_quick_when_nothing_is_under_way() {
    let mut server = Server::gate(&[]);
    let begin = Instant::now();
    server.signal("TERM");
    server.wait();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn the_page_shows_groups_and_deletes_them() {
    let server =
        Server::gate(&["--web.enable-admin-api", "--web.external-url=http://x.example/ext"]);
    for target in
        ["/ext/metrics/job/%3Cb%3E&%22/empty/", "/ext/metrics/job/refused/path@base64/L2E"]
    {
        server.send("PUT", target, "# HELP shown <i>\n# TYPE shown gauge\nshown{x=\"<u>\"} 1.5\n");
    }
    server.send("PUT", "/ext/metrics/job/refused/path@base64/L2E", "shown 1 5\n");
    for page in ["/ext/", "/ext/status"] {
        let html = server.send("GET", page, "").text();
        assert!(html.contains("shown") && html.contains("1.5"), "{html}");
        assert_eq!(html.matches("Last push failed!").count(), 1, "{html}");
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"), "{html}");
    }
    let html = server.send("GET", "/ext/", "").text();
    // The paths are relative to the page, so that they work behind any proxy.
    let deletes = html.split("data-method=\"DELETE\" data-path=\"").skip(1);
    let paths: Vec<&str> = deletes.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(paths.len(), 2, "{html}");
    for path in paths {
        let path = path.replace("&amp;", "&");
        assert_eq!(server.send("DELETE", &format!("/ext/{path}"), "").status, 202, "{path}");
    }
    assert!(server.send("GET", "/ext/api/v1/metrics", "").text().contains("\"data\":[]"));
}
