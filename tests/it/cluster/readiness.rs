//! Asks replicas all the while, as a load balancer does, whether requests should be sent to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::cluster::Cluster;
use crate::harness::http;

const POLL: Duration = Duration::from_millis(10);

/// Replicas that are to be ready as long as it lasts.
pub(crate) struct Readiness {
    over: Arc<AtomicBool>,
    asking: Vec<JoinHandle<usize>>,
}

impl Readiness {
    pub(crate) fn of(cluster: &Cluster, names: &[&'static str]) -> Readiness {
        let over = Arc::new(AtomicBool::new(false));
        let asking = names.iter().map(|name| {
            let (name, address, over) = (*name, cluster.server(name).addr(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    let ready = http::send(address, "GET", "/-/ready", b"");
                    assert_eq!(ready.status, 200, "{name}: {}", ready.text());
                    count += 1;
                    std::thread::sleep(POLL);
                }
                count
            })
        });
        Readiness { asking: asking.collect(), over }
    }

    /// Fails if one of them ever said that it is not.
    pub(crate) fn held(self) {
        self.over.store(true, Ordering::Relaxed);
        for asking in self.asking {
            assert!(asking.join().unwrap() > 0, "nobody was asked");
        }
    }
}
