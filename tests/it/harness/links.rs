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
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often is looked whether a cut is healed.
const PAUSE: Duration = Duration::from_millis(10);

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

    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.inner.cut.lock().unwrap().contains(&(from.to_owned(), to.to_owned()))
    }

    fn connect(self, stream: TcpStream, from: SocketAddr, name: String, to: SocketAddr) {
        std::thread::spawn(move || {
            let Some(opener) = self.owner(from, stream.local_addr().unwrap()) else { return };
            // The three packets that open a connection go both ways.
            while self.is_cut(&opener, &name) || self.is_cut(&name, &opener) {
                std::thread::sleep(PAUSE);
            }
            let Ok(inner) = TcpStream::connect(to) else { return };
            for stream in [&stream, &inner] {
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
            }
            let back = (inner.try_clone().unwrap(), stream.try_clone().unwrap());
            let (links, names) = (self.clone(), (name.clone(), opener.clone()));
            std::thread::spawn(move || links.carry(back.0, back.1, &names.0, &names.1));
            self.carry(stream, inner, &opener, &name);
        });
    }

    /// Carries bytes one way until either end closes.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, sender: &str, receiver: &str) {
        let mut bytes = vec![0; 64 * 1024];
        let mut torn = false;
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 {
                break;
            }
            if !torn && self.is_cut(sender, receiver) {
                torn = true;
                let mut all = self.inner.torn.lock().unwrap();
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

    /// Whose process holds the end of a connection that is here `from`.
    fn owner(&self, from: SocketAddr, here: SocketAddr) -> Option<String> {
        // A replica is known some time after it was started.
        while !self.inner.over.load(Ordering::Relaxed) {
            let inode = inode(from, here)?;
            let pids = self.inner.pids.lock().unwrap().clone();
            let owner = pids.into_iter().find(|(_, pid)| holds(*pid, &inode));
            if let Some((name, _)) = owner {
                return Some(name);
            }
            std::thread::sleep(PAUSE);
        }
        None
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
