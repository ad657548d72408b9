//! A load of pushes that remembers what was acknowledged, and the check that all of it is there.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const CLIENTS: u64 = 8;
/// Every so many pushes, one goes to a group of its own that is never pushed to again.
const SET_EVERY: u64 = 5;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What the clients know: what they tried last, and what was acknowledged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Book {
    /// Client to the last value acknowledged and the last value tried, on its own hot group.
    hot: BTreeMap<u64, (u64, u64)>,
    /// Values pushed to groups of their own, and acknowledged.
    set: Vec<u64>,
    next: u64,
    /// Acknowledgements that arrived.
    answered: u64,
}

impl Book {
    pub(crate) fn set_len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.set.len() + self.hot.values().filter(|(acked, _)| *acked > 0).count()
    }

    /// Fails unless `exposition` holds every acknowledged push, or a later try of the same client.
    pub(crate) fn check(&self, exposition: &str) {
        let samples: BTreeMap<&str, u64> = exposition
            .lines()
            .filter(|line| line.starts_with("hot{") || line.starts_with("member{"))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| (series, integer(value)))
            .collect();
        for (client, (acked, tried)) in &self.hot {
            let series = format!("hot{{instance=\"\",job=\"load\",client=\"{client}\"}}");
            let series_sorted = format!("hot{{client=\"{client}\",instance=\"\",job=\"load\"}}");
            let found =
                samples.get(series_sorted.as_str()).or_else(|| samples.get(series.as_str()));
            let found = found.copied().unwrap_or(0);
            assert!(
                (*acked..=*tried).contains(&found),
                "client {client}: {acked} was acknowledged and {tried} tried last, but {found} is stored"
            );
        }
        let lost: Vec<_> = self
            .set
            .iter()
            .filter(|n| {
                !samples
                    .contains_key(format!("member{{instance=\"\",job=\"set\",n=\"{n}\"}}").as_str())
            })
            .collect();
        assert!(lost.is_empty(), "{} acknowledged pushes are lost: {lost:?}", lost.len());
    }
}

/// Clients that push as fast as they are answered, until they are stopped or the server is gone.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients; they go on from what `book` knows.
    pub(crate) fn start(server: SocketAddr, book: Book) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let book = Arc::new(Mutex::new(book));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, book) = (Arc::clone(&stop), Arc::clone(&book));
            std::thread::spawn(move || push_until_stopped(server, client, &stop, &book))
        });
        let clients = clients.collect();
        Load { stop, book, clients }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.book.lock().unwrap().acknowledged()
    }

    pub(crate) fn set_len(&self) -> usize {
        self.book.lock().unwrap().set.len()
    }

    /// Acknowledgements that arrived so far.
    pub(crate) fn answered(&self) -> u64 {
        self.book.lock().unwrap().answered
    }

    /// Ends the load and tells what it knows.
    pub(crate) fn finish(self) -> Book {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        Arc::try_unwrap(self.book).unwrap().into_inner().unwrap()
    }
}

fn push_until_stopped(server: SocketAddr, client: u64, stop: &AtomicBool, book: &Mutex<Book>) {
    let Ok(mut connection) = TcpStream::connect(server) else { return };
    connection.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    connection.set_nodelay(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let n = {
            let mut book = book.lock().unwrap();
            book.next += 1;
            let n = book.next;
            if !n.is_multiple_of(SET_EVERY) {
                book.hot.entry(client).or_default().1 = n;
            }
            n
        };
        let (path, body) = if n.is_multiple_of(SET_EVERY) {
            (format!("/metrics/job/set/n/{n}"), format!("member {n}\n"))
        } else {
            (format!("/metrics/job/load/client/{client}"), format!("hot {n}\n"))
        };
        match put(&mut connection, &path, &body) {
            Some(200) => {
                let mut book = book.lock().unwrap();
                book.answered += 1;
                if n.is_multiple_of(SET_EVERY) {
                    book.set.push(n);
                } else {
                    book.hot.entry(client).or_default().0 = n;
                }
            }
            // Refused for lack of disk space, or overloaded: nothing was promised.
            Some(503 | 507) => {}
            Some(status) => panic!("a push was answered {status}"),
            None => return,
        }
    }
}

/// An integer as the exposition shows it: above a million with an exponent.
fn integer(text: &str) -> u64 {
    format!("{:.0}", text.parse::<f64>().unwrap()).parse().unwrap()
}

/// One push over a kept connection; `None` when the server is gone.
fn put(connection: &mut TcpStream, path: &str, body: &str) -> Option<u16> {
    let request =
        format!("PUT {path} HTTP/1.1\r\nHost: q\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0; 512];
    let head_end = loop {
        let read = connection.read(&mut byte).ok().filter(|n| *n > 0)?;
        answer.extend_from_slice(&byte[..read]);
        if let Some(at) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&answer[..head_end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |n| n.trim().parse::<usize>().unwrap());
    while answer.len() < head_end + length {
        let read = connection.read(&mut byte).ok().filter(|n| *n > 0)?;
        answer.extend_from_slice(&byte[..read]);
    }
    head.split(' ').nth(1)?.parse().ok()
}
