//! One client: sends what its plan says when its schedule says, and notes what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::plan::{Plan, Step};
use super::random::Random;
use super::{Load, Target, nanos};
use crate::client::perform;
use crate::history::{Action, Op, Outcome};

/// One of so many clients asks another replica each time.
const HOPPING: u64 = 4;
/// A repetition follows at most so long after the attempt before.
const REPEAT_WITHIN: u64 = 400_000_000;
/// How soon a client notices that it is to stop.
const NOTICE: Duration = Duration::from_millis(50);

/// What all clients of a load share.
pub(super) struct Shared {
    pub(super) targets: Vec<Target>,
    pub(super) epoch: Instant,
    pub(super) job: String,
    pub(super) patience: Duration,
    pub(super) stop: AtomicBool,
    /// Changes that succeeded.
    pub(super) acknowledged: AtomicU64,
}

/// One more attempt at something.
struct Repeat {
    at: u64,
    action: Action,
    key: String,
    left: u32,
}

pub(super) struct Client {
    shared: Arc<Shared>,
    plan: Plan,
    /// When to send and whom to ask are drawn apart from what to do.
    timing: Random,
    /// Mean nanoseconds between two operations.
    pause: f64,
    /// The next time of the schedule.
    due: u64,
    turn: usize,
    /// How often it has begun anew after an unknown outcome.
    lives: u64,
    ops: Vec<Op>,
    repeats: VecDeque<Repeat>,
}

impl Client {
    pub(super) fn new(load: &Load, rate: u32, number: u64, shared: Arc<Shared>) -> Client {
        let clients = u64::from(load.clients.max(1));
        let stream = load.kind as u64 * 1_000 + number;
        let plan = Plan {
            kind: load.kind,
            random: Random::new(load.seed, 2 * stream),
            number,
            clients,
            ops_per_second: u64::from(rate),
            pushed: 0,
        };
        Client {
            due: nanos(shared.epoch.elapsed()),
            shared,
            plan,
            timing: Random::new(load.seed, 2 * stream + 1),
            pause: 1e9 * f64::from(load.clients.max(1)) / f64::from(rate),
            turn: usize::try_from(number).unwrap_or_default(),
            lives: 0,
            ops: Vec::new(),
            repeats: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) -> Vec<Op> {
        while self.wait() {
            if let Some(repeat) = self.repeat_due() {
                self.attempt(&repeat.action, Some(repeat.key.clone()));
                self.repeat(repeat.action, repeat.key, repeat.left);
                continue;
            }
            let Step { action, repeats } = self.plan.step(self.now());
            let sequence = self.ops.len();
            let key = (repeats > 0)
                .then(|| format!("{}-{}-{sequence}", self.shared.job, self.plan.number));
            self.attempt(&action, key.clone());
            if let Some(key) = key {
                self.repeat(action, key, repeats);
            }
        }
        self.ops
    }

    fn now(&self) -> u64 {
        nanos(self.shared.epoch.elapsed())
    }

    /// Waits for the next time of the schedule; false if it is to stop.
    fn wait(&mut self) -> bool {
        // Exponential pauses: arrivals of many clients that know nothing of each other.
        let draw = -(1.0 - self.timing.fraction()).ln() * self.pause;
        self.due += nanos(Duration::from_secs_f64(draw / 1e9));
        let now = self.now();
        // What fell due while an answer was waited for is left out.
        self.due = self.due.max(now);
        loop {
            if self.shared.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = Duration::from_nanos(self.due.saturating_sub(self.now()));
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NOTICE));
        }
    }

    /// The replica to be asked: mostly the client's own, for some clients another one each time.
    fn target(&mut self, repeated: bool) -> Target {
        let hops = self.plan.number % HOPPING == HOPPING - 1;
        if hops || repeated {
            self.turn += 1;
        }
        let targets = &self.shared.targets;
        let at = self.turn % targets.len().max(1);
        targets.get(at).cloned().unwrap_or_else(|| Target {
            name: String::new(),
            web: std::net::SocketAddr::from(([127, 0, 0, 1], 9)),
        })
    }

    fn attempt(&mut self, action: &Action, key: Option<String>) {
        let target = self.target(key.is_some());
        let called = self.now();
        let shared = &self.shared;
        let (outcome, picture) =
            perform(target.web, action, key.as_deref(), &shared.job, shared.patience);
        let returned = self.now();
        if matches!(outcome, Outcome::Ok(_)) && *action != Action::Scrape {
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        let (clients, number) = (self.plan.clients, self.plan.number);
        let unknown = matches!(outcome, Outcome::Unknown(_));
        self.ops.push(Op {
            id: self.ops.len() as u64 * clients + number,
            client: self.lives * clients + number,
            replica: target.name,
            called,
            returned,
            action: action.clone(),
            key,
            outcome,
            picture,
            last: false,
        });
        self.lives += u64::from(unknown);
    }

    /// Plans one more attempt, through another replica, after whatever others do meanwhile.
    fn repeat(&mut self, action: Action, key: String, left: u32) {
        if let Some(left) = left.checked_sub(1) {
            let at = self.now() + self.timing.below(REPEAT_WITHIN);
            self.repeats.push_back(Repeat { at, action, key, left });
        }
    }

    fn repeat_due(&mut self) -> Option<Repeat> {
        let now = self.now();
        let at = self.repeats.iter().position(|repeat| repeat.at <= now)?;
        self.repeats.remove(at)
    }
}
