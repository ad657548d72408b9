//! How long nothing succeeds when the leader goes away.
//!
//! A push begins every few milliseconds at each survivor, and some at the leader itself, whether or
//! not those before have ended. The gap is the longest time without a success at a survivor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, Failure, Push, channel};
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::common::{Effort, values};
use crate::progress;
use crate::trio::Trio;

/// Between two pushes at the same survivor.
const PERIOD: Duration = Duration::from_millis(5);
/// Of as many pushes at each survivor, one more is begun at the leader.
const LEADERS_SHARE: u32 = 2;
/// After this time at the leader, a push is tried at a survivor.
const PATIENCE: Duration = Duration::from_secs(1);
/// After this time at a survivor, a push has failed.
const LIMIT: Duration = Duration::from_secs(15);
/// Load before the leader goes.
const BEFORE: Duration = Duration::from_millis(500);
const BYTES: usize = 1024;

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Freeze,
    Stop,
}

impl Fault {
    const ALL: [(Fault, &'static str); 3] =
        [(Fault::Kill, "kill -9"), (Fault::Freeze, "SIGSTOP"), (Fault::Stop, "SIGTERM")];

    fn signal(self) -> &'static str {
        match self {
            Fault::Kill => "KILL",
            Fault::Freeze => "STOP",
            Fault::Stop => "TERM",
        }
    }

    /// How long to push on: until every election is over, and a stopped member is gone.
    fn aftermath(self) -> Duration {
        match self {
            Fault::Kill | Fault::Freeze => Duration::from_secs(4),
            Fault::Stop => Duration::from_secs(5),
        }
    }
}

/// How the pushes of one round ended.
#[derive(Debug, Default)]
struct Tally {
    /// When one succeeded at a survivor.
    successes: Vec<Instant>,
    pushes: usize,
    /// With an answer that says no, or none in time.
    failed: usize,
    /// Lost on the way to the leader that went, and tried again at a survivor.
    lost: usize,
    /// Why some failed.
    detail: Option<String>,
}

pub(crate) async fn measure(pair: &mut [Trio; 2], effort: Effort, rows: &[String]) -> Table {
    let mut table = Table::new(
        "Longest time without a success at the two others when the leader goes (ms), and pushes that failed",
        &[
            "less",
            "median",
            "max",
            "etcd",
            "max (etcd)",
            "failed",
            "lost",
            "of",
            "failed (etcd)",
            "lost (etcd)",
            "of (etcd)",
        ],
    );
    let asked = values("rounds").pop().map(|rounds| rounds.parse().unwrap());
    let rounds: usize = asked.unwrap_or_else(|| effort.pick(3, 20));
    for (fault, name) in Fault::ALL {
        if !rows.is_empty() && !rows.iter().any(|row| name.contains(row)) {
            continue;
        }
        progress(&format!("  {name}"));
        let mut gaps = [Figure::default(), Figure::default()];
        let mut worst = [0.0_f64; 2];
        let mut counts = [[0; 3]; 2];
        for round in 0..rounds {
            for (at, trio) in pair.iter_mut().enumerate() {
                let (gap, tally) = run(trio, fault).await;
                gaps[at].add(gap);
                worst[at] = worst[at].max(gap);
                let counted = [tally.failed, tally.lost, tally.pushes];
                std::iter::zip(&mut counts[at], counted).for_each(|(sum, more)| *sum += more);
                let detail = tally.detail.unwrap_or_default();
                progress(&format!("    {round}: {gap:.0} ms, {counted:?} {detail}"));
            }
        }
        let one = |value: f64| Cell::Measured(Figure::from_iter([value]));
        let mut cells = vec![Cell::Ratio(gaps[1].median() / gaps[0].median())];
        for (gaps, worst) in std::iter::zip(gaps, worst) {
            cells.extend([Cell::Measured(gaps), one(worst)]);
        }
        cells.extend(counts.as_flattened().iter().map(|count| one(*count as f64)));
        table.row(name, cells);
    }
    table
}

/// One round: the gap in milliseconds, and how the pushes ended.
async fn run(trio: &mut Trio, fault: Fault) -> (f64, Tally) {
    let agreed = trio.agreed().await;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let survivors = agreed.followers();
    let mut streams = JoinSet::new();
    let end = Instant::now() + BEFORE + fault.aftermath();
    for (survivor, other) in [(0, 1), (1, 0)] {
        let tries = [survivors[survivor], survivors[other]].map(|at| Pool::new(trio, at));
        streams.spawn(begin_all(Course { tries, leader: None }, PERIOD, end, Arc::clone(&tally)));
    }
    let tries = [survivors[0], survivors[1]].map(|at| Pool::new(trio, at));
    let leader = Some((Pool::new(trio, agreed.leader), Arc::default()));
    let course = Course { leader, tries };
    streams.spawn(begin_all(course, PERIOD * LEADERS_SHARE, end, Arc::clone(&tally)));

    tokio::time::sleep(BEFORE).await;
    let at = Instant::now();
    trio.signal(agreed.leader, fault.signal());
    streams.join_all().await;
    match fault {
        Fault::Freeze => trio.signal(agreed.leader, "CONT"),
        Fault::Kill | Fault::Stop => trio.restart(agreed.leader).await,
    }
    let tally = std::mem::take(&mut *tally.lock().unwrap());
    (gap(tally.successes.clone(), at, end).as_secs_f64() * 1e3, tally)
}

/// The longest time without a success that ends after `fault`.
fn gap(mut successes: Vec<Instant>, fault: Instant, end: Instant) -> Duration {
    successes.retain(|at| *at < end);
    successes.push(end);
    successes.sort();
    let pairs = successes.windows(2).filter(|pair| pair[1] > fault);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// Clients of one member that are not in use.
#[derive(Clone)]
struct Pool {
    idle: Arc<Mutex<Vec<(Client, Push)>>>,
    make: Arc<dyn Fn() -> Client + Send + Sync>,
}

impl Pool {
    fn new(trio: &Trio, at: usize) -> Pool {
        let addr = trio.addr(at);
        let make: Arc<dyn Fn() -> Client + Send + Sync> = if trio.is_gate() {
            Arc::new(move || Client::open(true, addr))
        } else {
            let channel = channel(addr);
            Arc::new(move || Client::on(&channel))
        };
        Pool { idle: Arc::default(), make }
    }

    async fn push(&self, limit: Duration) -> Result<(), Failure> {
        let idle = self.idle.lock().unwrap().pop();
        let (mut client, mut push) =
            idle.unwrap_or_else(|| ((self.make)(), Push::new("failover", BYTES)));
        let pushed = tokio::time::timeout(limit, client.push(&mut push)).await;
        let pushed = pushed.unwrap_or(Err(Failure::Broken));
        if pushed.is_ok() {
            self.idle.lock().unwrap().push((client, push));
        }
        pushed
    }
}

/// Where a push is tried, in this order.
#[derive(Clone)]
struct Course {
    /// The leader, and whether it is known to be gone.
    leader: Option<(Pool, Arc<AtomicBool>)>,
    tries: [Pool; 2],
}

async fn begin_all(course: Course, period: Duration, end: Instant, tally: Arc<Mutex<Tally>>) {
    let mut ticks = tokio::time::interval(period);
    let mut under_way = JoinSet::new();
    while Instant::now() < end {
        ticks.tick().await;
        let (course, tally) = (course.clone(), Arc::clone(&tally));
        under_way.spawn(async move { follow(course, &tally).await });
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
}

/// One push, until it succeeds somewhere.
async fn follow(course: Course, tally: &Mutex<Tally>) {
    tally.lock().unwrap().pushes += 1;
    if let Some((leader, gone)) = course.leader.as_ref().filter(|it| !it.1.load(Ordering::Relaxed))
    {
        match leader.push(PATIENCE).await {
            Ok(()) => return,
            Err(Failure::Broken) => {
                gone.store(true, Ordering::Relaxed);
                tally.lock().unwrap().lost += 1;
            }
            Err(Failure::Refused(why)) => fail(tally, why),
        }
    }
    for survivor in &course.tries {
        match survivor.push(LIMIT).await {
            Ok(()) => {
                tally.lock().unwrap().successes.push(Instant::now());
                return;
            }
            Err(Failure::Broken) => fail(tally, "no answer".to_owned()),
            Err(Failure::Refused(why)) => fail(tally, why),
        }
    }
}

/// Attempts are counted: a client that does not try again would have lost its push.
fn fail(tally: &Mutex<Tally>, why: String) {
    let mut tally = tally.lock().unwrap();
    tally.failed += 1;
    tally.detail.get_or_insert(why);
}
