//! All replicas on loopback, each behind two proxies of ours: one for the other replicas, one for
//! clients. A cut direction passes nothing on and keeps the connection, as a network would.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Cut;

/// How often a held-back piece is tried again, and a closed place noticed.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Loopback {
    base: u32,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cuts: Mutex<BTreeSet<Cut>>,
    held_back: AtomicU64,
    closed: AtomicBool,
    /// The process of each replica, as far as it is known.
    pids: Mutex<Vec<Option<u32>>>,
}

impl Loopback {
    pub(super) fn new(replicas: usize) -> Loopback {
        let state = Arc::new(State::default());
        state.pids.lock().unwrap().resize(replicas, None);
        let place = Loopback { base: std::process::id() % 50_000, state };
        for replica in 0..replicas {
            for (front, back, for_peers) in [
                (place.peer(replica), place.peer_listen(replica), true),
                (place.web(replica), place.web_listen(replica), false),
            ] {
                let listener = TcpListener::bind(front).unwrap();
                listener.set_nonblocking(true).unwrap();
                let proxy = Proxy { to: replica, back, for_peers, state: Arc::clone(&place.state) };
                std::thread::spawn(move || proxy.accept(&listener));
            }
        }
        place
    }

    /// Every run has addresses of its own, and every replica one for its proxies and one for itself.
    fn address(&self, replica: usize, behind: bool, port: u16) -> SocketAddr {
        let [.., high, low] = self.base.to_be_bytes();
        let last = u8::try_from(replica + 1).unwrap() + if behind { 100 } else { 0 };
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, high.max(1), low, last)), port)
    }

    pub(super) fn web(&self, replica: usize) -> SocketAddr {
        self.address(replica, false, super::WEB_PORT)
    }

    pub(super) fn web_listen(&self, replica: usize) -> SocketAddr {
        self.address(replica, true, super::WEB_PORT)
    }

    pub(super) fn peer(&self, replica: usize) -> SocketAddr {
        self.address(replica, false, super::PEER_PORT)
    }

    pub(super) fn peer_listen(&self, replica: usize) -> SocketAddr {
        self.address(replica, true, super::PEER_PORT)
    }

    pub(super) fn runs(&self, replica: usize, pid: u32) {
        self.state.pids.lock().unwrap()[replica] = Some(pid);
    }

    pub(super) fn cut(&self, cuts: &[Cut]) {
        self.state.held_back.store(0, Ordering::Relaxed);
        *self.state.cuts.lock().unwrap() = cuts.iter().copied().collect();
    }

    /// The cuts are not told apart: more than nothing was held back, or nothing.
    pub(super) fn held_back(&self, _cuts: &[Cut]) -> u64 {
        self.state.held_back.load(Ordering::Relaxed)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        // Its listeners are gone before another run takes the same addresses.
        std::thread::sleep(TICK * 5);
    }
}

impl State {
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Waits until nothing is in the way; false once the place is closed.
    fn wait_for(&self, cut: Cut) -> bool {
        let mut counted = false;
        while self.cuts.lock().unwrap().contains(&cut) {
            if !std::mem::replace(&mut counted, true) {
                self.held_back.fetch_add(1, Ordering::Relaxed);
            }
            if self.closed() {
                return false;
            }
            std::thread::sleep(TICK);
        }
        !self.closed()
    }

    /// Whose connection comes from this address: the process that holds its socket.
    fn source(&self, address: SocketAddr) -> Option<usize> {
        let inode = inode_of(address)?;
        let link = format!("socket:[{inode}]");
        let pids = self.pids.lock().unwrap().clone();
        pids.iter().position(|pid| pid.is_some_and(|pid| holds(pid, &link)))
    }
}

fn inode_of(address: SocketAddr) -> Option<u64> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours = columns.filter(|columns| columns.get(1) == Some(&local.as_str()));
    ours.next()?.get(9)?.parse().ok()
}

fn holds(pid: u32, link: &str) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let own = std::fs::metadata("/proc/self").map(|process| process.uid());
    own.is_ok()
        && files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == link))
}

struct Proxy {
    to: usize,
    back: SocketAddr,
    for_peers: bool,
    state: Arc<State>,
}

impl Proxy {
    fn accept(self, listener: &TcpListener) {
        let proxy = Arc::new(self);
        while !proxy.state.closed() {
            match listener.accept() {
                Ok((front, from)) => {
                    let proxy = Arc::clone(&proxy);
                    std::thread::spawn(move || proxy.connect(&front, from));
                }
                Err(_nobody_yet) => std::thread::sleep(TICK),
            }
        }
    }

    fn connect(&self, front: &TcpStream, from: SocketAddr) {
        let (there, back) = if self.for_peers {
            let Some(from) = self.state.source(from) else { return };
            (Cut::Link { from, to: self.to }, Some(Cut::Link { from: self.to, to: from }))
        } else {
            (Cut::Clients { to: self.to }, None)
        };
        if !self.state.wait_for(there) {
            return;
        }
        let Ok(target) = TcpStream::connect_timeout(&self.back, Duration::from_secs(1)) else {
            return;
        };
        let (Ok(answers), Ok(client)) = (target.try_clone(), front.try_clone()) else { return };
        let state = Arc::clone(&self.state);
        std::thread::spawn(move || pump(&answers, &client, back, &state));
        pump(front, &target, Some(there), &self.state);
    }
}

/// Passes on what comes, until one of the two ends is gone.
fn pump(mut from: &TcpStream, mut to: &TcpStream, cut: Option<Cut>, state: &State) {
    let quiet = |stream: &TcpStream| {
        stream.set_nonblocking(false).is_ok()
            && stream.set_nodelay(true).is_ok()
            && stream.set_read_timeout(Some(Duration::from_millis(200))).is_ok()
    };
    if !quiet(from) || !quiet(to) {
        return;
    }
    let mut piece = vec![0; 64 * 1024];
    while !state.closed() {
        let got = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => got,
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_broken) => break,
        };
        if cut.is_some_and(|cut| !state.wait_for(cut)) || to.write_all(&piece[..got]).is_err() {
            break;
        }
    }
    // Already shut if the other direction was first.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
