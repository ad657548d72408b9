//! Every bound is refused clearly, and nothing a client sends takes the process down.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::body::gzip;
use crate::harness::http::{self, Response, read_response};
use crate::harness::process::{PATIENCE, Server};
use crate::harness::{eventually, say};

fn push(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> Response {
    http::exchange(server.addr(), &http::request("PUT", "/metrics/job/j", headers, body)).unwrap()
}

fn assert_refused(answer: &Response, status: u16, part: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(part), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
}

/// The server still does its work.
fn assert_alive(server: &Server) {
    assert_eq!(server.send("PUT", "/metrics/job/alive", "alive 1\n").status, 200);
    assert!(
        server
            .send("GET", "/metrics", "")
            .text()
            .contains("alive{instance=\"\",job=\"alive\"} 1\n")
    );
}

#[test]
fn a_body_that_is_too_long() {
    let server = Server::gate(&["--limits.body-bytes=1000"]);
    let fits = format!("a{{x=\"{}\"}} 1\n", "y".repeat(900));
    assert_eq!(push(&server, &[], fits.as_bytes()).status, 200);
    let answer = push(&server, &[], &fits.as_bytes().repeat(2));
    assert_refused(&answer, 413, "--limits.body-bytes");
    // Without a length nobody knows in advance.
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client
        .write_all(b"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 600, "#".repeat(600));
    // The server may answer and close before it has read all of this.
    drop(client.write_all(chunk.repeat(3).as_bytes()));
    assert_refused(&read_response(&mut client, false).unwrap(), 413, "--limits.body-bytes");
    assert_alive(&server);
}

#[test]
fn a_gzip_bomb() {
    let server = Server::gate(&["--limits.decoded-body-bytes=1MiB"]);
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let answer = push(&server, &[("Content-Encoding", "gzip")], &bomb);
    assert_refused(&answer, 413, "--limits.decoded-body-bytes");
    assert_alive(&server);
    let memory = server.memory("VmRSS");
    assert!(memory < 512 << 20, "{memory} bytes resident");
}

#[test]
fn a_snappy_bomb() {
    let server = Server::gate(&["--limits.decoded-body-bytes=1MiB"]);
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(&vec![b'\n'; 16 << 20]).unwrap();
    let bomb = encoder.into_inner().unwrap();
    let answer = push(&server, &[("Content-Encoding", "snappy")], &bomb);
    assert_refused(&answer, 413, "--limits.decoded-body-bytes");
    assert_alive(&server);
}

/// Bodies that are small as sent, larger decoded, and larger still once they are metrics.
#[test]
fn many_bodies_that_become_large() {
    // One of these fits, two at once do not.
    let series: String = (0..AMPLIFIED_SERIES).map(|i| format!("a{{x=\"{i}\"}} 1\n")).collect();
    let body = gzip(series.as_bytes());
    assert!(body.len() < 128 << 10 && series.len() < 1 << 20, "{} {}", body.len(), series.len());
    let gzipped = [("Content-Encoding", "gzip")];
    let server = Server::gate(&["--limits.inflight-bytes=16MiB"]);
    assert_eq!(push(&server, &gzipped, &body).status, 200);

    // A body that is still arriving leaves no room for it.
    let mut holder = TcpStream::connect(server.addr()).unwrap();
    let announced = 12 << 20;
    let head =
        format!("PUT /metrics/job/held HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n");
    holder.write_all(head.as_bytes()).unwrap();
    holder.write_all(&vec![b'\n'; 8 << 20]).unwrap();
    let refusal = eventually(PATIENCE, "a refusal", || {
        let answer = push(&server, &gzipped, &body);
        (answer.status != 200).then_some(answer)
    });
    assert_refused(&refusal, 503, "--limits.inflight-bytes");
    assert!(refusal.header("Retry-After").is_some());
    drop(holder);
    eventually(PATIENCE, "room", || (push(&server, &gzipped, &body).status == 200).then_some(()));

    // However they overlap, each is taken or refused, and nothing else suffers.
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| push(&server, &gzipped, &body))).collect();
        assert_eq!(server.send("GET", "/-/healthy", "").status, 200);
        assert_eq!(server.send("GET", "/-/metrics", "").status, 200);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    for answer in &refused {
        assert_refused(answer, 503, "--limits.inflight-bytes");
    }
    assert!(!taken.is_empty(), "one of them fits");
    let (taken, refused) = (taken.len(), refused.len());
    let memory = server.memory("VmHWM");
    say(&format!("amplified bodies: {taken} taken, {refused} refused, at most {memory} bytes"));
    assert!(memory < 512 << 20, "{memory} bytes resident");
    assert_eq!(push(&server, &gzipped, &body).status, 200);
    assert_alive(&server);
}

/// What a push takes once it is parsed counts, not only what was sent.
#[test]
fn a_body_that_becomes_too_large() {
    let server = Server::gate(&["--limits.inflight-bytes=4MiB"]);
    let small = format!("a{{x=\"{}\"}} 1\n", "y".repeat(900_000));
    assert_eq!(push(&server, &[], small.as_bytes()).status, 200);
    let series: String = (0..AMPLIFIED_SERIES).map(|i| format!("a{{x=\"{i}\"}} 1\n")).collect();
    assert!(series.len() < small.len());
    let answer = push(&server, &[], series.as_bytes());
    assert_refused(&answer, 503, "--limits.inflight-bytes");
    assert_alive(&server);
}

/// Series of a body of half a megabyte.
const AMPLIFIED_SERIES: u32 = 30_000;

/// Five bytes that make the original ask for 34 GB and die.
#[test]
fn a_length_that_nobody_could_keep() {
    let server = Server::gate(&[]);
    let media = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited";
    let answer = push(&server, &[("Content-Type", media)], b"\xff\xff\xff\xff\x7f");
    assert_refused(&answer, 400, "unexpected EOF");
    assert_alive(&server);
    let memory = server.memory("VmRSS");
    assert!(memory < 512 << 20, "{memory} bytes resident");
}

#[test]
fn too_much_in_a_push() {
    let server = Server::gate(&[
        "--limits.series-per-push=10",
        "--limits.labels-per-series=5",
        "--limits.name-bytes=20",
        "--limits.label-value-bytes=30",
    ]);
    let series = |n: usize| -> String { (0..n).map(|i| format!("a{{x=\"{i}\"}} 1\n")).collect() };
    assert_eq!(push(&server, &[], series(10).as_bytes()).status, 200);
    assert_refused(&push(&server, &[], series(11).as_bytes()), 413, "--limits.series-per-push");
    // job and instance count, too.
    assert_eq!(push(&server, &[], b"a{b=\"\",c=\"\",d=\"\"} 1\n").status, 200);
    let labels = push(&server, &[], b"a{b=\"\",c=\"\",d=\"\",e=\"\"} 1\n");
    assert_refused(&labels, 400, "6 labels, 5 are allowed (--limits.labels-per-series)");
    let name = format!("{} 1\n", "n".repeat(21));
    assert_refused(&push(&server, &[], name.as_bytes()), 400, "--limits.name-bytes");
    let label = format!("a{{{}=\"\"}} 1\n", "n".repeat(21));
    assert_refused(&push(&server, &[], label.as_bytes()), 400, "--limits.name-bytes");
    let value = format!("a{{b=\"{}\"}} 1\n", "v".repeat(31));
    assert_refused(&push(&server, &[], value.as_bytes()), 400, "--limits.label-value-bytes");
    let target = format!("/metrics/job/{}", "v".repeat(31));
    assert_refused(&server.send("PUT", &target, "a 1\n"), 400, "--limits.label-value-bytes");
    assert_alive(&server);
}

#[test]
fn too_many_groups() {
    let server = Server::gate(&["--limits.groups=2"]);
    for job in ["alive", "b"] {
        assert_eq!(server.send("PUT", &format!("/metrics/job/{job}"), "a 1\n").status, 200);
    }
    assert_refused(
        &server.send("PUT", "/metrics/job/c", "a 1\n"),
        507,
        "groups would be more than the limit of 2 (--limits.groups)",
    );
    // A refused push would leave a marker group; that is one more, too.
    assert_ne!(server.send("PUT", "/metrics/job/c", "a 1 5\n").status, 200);
    assert!(!server.send("GET", "/metrics", "").text().contains("job=\"c\""));
    // Those that exist can still be changed, and deleting makes room.
    assert_eq!(server.send("POST", "/metrics/job/b", "a 2\n").status, 200);
    assert_eq!(server.send("DELETE", "/metrics/job/b", "").status, 202);
    assert_eq!(server.send("PUT", "/metrics/job/c", "a 1\n").status, 200);
    assert_alive(&server);
}

#[test]
fn too_many_series() {
    let server = Server::gate(&["--limits.series=20"]);
    let series = |n: usize| -> String { (0..n).map(|i| format!("a{{x=\"{i}\"}} 1\n")).collect() };
    assert_eq!(server.send("PUT", "/metrics/job/a", &series(10)).status, 200);
    assert_refused(
        &server.send("PUT", "/metrics/job/b", &series(30)),
        507,
        "series would be more than the limit of 20 (--limits.series)",
    );
    assert_eq!(server.send("PUT", "/metrics/job/a", &series(2)).status, 200);
    assert_alive(&server);
}

#[test]
fn too_many_bytes_stored() {
    let server = Server::gate(&["--limits.state-bytes=100KiB"]);
    let body = |bytes: usize| format!("a{{x=\"{}\"}} 1\n", "y".repeat(bytes));
    assert_eq!(server.send("PUT", "/metrics/job/a", &body(60_000)).status, 200);
    let bytes = server.metric("quorumgate_state_bytes").unwrap();
    assert!((60_000.0..70_000.0).contains(&bytes), "{bytes}");
    let refused = server.send("PUT", "/metrics/job/b", &body(60_000));
    assert_refused(
        &refused,
        507,
        "bytes would be more than the limit of 102400 (--limits.state-bytes)",
    );
    assert_eq!(server.metric("quorumgate_state_bytes"), Some(bytes));
    // What takes no more than before is always taken, and deleting makes room.
    assert_eq!(server.send("PUT", "/metrics/job/a", &body(50_000)).status, 200);
    assert_eq!(server.send("DELETE", "/metrics/job/a", "").status, 202);
    assert_eq!(server.send("PUT", "/metrics/job/b", &body(60_000)).status, 200);
    assert_alive(&server);
}

#[test]
fn a_header_block_that_is_too_long() {
    let server = Server::gate(&["--limits.header-bytes=16KiB"]);
    let long = "x".repeat(15_000);
    let fits = http::request("GET", "/-/healthy", &[("X-Long", &long)], b"");
    assert_eq!(http::exchange(server.addr(), &fits).unwrap().status, 200);
    let long = "x".repeat(40_000);
    let request = http::request("GET", "/-/healthy", &[("X-Long", &long)], b"");
    assert_eq!(http::exchange(server.addr(), &request).unwrap().status, 431);
    assert_alive(&server);
}

#[test]
fn a_header_that_never_ends() {
    let server = Server::gate(&["--limits.header-timeout=200ms"]);
    for start in [&b"GET /metrics HTTP/1.1\r\nHost: x\r\n"[..], b"G"] {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(start).unwrap();
        let mut said = Vec::new();
        // An answer before the end is fine; an open connection is not.
        drop(client.read_to_end(&mut said));
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "));
    }
    assert_alive(&server);
}

#[test]
fn a_body_that_never_ends() {
    let server = Server::gate(&["--limits.body-timeout=200ms"]);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client
        .write_all(b"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na 1\n")
        .unwrap();
    assert_refused(&read_response(&mut client, false).unwrap(), 408, "--limits.body-timeout");
    assert!(!server.send("GET", "/metrics", "").text().contains("job=\"j\""));
    assert_alive(&server);
}

#[test]
fn a_body_that_ends_early() {
    let server = Server::gate(&[]);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client
        .write_all(b"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na 1\n")
        .unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = Vec::new();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(client.read_to_end(&mut said));
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "));
    assert!(!server.send("GET", "/metrics", "").text().contains("job=\"j\""));
    assert_alive(&server);
}

#[test]
fn too_many_requests_at_once() {
    let server = Server::gate(&["--limits.concurrent-requests=2"]);
    let held: Vec<TcpStream> = (0..2)
        .map(|job| {
            let mut client = TcpStream::connect(server.addr()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            let head = format!(
                "PUT /metrics/job/{job} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
            );
            client.write_all(head.as_bytes()).unwrap();
            // The interim answer shows that the request is being served.
            let mut interim = [0; 25];
            client.read_exact(&mut interim).unwrap();
            client
        })
        .collect();
    let answer = server.send("PUT", "/metrics/job/j", "a 1\n");
    assert_refused(&answer, 503, "--limits.concurrent-requests");
    assert!(answer.header("Retry-After").is_some());
    for mut client in held {
        client.write_all(b"a 1\n").unwrap();
        assert_eq!(read_response(&mut client, false).unwrap().status, 200);
    }
    eventually(PATIENCE, "room for a request", || {
        (server.send("PUT", "/metrics/job/j", "a 1\n").status == 200).then_some(())
    });
    assert_alive(&server);
}

/// Whether a body is gzip is looked at before all else; those who are asked for it count, too.
#[test]
fn too_many_bodies_that_are_looked_into() {
    let server = Server::gate(&["--limits.concurrent-requests=2"]);
    let start = |target: &str| {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\
             Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    let held = ["/metrics/job/j", "/nowhere"].map(|target| {
        let mut client = start(target);
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        // The interim answer shows that the body is waited for.
        let mut interim = [0; 25];
        client.read_exact(&mut interim).unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 "));
        client
    });
    for target in ["/metrics/job/j", "/nowhere"] {
        let answer = read_response(&mut start(target), false).unwrap();
        assert_refused(&answer, 503, "--limits.concurrent-requests");
    }
    assert_eq!(server.send("GET", "/-/healthy", "").status, 200);
    drop(held);
    eventually(PATIENCE, "room for a request", || {
        (server.send("PUT", "/metrics/job/j", "a 1\n").status == 200).then_some(())
    });
    assert_alive(&server);
}

#[test]
fn too_many_connections() {
    let server = Server::gate(&["--limits.connections=2"]);
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(server.addr()).unwrap()).collect();
    eventually(PATIENCE, "a connection to be refused", || {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        matches!(client.read(&mut [0; 1]), Ok(0)).then_some(())
    });
    drop(held);
    let request = http::request("GET", "/-/healthy", &[], b"");
    eventually(PATIENCE, "room for a connection", || {
        http::exchange(server.addr(), &request).ok().filter(|answer| answer.status == 200)
    });
}

#[test]
fn what_is_not_http() {
    let server = Server::gate(&[]);
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(garbage).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = Vec::new();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(client.read_to_end(&mut said));
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{said:?}");
    }
    assert_alive(&server);
}
