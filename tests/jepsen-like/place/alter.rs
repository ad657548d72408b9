//! A thread inside a namespace through which the kernel passes packets: it delays, drops, reorders
//! and alters them. When it ends, packets pass by themselves again.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nfq::{Message, Queue, Verdict};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::shape::Shape;
use crate::tools::Random;

/// How often delayed packets are looked at.
const TICK: Duration = Duration::from_micros(500);
/// The number that the rules in the namespace send packets to.
pub(super) const QUEUE: u16 = 7;
/// With this a snapshot file begins.
const SNAPSHOT_MAGIC: &[u8] = b"QG-SNAP";

pub(crate) struct Alter {
    stop: Arc<AtomicBool>,
    touched: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Alter {
    pub(crate) fn start(space: &str, shape: &Shape) -> Result<Alter, String> {
        let (stop, touched) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ready, started) = sync_channel(1);
        let (space, shape) = (space.to_owned(), *shape);
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&touched));
        let thread = std::thread::spawn(move || match open(&space) {
            Ok(queue) => {
                drop(ready.send(Ok(())));
                pass(queue, &shape, &stopped, &count);
            }
            Err(err) => drop(ready.send(Err(format!("a packet queue: {err}")))),
        });
        started.recv().map_err(|err| err.to_string())??;
        Ok(Alter { stop, touched, thread: Some(thread) })
    }

    /// Packets that were not simply passed on.
    pub(crate) fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }
}

impl Drop for Alter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Moves this thread into the namespace and opens its queue.
fn open(space: &str) -> std::io::Result<Queue> {
    let space = File::open(format!("/run/netns/{space}"))?;
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
    let mut queue = Queue::open()?;
    // The kernel may still hold it for the thread before this one.
    let mut tries = 0;
    while let Err(err) = queue.bind(QUEUE) {
        tries += 1;
        if tries == 20 {
            return Err(err);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    queue.set_nonblocking(true);
    Ok(queue)
}

fn pass(mut queue: Queue, shape: &Shape, stop: &AtomicBool, touched: &AtomicU64) {
    let mut random = Random::new(7);
    let mut waiting: BTreeMap<(Instant, u64), Message> = BTreeMap::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some(entry) = waiting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            drop(queue.verdict(entry.remove()));
        }
        let Ok(mut message) = queue.recv() else {
            std::thread::sleep(TICK);
            continue;
        };
        number += 1;
        message.set_verdict(Verdict::Accept);
        let altered = shape.corrupt_snapshots && corrupt(&mut message, &mut random);
        let delay = delay(shape, &mut random);
        if altered || delay > Duration::ZERO {
            touched.fetch_add(1, Ordering::Relaxed);
        }
        if random.percent(shape.loss_percent) {
            touched.fetch_add(1, Ordering::Relaxed);
            message.set_verdict(Verdict::Drop);
            drop(queue.verdict(message));
        } else if delay > Duration::ZERO {
            waiting.insert((now + delay, number), message);
        } else {
            drop(queue.verdict(message));
        }
    }
    for message in waiting.into_values() {
        drop(queue.verdict(message));
    }
}

fn delay(shape: &Shape, random: &mut Random) -> Duration {
    let jitter = random.between(0, 2 * shape.jitter_ms + 1);
    let mut millis = (shape.delay_ms + jitter).saturating_sub(shape.jitter_ms);
    if random.percent(shape.reorder_percent) {
        millis += 10;
    }
    Duration::from_millis(millis)
}

/// Changes a byte of the file in a packet that begins one, and makes the checksum right again: only
/// the snapshot's own checksums can tell.
fn corrupt(message: &mut Message, random: &mut Random) -> bool {
    let mut packet = message.get_payload().to_vec();
    let magic = packet.windows(SNAPSHOT_MAGIC.len()).position(|bytes| bytes == SNAPSHOT_MAGIC);
    let Some(magic) = magic else { return false };
    let from = magic + SNAPSHOT_MAGIC.len();
    let at = usize::try_from(random.between(from as u64, packet.len() as u64)).unwrap();
    if at >= packet.len() {
        return false;
    }
    packet[at] ^= 1 << (random.next() % 8);
    set_checksum(&mut packet);
    message.set_payload(packet);
    true
}

/// The TCP checksum of an IPv4 packet.
fn set_checksum(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 0xf) * 4;
    let length = packet.len() - header;
    packet[header + 16..header + 18].fill(0);
    let mut sum: u32 = 6 + u32::try_from(length).unwrap();
    let words = packet[12..20].chunks(2).chain(packet[header..].chunks(2));
    for word in words {
        sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap();
    packet[header + 16..header + 18].copy_from_slice(&sum.to_be_bytes());
}
