//! Links between replicas that can be cut, each direction by itself.
//!
//! In front of each replica stands a relay, which is where the others reach it. Who has opened a
//! connection is told by whose process holds its other end. What is sent over a link that is cut
//! arrives nowhere, and nobody is told, as if the packets were lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How often is looked whether a cut is healed.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the kernel's table may lack a socket that is there: it changes while it is read.
const MISSES_MAX: u32 = 3;

/// All links of a cluster. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Links {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// From whom to whom nothing gets through.
    cut: Mutex<BTreeSet<(String, String)>>,
    pids: Mutex<BTreeMap<String, u32>>,
    /// Connections that have lost something.
    torn: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl Links {
    /// Relays what arrives at an address to where the replica of that name listens.
    pub(crate) fn relay(&self, name: &str, at: &str, to: &str) {
        let listener = TcpListener::bind(at).unwrap_or_else(|err| panic!("{at}: {err}"));
        listener.set_nonblocking(true).unwrap();
        let (links, name) = (self.clone(), name.to_owned());
        let to: SocketAddr = to.parse().unwrap();
        std::thread::spawn(move || {
            while !links.inner.over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, from)) => links.clone().connect(stream, from, name.clone(), to),
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        });
    }

    /// Says which process a replica is.
    pub(crate) fn runs_as(&self, name: &str, pid: u32) {
        self.inner.pids.lock().unwrap().insert(name.to_owned(), pid);
    }

    /// Loses everything that is sent from one to another one.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.inner.cut.lock().unwrap().insert((from.to_owned(), to.to_owned()));
    }

    /// Opens all links again. Connections that have lost something are closed.
    pub(crate) fn heal(&self) {
        self.inner.cut.lock().unwrap().clear();
        for stream in self.inner.torn.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Ends all of it.
    pub(crate) fn end(&self) {
        self.inner.over.store(true, Ordering::Relaxed);
        self.heal();
    }

    fn connect(self, stream: TcpStream, from: SocketAddr, name: String, to: SocketAddr) {
        std::thread::spawn(move || {
            let here = stream.local_addr().unwrap();
            let links = self;
            let way = Arc::new(Way { links, from, here, to: name, opener: OnceLock::new() });
            // The three packets that open a connection go both ways.
            while way.is_cut(Bytes::Asking) || way.is_cut(Bytes::Answering) {
                std::thread::sleep(PAUSE);
            }
            let Ok(inner) = TcpStream::connect(to) else { return };
            for stream in [&stream, &inner] {
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
            }
            let back = (inner.try_clone().unwrap(), stream.try_clone().unwrap());
            let way_back = Arc::clone(&way);
            std::thread::spawn(move || way_back.carry(back.0, back.1, Bytes::Answering));
            way.carry(stream, inner, Bytes::Asking);
        });
    }

    /// Whose process holds the end of a connection that is here `from`.
    fn owner(&self, from: SocketAddr, here: SocketAddr) -> Option<String> {
        let mut misses = 0;
        while !self.inner.over.load(Ordering::Relaxed) && misses < MISSES_MAX {
            let Some(inode) = inode(from, here) else {
                misses += 1;
                continue;
            };
            let pids = self.inner.pids.lock().unwrap().clone();
            let owner = pids.into_iter().find(|(_, pid)| holds(*pid, &inode));
            if let Some((name, _)) = owner {
                return Some(name);
            }
            // A replica is known some time after it was started.
            std::thread::sleep(PAUSE);
        }
        None
    }
}

/// Which way bytes go on a connection.
#[derive(Clone, Copy)]
enum Bytes {
    /// From who has opened it.
    Asking,
    /// To who has opened it.
    Answering,
}

/// One connection.
struct Way {
    links: Links,
    /// Its end at who has opened it, and its end here.
    from: SocketAddr,
    here: SocketAddr,
    /// The replica that it goes to.
    to: String,
    /// Who has opened it, once that matters: to find out costs a look at all sockets of the machine.
    opener: OnceLock<Option<String>>,
}

impl Way {
    fn is_cut(&self, bytes: Bytes) -> bool {
        if self.links.inner.cut.lock().unwrap().is_empty() {
            return false;
        }
        let opener = self.opener.get_or_init(|| self.links.owner(self.from, self.here));
        // Nobody is there any more, who could miss anything.
        let Some(opener) = opener.clone() else { return true };
        let link = match bytes {
            Bytes::Asking => (opener, self.to.clone()),
            Bytes::Answering => (self.to.clone(), opener),
        };
        self.links.inner.cut.lock().unwrap().contains(&link)
    }

    /// Carries bytes one way until either end closes.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, way: Bytes) {
        let mut bytes = vec![0; 64 * 1024];
        let mut torn = false;
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 {
                break;
            }
            if !torn && self.is_cut(way) {
                torn = true;
                let mut all = self.links.inner.torn.lock().unwrap();
                all.extend([from.try_clone().unwrap(), to.try_clone().unwrap()]);
            }
            // What follows a loss cannot be understood.
            if !torn && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// The inode of the socket with these ends; nothing once it is closed.
fn inode(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = (hexadecimal(local), hexadecimal(remote));
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.len() > 9 && row[1] == ends.0 && row[2] == ends.1)?;
    Some(row[9].to_owned()).filter(|inode| inode != "0")
}

/// An address as the kernel's table has it.
fn hexadecimal(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}

fn holds(pid: u32, inode: &str) -> bool {
    let socket = format!("socket:[{inode}]");
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    links.into_iter().any(|link| link == Path::new(&socket))
}
