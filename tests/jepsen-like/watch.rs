//! Asks every replica again and again how it sees the cluster.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::checkers::Sighting;
use crate::replica::status::Status;
use crate::world::{Life, World};

const PERIOD: Duration = Duration::from_millis(100);

pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Sighting>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Watcher {
    number: usize,
    name: String,
    web: SocketAddr,
    lives: Arc<Vec<Life>>,
    epoch: Instant,
}

impl Watch {
    pub(crate) fn start(world: &World) -> Watch {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Sighting>>>::default());
        let threads = (0..world.count()).map(|number| {
            let watcher = Watcher {
                number,
                name: world.name(number).to_owned(),
                web: world.place.web(number),
                lives: Arc::clone(&world.lives),
                epoch: world.epoch,
            };
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            std::thread::spawn(move || watcher.watch(&stop, &seen))
        });
        let threads = threads.collect();
        Watch { stop, seen, threads }
    }

    /// Ends it; what was seen, in order of time.
    pub(crate) fn stop(self) -> Vec<Sighting> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.sort_by_key(|sighting| sighting.at);
        seen
    }
}

impl Watcher {
    fn watch(&self, stop: &AtomicBool, seen: &Mutex<Vec<Sighting>>) {
        while !stop.load(Ordering::Relaxed) {
            let (disk, start) = self.lives[self.number].read();
            if let Ok(status) = Status::of(self.web) {
                // An answer from the time of a change may be about either side of it, and one that
                // has no term yet says nothing.
                if (disk, start) == self.lives[self.number].read() && status.term > 0 {
                    seen.lock().unwrap().push(Sighting {
                        at: nanos(self.epoch.elapsed()),
                        replica: self.name.clone(),
                        disk,
                        start,
                        term: status.term,
                        applied: status.applied,
                        leader: status.leader,
                        leader_id: status.leader_id,
                        digest: status.digest,
                        checkpoint: status.checkpoint,
                        log: status.log,
                    });
                }
            }
            std::thread::sleep(PERIOD);
        }
    }
}

/// How often another replica came to lead, or the same one in a later term.
pub(crate) fn leader_changes(seen: &[Sighting]) -> u64 {
    let led = seen.iter().filter(|sighting| !sighting.leader.is_empty());
    let leads: BTreeSet<(u64, &str)> =
        led.map(|sighting| (sighting.term, sighting.leader.as_str())).collect();
    (leads.len() as u64).saturating_sub(1)
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}
