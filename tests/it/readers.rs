//! Clients that take their answers slowly: those that keep the pace are served to the end, the
//! others are cut off, and nobody else notices.

use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::process::{PATIENCE, Server};
use crate::harness::say;

/// A label value as long as it may be.
const VALUE_BYTES: usize = 1 << 20;
/// The pace that every reader must keep on average, `--limits.body-timeout` aside.
const BYTES_PER_SECOND_MIN: u64 = 32 << 10;

/// A server whose scrape has a little more than so many mebibytes.
fn server_with(mebibytes: usize, flags: &[&str]) -> Server {
    let server = Server::gate(flags);
    let value = "y".repeat(VALUE_BYTES);
    for n in 0..mebibytes {
        let push = server.send(
            "PUT",
            &format!("/metrics/job/j/n/{n}"),
            &format!("a{{x=\"{value}\"}} 1\n"),
        );
        assert_eq!(push.status, 200, "{}", push.text());
    }
    server
}

/// How much of a path's speed the kernel hides: segments and buffers as on this machine, or small
/// ones as on a bad line, which leave the pace to the reader.
#[derive(Clone, Copy)]
enum Line {
    Roomy,
    Narrow,
}

/// Asks for a scrape.
fn begin(addr: SocketAddr, line: Line) -> TcpStream {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)).unwrap();
    if let Line::Narrow = line {
        socket.set_tcp_mss(536).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
    }
    socket.connect(&addr.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    client
}

/// Reads at a steady pace for as long as there is something, and `limit` at most: how many bytes
/// came, and whether the server was done by itself.
fn read_at(client: &mut TcpStream, bytes_per_second: u64, limit: Duration) -> (u64, bool) {
    let begun = Instant::now();
    let (mut read, mut buffer) = (0, vec![0; 16 << 10]);
    loop {
        let due = Duration::from_millis(1000 * read / bytes_per_second);
        if due > limit || begun.elapsed() > limit {
            return (read, false);
        }
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        match client.read(&mut buffer) {
            Ok(0) => return (read, true),
            Ok(bytes) => read += bytes as u64,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return (read, true),
            Err(e) => panic!("after {read} bytes: {e}"),
        }
    }
}

#[test]
fn one_that_is_too_slow_is_cut_off() {
    let server = server_with(2, &["--limits.body-timeout=6s"]);
    let mut slow = begin(server.addr(), Line::Narrow);
    let reading = std::thread::spawn(move || {
        let begun = Instant::now();
        let (read, done) = read_at(&mut slow, BYTES_PER_SECOND_MIN / 2, Duration::from_mins(1));
        (read, done, begun.elapsed())
    });
    // Meanwhile everybody else is served.
    while !reading.is_finished() {
        assert_eq!(server.send("GET", "/-/healthy", "").status, 200);
        assert_eq!(server.send("PUT", "/metrics/job/other", "b 1\n").status, 200);
        assert!(server.send("GET", "/metrics", "").body.len() > 2 * VALUE_BYTES);
        std::thread::sleep(Duration::from_millis(100));
    }
    let (read, done, after) = reading.join().unwrap();
    say(&format!("a slow reader was cut off after {read} bytes and {after:?}"));
    assert!(done && read < 2 * VALUE_BYTES as u64, "{read} bytes in {after:?}");
}

#[test]
fn one_that_keeps_the_pace_is_served_to_the_end() {
    let server = server_with(2, &["--limits.body-timeout=2s"]);
    let mut slow = begin(server.addr(), Line::Narrow);
    let (read, done) = read_at(&mut slow, 6 * BYTES_PER_SECOND_MIN, PATIENCE);
    assert!(done && read > 2 * VALUE_BYTES as u64, "{read} bytes");
}

/// What the kernel holds for a reader must not make a steady one look like one that stands still.
#[test]
fn one_that_keeps_the_pace_behind_large_buffers_is_served_to_the_end() {
    let server = server_with(8, &["--limits.body-timeout=2s"]);
    let mut steady = begin(server.addr(), Line::Roomy);
    let (read, done) = read_at(&mut steady, 16 * BYTES_PER_SECOND_MIN, Duration::from_mins(2));
    assert!(done && read > 8 * VALUE_BYTES as u64, "{read} bytes");
}
