//! What answers hold of the process's memory, while clients that do not read keep them.

use std::io::Write as _;
use std::net::TcpStream;

use crate::harness::http::{self, Response};
use crate::harness::process::{PATIENCE, Server};
use crate::harness::{eventually, say};

const MIB: u64 = 1 << 20;

/// Readers at once. Without a bound they would hold ten times what the bound allows.
const READERS: usize = 48;

/// Fills a server: each answer of the API takes about this much.
fn fill(server: &Server) -> usize {
    let value = "v".repeat(300);
    for group in 0..10 {
        let series = (0..2000).map(|n| format!("a{{n=\"{n}\",x=\"{value}\"}} 1\n"));
        let body: String = series.collect();
        let answer = server.send("PUT", &format!("/metrics/job/j/group/{group}"), &body);
        assert_eq!(answer.status, 200);
    }
    let answer = server.send("GET", "/api/v1/metrics", "");
    assert_eq!(answer.status, 200);
    answer.body.len()
}

/// A client that reads the head of its answer and then no more.
fn slow_reader(server: &Server, target: &str, accept: &str) -> (TcpStream, Response) {
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(&http::request("GET", target, &[("Accept", accept)], b"")).unwrap();
    let head = http::read_head(&mut client).unwrap();
    (client, head)
}

fn assert_refused(answer: &Response) {
    let text = answer.text();
    assert_eq!(answer.status, 503, "{text}");
    assert!(text.contains("--limits.answer-bytes"), "{text}");
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn slow_readers_hold_no_more_than_the_budget() {
    let server = Server::gate(&["--limits.answer-bytes=16MiB", "--limits.body-timeout=2m"]);
    let answer_bytes = fill(&server);
    assert!(answer_bytes as u64 > 6 * MIB, "{answer_bytes}");
    // From here on the text is kept, and shared by all who scrape it.
    for _ in 0..2 {
        assert_eq!(server.send("GET", "/metrics", "").status, 200);
    }
    let before = server.memory("VmHWM");

    let text =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text";
    for (target, accept) in [("/api/v1/metrics", "*/*"), ("/metrics", text)] {
        let readers: Vec<(TcpStream, Response)> = std::thread::scope(|scope| {
            let reader = || scope.spawn(|| slow_reader(&server, target, accept));
            let clients: Vec<_> = (0..READERS).map(|_| reader()).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let (mut held, refused): (Vec<_>, Vec<_>) =
            readers.into_iter().partition(|(_, head)| head.status == 200);
        assert!(refused.iter().all(|(_, head)| head.status == 503), "{target}");
        // Those who were refused may have left room.
        loop {
            let reader = slow_reader(&server, target, accept);
            if reader.1.status != 200 {
                break;
            }
            held.push(reader);
        }
        // Some fit, and one more goes beyond.
        assert!((2..READERS / 4).contains(&held.len()), "{target}: {} of them fit", held.len());
        assert_refused(&server.send_with("GET", target, &[("Accept", accept)]));
        // Who shares is served all the same, and so is who watches.
        for target in ["/metrics", "/-/metrics", "/-/ready"] {
            assert_eq!(server.send("GET", target, "").status, 200, "{target}");
        }
        drop(held);
        eventually(PATIENCE, "room for an answer", || {
            let answer = server.send_with("GET", target, &[("Accept", accept)]);
            (answer.status == 200).then_some(())
        });
    }
    let grown = server.memory("VmHWM") - before;
    say(&format!("answers of {answer_bytes} bytes for {READERS} readers: {grown} bytes more"));
    // The budget, the one beyond it, what is not counted, and what the allocator keeps for a while;
    // all of the readers would take more than twice as much.
    assert!(grown < 160 * MIB, "{grown} bytes more resident");
}

#[test]
fn a_budget_below_one_answer_admits_one_at_a_time() {
    let server = Server::gate(&["--limits.answer-bytes=1KiB", "--limits.body-timeout=2m"]);
    fill(&server);
    let (reader, head) = slow_reader(&server, "/api/v1/metrics", "*/*");
    assert_eq!(head.status, 200);
    assert_refused(&server.send("GET", "/api/v1/metrics", ""));
    drop(reader);
    eventually(PATIENCE, "room for an answer", || {
        (server.send("GET", "/api/v1/metrics", "").status == 200).then_some(())
    });
}
