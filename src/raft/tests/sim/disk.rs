//! Disks that take their time: who does the work of the log's thread.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::chance::Chance;
use crate::storage::{ByHand, Hands, power};

/// How long the high-water mark lags behind the log.
const MARK_LAG: Duration = Duration::from_millis(100);

/// One process, from its start to its end.
#[derive(Clone)]
pub(crate) struct Life {
    disk: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Life {
    pub(super) fn new(disk: PathBuf) -> Life {
        Life { disk, ended: Arc::default() }
    }

    /// Whether it has not ended, by itself or in the middle of writing to its disk.
    pub(super) fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed) && !power::is_gone(&self.disk)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// How long a disk takes to sync.
pub(super) struct Pace {
    chance: Arc<Chance>,
    stall_micros: AtomicU64,
}

impl Pace {
    pub(super) fn new(chance: Arc<Chance>) -> Pace {
        Pace { chance, stall_micros: AtomicU64::new(0) }
    }

    /// Every sync takes so much longer from now on.
    pub(super) fn stall(&self, time: Duration) {
        self.stall_micros.store(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// How much fits into one batch. Now and then no more than one operation, as when bodies are large.
    fn batch_bytes(&self) -> usize {
        if self.chance.permille(500) { 1 } else { usize::MAX }
    }

    fn sync_time(&self) -> Duration {
        let stall = Duration::from_micros(self.stall_micros.load(Ordering::Relaxed));
        stall + self.chance.micros(100, 4000)
    }
}

/// What opens a log for the simulator.
#[derive(Clone)]
pub(crate) struct HandsOn {
    life: Life,
    pace: Arc<Pace>,
}

impl HandsOn {
    pub(super) fn new(life: Life, pace: Arc<Pace>) -> HandsOn {
        HandsOn { life, pace }
    }

    pub(crate) fn hands(&self) -> Hands {
        let (woken, wakes) = (Arc::new(Notify::new()), self.clone());
        let notify = Arc::clone(&woken);
        Hands {
            woken: Box::new(move || notify.notify_one()),
            take_over: Box::new(move |by_hand| {
                tokio::spawn(work(by_hand, woken, wakes.life, wakes.pace));
            }),
        }
    }
}

impl fmt::Debug for HandsOn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HandsOn").finish_non_exhaustive()
    }
}

async fn work(mut log: ByHand, woken: Arc<Notify>, life: Life, pace: Arc<Pace>) {
    let mut mark_due: Option<Instant> = None;
    while life.goes_on() {
        if mark_due.is_some_and(|due| due <= Instant::now()) {
            log.sync_mark();
            mark_due = None;
        }
        if let Some(taken) = log.take(pace.batch_bytes()) {
            tokio::time::sleep(pace.sync_time()).await;
            if !life.goes_on() || !log.work_off(taken) {
                return;
            }
            mark_due.get_or_insert_with(|| Instant::now() + MARK_LAG);
            continue;
        }
        if log.is_done() {
            return log.finish();
        }
        let idle = Instant::now() + Duration::from_hours(1);
        tokio::select! {
            biased;
            () = woken.notified() => {}
            () = sleep_until(mark_due.unwrap_or(idle)) => {}
        }
    }
}
