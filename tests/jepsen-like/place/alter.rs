//! A process inside a namespace through which the kernel passes packets: it delays, drops, reorders
//! and alters them. When it ends, packets pass by themselves again.
//!
//! It is this program once more, in a process of its own: the kernel's end of a queue is inherited by
//! every process that is started while it is open, and would outlive its reader.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nfq::{Message, Queue, Verdict};

use super::shape::Shape;
use super::sweep::MARK;
use crate::tools::Random;

/// How often the number of touched packets is told.
const TELL: Duration = Duration::from_millis(50);
/// What the process says once packets come to it.
const READY: &str = "ready";
/// How often delayed packets are looked at.
const TICK: Duration = Duration::from_micros(500);
/// The number that the rules in the namespace send packets to.
pub(super) const QUEUE: u16 = 7;
/// With this a snapshot file begins.
const SNAPSHOT_MAGIC: &[u8] = b"QG-SNAP";

pub(crate) struct Alter {
    process: Child,
    touched: Arc<AtomicU64>,
}

impl Alter {
    /// Starts the process in this namespace.
    pub(crate) fn start(space: &str, shape: &Shape) -> Result<Alter, String> {
        let shape = serde_json::to_string(shape).map_err(|err| err.to_string())?;
        let program = std::env::current_exe().map_err(|err| err.to_string())?;
        let mut process = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{space}"))
            .arg(program)
            .args(["alter", &shape])
            .env(MARK, std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|err| err.to_string())?;
        let touched = Arc::<AtomicU64>::default();
        let (said, count) = (process.stdout.take(), Arc::clone(&touched));
        let (first, ready) = sync_channel(1);
        std::thread::spawn(move || {
            let mut lines = said.into_iter().flat_map(|said| BufReader::new(said).lines());
            drop(first.send(lines.next().and_then(Result::ok).unwrap_or_default()));
            for line in lines.map_while(Result::ok) {
                count.store(line.parse().unwrap_or(0), Ordering::Relaxed);
            }
        });
        let alter = Alter { process, touched };
        match ready.recv() {
            Ok(line) if line == READY => Ok(alter),
            said => Err(format!("a packet queue: {}", said.unwrap_or_default())),
        }
    }

    /// Packets that were not simply passed on.
    pub(crate) fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }
}

impl Drop for Alter {
    fn drop(&mut self) {
        // What it holds back is let through at the end of its input.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// What the process does; whether it did so to the end of its input.
pub(crate) fn alter(shape: &str) -> bool {
    let mut out = std::io::stdout();
    let mut tell = |line: &str| writeln!(out, "{line}").and_then(|()| out.flush()).is_ok();
    let queue = serde_json::from_str(shape)
        .map_err(|err| err.to_string())
        .and_then(|shape| Ok((shape, open().map_err(|err| err.to_string())?)));
    let (shape, queue): (Shape, Queue) = match queue {
        Ok(both) => both,
        Err(why) => {
            tell(&why);
            return false;
        }
    };
    let stop = Arc::<AtomicBool>::default();
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        stopped.store(true, Ordering::Relaxed);
    });
    tell(READY) && pass(queue, &shape, &stop, |touched| tell(&touched.to_string()))
}

fn open() -> std::io::Result<Queue> {
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

/// Passes packets on until it is to stop, or nobody listens to the number of those it has touched.
fn pass(
    mut queue: Queue,
    shape: &Shape,
    stop: &AtomicBool,
    mut tell: impl FnMut(u64) -> bool,
) -> bool {
    let (mut touched, mut told) = (0, Instant::now());
    let mut random = Random::new(7);
    let mut waiting: BTreeMap<(Instant, u64), Message> = BTreeMap::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now.duration_since(told) >= TELL {
            told = now;
            if !tell(touched) {
                return false;
            }
        }
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
            touched += 1;
        }
        if random.percent(shape.loss_percent) {
            touched += 1;
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
    true
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
pub(crate) fn set_checksum(packet: &mut [u8]) {
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
