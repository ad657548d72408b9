//! Replicas are restarted one after the other behind a load balancer, and no client notices.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::load::{Front, Load};
use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::process::PATIENCE;

/// How long a replica still takes requests after it has said that it is not ready. The balancer has to
/// hear of it in that time, also on a busy machine.
const DELAY: &str = "--cluster.shutdown-delay=1500ms";

/// How often the balancer asks.
const POLL: Duration = Duration::from_millis(20);

/// Sends requests to a replica while it says that it is ready. In the result, why it no longer does.
fn balance(cluster: &Cluster, front: &Arc<Front>, name: &'static str) -> Refusal {
    let address = cluster.server(name).addr();
    front.open(cluster, name);
    let refusal = Refusal::default();
    let (front, told) = (Arc::clone(front), Arc::clone(&refusal));
    std::thread::spawn(move || {
        let ask = http::request("GET", "/-/ready", &[], b"");
        let why = loop {
            match http::exchange(address, &ask) {
                Ok(answer) if answer.status == 200 => std::thread::sleep(POLL),
                Ok(answer) => break answer.text(),
                Err(err) => break err.to_string(),
            }
        };
        front.close(name);
        *told.lock().unwrap() = Some(why);
    });
    refusal
}

type Refusal = Arc<Mutex<Option<String>>>;

/// Pushes over one connection, which it keeps until an answer says that it will be closed, as clients
/// and load balancers with a pool of connections do. In the result, the number of its last push.
fn push_until_told_to_leave(cluster: &Cluster, name: &str) -> JoinHandle<u32> {
    let mut connection = TcpStream::connect(cluster.server(name).addr()).unwrap();
    connection.set_nodelay(true).unwrap();
    let target = format!("/metrics/job/kept/at/{name}");
    std::thread::spawn(move || {
        let mut n = 0;
        loop {
            n += 1;
            let body = format!("k {n}\n");
            let length = body.len();
            let head = format!("PUT {target} HTTP/1.1\r\nHost: gate\r\nContent-Length: {length}");
            connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
            let answer = http::read_response(&mut connection, false)
                .unwrap_or_else(|err| panic!("{target}: push {n} was cut off: {err}"));
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            if answer.header("Connection") == Some("close") {
                assert_eq!(connection.read(&mut [0]).unwrap(), 0, "it is not closed");
                return n;
            }
            std::thread::sleep(POLL);
        }
    })
}

#[test]
fn a_rolling_restart_fails_no_push_and_no_scrape() {
    let mut cluster = Cluster::of(THREE, &[DELAY]);
    let front = Arc::new(Front::default());
    let mut refusals: BTreeMap<&str, Refusal> =
        THREE.iter().map(|name| (*name, balance(&cluster, &front, name))).collect();
    // Nobody but the one that stops is ever taken out of service, also while the lead changes hands.
    let all_serve = |refusals: &BTreeMap<&str, Refusal>, except: &str| {
        for (name, refusal) in refusals.iter().filter(|(name, _)| **name != except) {
            assert_eq!(*refusal.lock().unwrap(), None, "{name}");
        }
    };
    let load = Load::start(&front);
    load.more(30);
    // The leader first, so that each of them hands over once at most.
    let first = cluster.leader();
    let others = THREE.iter().copied().filter(|name| *name != first);
    for name in std::iter::once(first).chain(others) {
        let led = cluster.leader() == name;
        let keeps = push_until_told_to_leave(&cluster, name);
        load.more(10);
        assert!(!keeps.is_finished(), "{name} closes a connection without a reason");
        cluster.server(name).signal("TERM");
        if led {
            // It still runs when another one leads.
            eventually(PATIENCE, "the lead to be handed over", || {
                let leader = cluster.status(name)["leader"].as_str().unwrap().to_owned();
                (!leader.is_empty() && leader != name).then_some(())
            });
        }
        let why = eventually(PATIENCE, "the load balancer to notice", || {
            refusals[name].lock().unwrap().clone()
        });
        assert!(why.contains("stopping: failed"), "{why}");
        let (status, said) = cluster.until_stopped(name);
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("the lead was not handed over"), "{said}");
        assert!(!said.contains("level=error"), "{said}");
        all_serve(&refusals, name);
        let last = keeps.join().unwrap();
        let kept = format!("k{{at=\"{name}\",instance=\"\",job=\"kept\"}} {last}\n");
        let other = cluster.running()[0];
        assert!(cluster.scrape(other).contains(&kept), "{other} does not show {kept}");
        load.more(30);
        cluster.start(name);
        cluster.until_ready(&[name]);
        refusals.insert(name, balance(&cluster, &front, name));
        load.more(30);
        all_serve(&refusals, "");
    }
    let told = load.finish();
    all_serve(&refusals, "");
    told.check("rolling restart", &cluster, THREE);
}
