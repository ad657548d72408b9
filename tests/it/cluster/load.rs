//! Clients that push, delete and scrape through whichever replicas are in service, and know what
//! every one of their groups must hold.
//!
//! Each client has groups of its own and repeats a request, with the same `Idempotency-Key`, until it
//! is answered with success. So what its groups hold is certain at any moment, and a scrape at any
//! replica must show exactly that. A replica that is in service must not fail a request at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::cluster::Cluster;
use crate::harness::http::{self, Response};
use crate::harness::process::PATIENCE;
use crate::harness::{eventually, say};

const CLIENTS: usize = 5;
/// Groups of one client.
const SLOTS: usize = 3;
/// Every so many changes a client scrapes.
const SCRAPE_EVERY: usize = 4;
/// So that the machine is not all the clients'.
const PAUSE: Duration = Duration::from_millis(5);

/// Where clients send their requests, as a load balancer has it.
#[derive(Default)]
pub(crate) struct Front {
    places: Mutex<BTreeMap<&'static str, Place>>,
}

#[derive(Clone, Copy)]
struct Place {
    address: SocketAddr,
    serving: bool,
    under_way: usize,
    /// How often the replica has been given up.
    given_up: usize,
}

impl Front {
    /// Replicas that are all in service.
    pub(crate) fn of(cluster: &Cluster, names: &[&'static str]) -> Arc<Front> {
        let front = Arc::new(Front::default());
        for name in names {
            front.open(cluster, name);
        }
        front
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<&'static str, Place>) -> T) -> T {
        change(&mut self.places.lock().unwrap())
    }

    /// Requests are sent there from now on.
    pub(crate) fn open(&self, cluster: &Cluster, name: &'static str) {
        let address = cluster.server(name).addr();
        self.change(|places| {
            let (under_way, given_up) =
                places.get(name).map_or((0, 0), |place| (place.under_way, place.given_up));
            places.insert(name, Place { address, serving: true, under_way, given_up });
        });
    }

    /// No more requests are sent there; those under way must still succeed.
    pub(crate) fn close(&self, name: &str) {
        self.change(|places| places.get_mut(name).unwrap().serving = false);
    }

    /// The same, and waits until none is under way.
    pub(crate) fn drain(&self, name: &str) {
        self.close(name);
        eventually(PATIENCE, &format!("the requests at {name}"), || {
            self.change(|places| places[name].under_way == 0).then_some(())
        });
    }

    /// No more requests are sent there, and those under way may fail.
    pub(crate) fn give_up(&self, name: &str) {
        self.change(|places| {
            let place = places.get_mut(name).unwrap();
            (place.serving, place.given_up) = (false, place.given_up + 1);
        });
    }

    /// A replica in service, another one each turn.
    fn enter(&self, turn: usize) -> Option<(&'static str, Place)> {
        self.change(|places| {
            let serving: Vec<&'static str> =
                places.iter().filter(|(_, place)| place.serving).map(|(name, _)| *name).collect();
            let name = *serving.get(turn % serving.len().max(1))?;
            let place = places.get_mut(name).unwrap();
            place.under_way += 1;
            Some((name, *place))
        })
    }

    /// Whether the replica was given up meanwhile.
    fn leave(&self, name: &str, entered: Place) -> bool {
        self.change(|places| {
            let place = places.get_mut(name).unwrap();
            place.under_way -= 1;
            place.given_up != entered.given_up
        })
    }
}

/// What the clients know in the end.
#[derive(Default)]
pub(crate) struct Told {
    /// Every sample that must be there.
    samples: BTreeMap<String, String>,
    slowest: Duration,
    changes: usize,
    scrapes: usize,
}

impl Told {
    /// Fails unless each replica shows all that was acknowledged, nothing else, and the same bytes.
    pub(crate) fn check(self, story: &str, cluster: &Cluster, names: &[&'static str]) {
        for name in names {
            let found = samples(&cluster.scrape(name), "job=\"load\"");
            assert_eq!(found, self.samples, "{name}");
        }
        cluster.agree(names);
        say(&format!(
            "{story}: {} changes and {} scrapes succeeded, the slowest in {:?}",
            self.changes, self.scrapes, self.slowest
        ));
    }
}

/// The pushed samples of an exposition whose series contain this text.
fn samples(exposition: &str, part: &str) -> BTreeMap<String, String> {
    let ours = exposition.lines().filter(|line| line.starts_with("a{") || line.starts_with("b{"));
    let ours = ours.filter(|line| line.contains(part));
    ours.map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series.to_owned(), value.to_owned()))
        .collect()
}

/// Requests that a replica in service did not answer with success, and wrong answers.
#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Failures {
    fn add(&self, failure: String) {
        self.0.lock().unwrap().push(failure);
    }

    fn none_yet(&self) {
        let failures = self.0.lock().unwrap();
        let some = failures.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(failures.is_empty(), "{} failures, such as\n{some}", failures.len());
    }
}

/// Running clients.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicUsize>,
    failures: Arc<Failures>,
    clients: Vec<JoinHandle<Told>>,
}

impl Load {
    pub(crate) fn start(front: &Arc<Front>) -> Load {
        let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let failures = Arc::new(Failures::default());
        let clients = (0..CLIENTS)
            .map(|number| {
                let client = Client {
                    number,
                    turn: number,
                    front: Arc::clone(front),
                    told: Told::default(),
                    failures: Arc::clone(&failures),
                    newest: 0,
                };
                let (stop, changes) = (Arc::clone(&stop), Arc::clone(&changes));
                std::thread::spawn(move || client.run(&stop, &changes))
            })
            .collect();
        Load { stop, changes, failures, clients }
    }

    /// Waits until so many more changes have succeeded.
    pub(crate) fn more(&self, count: usize) {
        let goal = self.changes.load(Ordering::Relaxed) + count;
        eventually(PATIENCE, "more changes", || {
            self.failures.none_yet();
            let gone = self.clients.iter().any(JoinHandle::is_finished);
            (gone || self.changes.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Ends the load, fails unless every request has succeeded, and tells what the clients know.
    pub(crate) fn finish(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.join().unwrap();
            all.samples.extend(told.samples);
            all.slowest = all.slowest.max(told.slowest);
            all.changes += told.changes;
            all.scrapes += told.scrapes;
        }
        self.failures.none_yet();
        all
    }
}

struct Client {
    number: usize,
    turn: usize,
    front: Arc<Front>,
    told: Told,
    failures: Arc<Failures>,
    /// The highest log index that an answer has shown.
    newest: u64,
}

impl Client {
    fn run(mut self, stop: &AtomicBool, changes: &AtomicUsize) -> Told {
        while !stop.load(Ordering::Relaxed) {
            self.told.changes += 1;
            self.change(self.told.changes);
            changes.fetch_add(1, Ordering::Relaxed);
            if self.told.changes.is_multiple_of(SCRAPE_EVERY) {
                self.told.scrapes += 1;
                self.scrape();
            }
            std::thread::sleep(PAUSE);
        }
        self.told
    }

    /// Replaces, adds to or deletes a group.
    fn change(&mut self, n: usize) {
        let (client, slot) = (self.number, n % SLOTS);
        let series = |name| {
            format!("{name}{{client=\"{client}\",instance=\"\",job=\"load\",slot=\"{slot}\"}}")
        };
        let (a, b) = (series("a"), series("b"));
        let (method, body) = match n % 7 {
            0 => ("DELETE", String::new()),
            1 | 3 | 5 => ("POST", format!("b {n}\n")),
            _ => ("PUT", format!("a {n}\n")),
        };
        let key = format!("{client}-{n}");
        let path = format!("/metrics/job/load/client/{client}/slot/{slot}");
        let headers = [("Idempotency-Key", key.as_str())];
        let request = http::request(method, &path, &headers, body.as_bytes());
        let answer = self.insist(method, &request, if method == "DELETE" { 202 } else { 200 });
        self.newest = self.newest.max(index(&answer));
        let samples = &mut self.told.samples;
        if method != "POST" {
            samples.remove(&a);
            samples.remove(&b);
        }
        match method {
            "PUT" => drop(samples.insert(a, n.to_string())),
            "POST" => drop(samples.insert(b, n.to_string())),
            _ => {}
        }
    }

    /// Any replica must show what this client has done, and never go back.
    fn scrape(&mut self) {
        let request = http::request("GET", "/metrics", &[], b"");
        let answer = self.insist("GET", &request, 200);
        let at = answer.header("X-Quorumgate-Replica").unwrap_or_default().to_owned();
        let found = samples(&answer.text(), &format!("client=\"{}\"", self.number));
        if found != self.told.samples {
            let expected = &self.told.samples;
            self.failures.add(format!("{at} shows {found:?}, not {expected:?}"));
        }
        if index(&answer) < self.newest {
            let (index, newest) = (index(&answer), self.newest);
            self.failures.add(format!("{at} is at {index} after an answer at {newest}"));
        }
        self.newest = index(&answer);
    }

    /// Repeats a request until it succeeds, and notes what must not happen on the way there.
    fn insist(&mut self, method: &str, request: &[u8], success: u16) -> Response {
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < 2 * PATIENCE, "no replica takes {method}");
            self.turn += 1;
            let Some((name, place)) = self.front.enter(self.turn) else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let sent = Instant::now();
            let answer = http::exchange(place.address, request);
            let given_up = self.front.leave(name, place);
            let failed = match answer {
                Ok(answer) if answer.status == success => {
                    self.told.slowest = self.told.slowest.max(sent.elapsed());
                    return answer;
                }
                Ok(answer) => format!("{}: {}", answer.status, answer.text().trim_end()),
                Err(err) => err.to_string(),
            };
            if !given_up {
                let after = sent.elapsed();
                self.failures.add(format!("{method} at {name} after {after:?}: {failed}"));
            }
        }
    }
}

fn index(answer: &Response) -> u64 {
    answer.header("X-Quorumgate-Index").map_or(0, |index| index.parse().unwrap())
}
