//! Histories of a system that does everything right: operations overlap, share log entries, get lost
//! on the way there or back, are repeated, and are unknown although they happened or did not.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use proptest::prelude::*;

use crate::checkers::{Digest, Evidence};
use crate::history::{
    Action, Cell, Cells, Group, History, Op, Outcome, Picture, Refusal, Shown, Stamp,
};

/// What clients do in a simulated run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// PUTs of one family.
    Puts,
    /// PUT, POST and DELETE of two families.
    Mix,
    /// PUTs and pushes that contradict themselves.
    Failures,
    /// PUTs of one family to many groups, deletes and wipes.
    Wipes,
}

/// A run to be simulated.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) style: Style,
    pub(super) seed: u64,
    pub(super) clients: u64,
    pub(super) ops_per_client: u64,
    pub(super) groups: u64,
    /// Of a hundred changes, so many get no answer.
    pub(super) unknown: u64,
    /// So many are sent again with the same key.
    pub(super) repeated: u64,
    /// So many are repeated by the cluster itself, so that their index is that of the repetition.
    pub(super) relayed: u64,
}

/// Scripts of one style.
pub(super) fn scripts(style: Style) -> impl Strategy<Value = Script> {
    let sizes = (1_u64..7, 4_u64..16, 1_u64..4);
    let odds = (0_u64..15, 0_u64..20, 0_u64..20);
    (any::<u64>(), sizes, odds).prop_map(move |(seed, sizes, odds)| {
        let (clients, ops_per_client, groups) = sizes;
        let (unknown, repeated, relayed) = odds;
        Script { style, seed, clients, ops_per_client, groups, unknown, repeated, relayed }
    })
}

/// When the run began, as a wall clock has it.
const STARTED: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const PATIENCE: u64 = 1_000 * MS;
pub(super) const REPLICAS: [&str; 3] = ["a", "b", "c"];

/// What happens to an operation at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// It is applied or read, and the answer has this index unless a later one replaces it.
    Real,
    /// A repetition finds that it has been applied, and the answer has its index.
    Again,
}

struct Simulation {
    script: Script,
    random: Random,
    ops: Vec<Op>,
    effects: Vec<(u64, usize, Effect)>,
    values: u64,
}

/// A small generator, so that a script says everything.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }

    fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }
}

/// Runs a script.
pub(super) fn simulate(script: &Script) -> (History, Evidence) {
    let mut simulation = Simulation {
        script: script.clone(),
        random: Random(script.seed),
        ops: Vec::new(),
        effects: Vec::new(),
        values: 0,
    };
    for client in 0..script.clients {
        simulation.client(client);
    }
    simulation.last_reads();
    simulation.finish()
}

impl Simulation {
    /// All operations of one client, one after the other.
    fn client(&mut self, number: u64) {
        let (mut at, mut life) = (MS * self.random.between(1, 20), 0);
        for _ in 0..self.script.ops_per_client {
            let client = number + life * self.script.clients;
            let action = self.action();
            let changes = action != Action::Scrape;
            at += MS * self.random.between(0, 6);
            if changes && self.random.percent(self.script.repeated) {
                at = self.repeated(client, at, &action);
            } else if changes && self.random.percent(self.script.unknown) {
                self.unknown(client, at, action, None);
                at += PATIENCE;
                life += 1;
            } else {
                let end = at + MS * self.random.between(1, 25);
                let effect = self.random.between(at, end);
                let op = self.push(client, at, end, action, None);
                self.effects.push((effect, op, Effect::Real));
                if changes && self.random.percent(self.script.relayed) {
                    let again = self.random.between(effect, end);
                    self.effects.push((again, op, Effect::Again));
                }
                at = end;
            }
            at += MS;
        }
    }

    /// Two attempts at the same request, the first of which may have been lost.
    fn repeated(&mut self, client: u64, at: u64, action: &Action) -> u64 {
        let key = format!("key-{}", self.ops.len());
        let (middle, end) = (at + 12 * MS, at + 60 * MS);
        let first = self.push(client, at, middle, action.clone(), Some(key.clone()));
        let second = self.push(client, middle + MS, end, action.clone(), Some(key));
        let arrives = self.random.percent(70);
        let effect = self.random.between(at, middle);
        if arrives {
            self.effects.push((effect, first, Effect::Real));
        }
        if !arrives || self.random.percent(30) {
            self.lose(first);
        }
        let after = self.random.between(middle + MS, end);
        let kind = if arrives { Effect::Again } else { Effect::Real };
        self.effects.push((after, second, kind));
        end
    }

    /// Nobody learns what becomes of it: it may happen within some seconds, or not at all.
    fn unknown(&mut self, client: u64, at: u64, action: Action, key: Option<String>) {
        let op = self.push(client, at, at + PATIENCE, action, key);
        self.lose(op);
        if self.random.percent(60) {
            let effect = at + MS * self.random.between(0, 1500);
            self.effects.push((effect, op, Effect::Real));
        }
    }

    fn lose(&mut self, op: usize) {
        if let Some(op) = self.ops.get_mut(op) {
            let detail = "no answer in time".to_owned();
            op.outcome = Outcome::Unknown(Refusal { status: None, detail });
        }
    }

    /// Notes an operation; its stamp and picture come with its effect.
    fn push(
        &mut self,
        client: u64,
        from: u64,
        to: u64,
        action: Action,
        key: Option<String>,
    ) -> usize {
        let id = self.ops.len();
        let replica = match self.random.below(3) {
            0 => "a",
            1 => "b",
            _ => "c",
        };
        self.ops.push(Op {
            id: id as u64,
            client,
            replica: replica.to_owned(),
            called: from,
            returned: to,
            action,
            key,
            outcome: Outcome::Ok(Stamp { index: 0, term: 1, replica: replica.to_owned() }),
            picture: None,
            last: false,
        });
        id
    }

    fn action(&mut self) -> Action {
        if self.random.percent(40) {
            return Action::Scrape;
        }
        let group: Group = Arc::from(format!("g{}", self.random.below(self.script.groups)));
        self.values += 1;
        let cell = Cell { value: self.values, series: 1 };
        let cells = |families: &[&str]| -> Cells {
            families.iter().map(|family| (Arc::from(*family), cell)).collect()
        };
        let put = |families| Action::Put { group: group.clone(), cells: cells(families) };
        let post = |families| Action::Post { group: group.clone(), cells: cells(families) };
        match (self.script.style, self.random.below(100)) {
            (Style::Mix, 0..35) | (Style::Failures, 40..) => put(&["a", "b"]),
            (Style::Mix, 45..60) => post(&["a"]),
            (Style::Mix, 60..70) => post(&["b"]),
            (Style::Mix, 70..80) => post(&["a", "b"]),
            (Style::Mix, 80..) | (Style::Wipes, 15..30) => Action::Delete { group },
            (Style::Failures, _) => Action::Inconsistent { group },
            (Style::Wipes, 0..15) => Action::Wipe,
            _ => put(&["a"]),
        }
    }

    /// Every replica is read when everything is over.
    fn last_reads(&mut self) {
        let ends = self.ops.iter().map(|op| op.returned);
        let end = ends.chain(self.effects.iter().map(|(at, ..)| *at)).max().unwrap_or_default();
        for (number, replica) in REPLICAS.iter().enumerate() {
            let client = 1_000_000 + number as u64;
            let op = self.push(client, end + MS, end + 2 * MS, Action::Scrape, None);
            if let Some(read) = self.ops.get_mut(op) {
                read.last = true;
                (*replica).clone_into(&mut read.replica);
            }
            self.effects.push((end + MS, op, Effect::Real));
        }
    }

    /// Applies everything in the order of its effects.
    fn finish(mut self) -> (History, Evidence) {
        self.effects.sort_unstable();
        let mut log = Log::default();
        let changes = |op: &Op| op.action != Action::Scrape;
        for (at, op, effect) in std::mem::take(&mut self.effects) {
            let shares = self.random.percent(30);
            let Some(op) = self.ops.get_mut(op) else { continue };
            if changes(op) {
                log.append(op, at, shares);
                if effect == Effect::Real {
                    log.apply(&op.action, at);
                }
            } else {
                op.picture = Some(Arc::new(log.picture()));
                log.entry_open = false;
            }
            if let Outcome::Ok(stamp) = &mut op.outcome {
                stamp.index = log.index;
            }
        }
        let history = History {
            started: STARTED,
            patience: PATIENCE,
            job: "simulated".to_owned(),
            ops: self.ops,
        };
        let digest = |replica: &&str| Digest {
            replica: (*replica).to_owned(),
            index: log.index,
            digest: format!("{:x}", log.picture().bytes),
        };
        let evidence = Evidence {
            replicas: REPLICAS.len(),
            digests: REPLICAS.iter().map(digest).collect(),
            healed_after: Some(MS),
            served: REPLICAS.map(str::to_owned).to_vec(),
            heal_tried: true,
            deadline: PATIENCE / 2,
            ..Evidence::default()
        };
        (history, evidence)
    }
}

/// The state and how it came about.
#[derive(Default)]
struct Log {
    index: u64,
    groups: BTreeMap<Group, Shown>,
    /// Whether the newest entry can take one more change: nobody has read it, and nobody in it has
    /// been answered.
    entry_open: bool,
    answered: u64,
}

impl Log {
    fn append(&mut self, op: &Op, at: u64, shares: bool) {
        if !(shares && self.entry_open && at < self.answered && op.called < self.answered) {
            self.index += 1;
            self.answered = u64::MAX;
        }
        self.answered = self.answered.min(op.returned);
        self.entry_open = true;
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
    fn apply(&mut self, action: &Action, at: u64) {
        let time = (STARTED + at) as f64 / 1e9;
        match action {
            Action::Put { group, cells } => {
                let shown = self.groups.entry(group.clone()).or_default();
                (shown.cells, shown.pushed) = (cells.clone(), time);
            }
            Action::Post { group, cells } => {
                let shown = self.groups.entry(group.clone()).or_default();
                shown.cells.extend(cells.clone());
                shown.pushed = time;
            }
            Action::Delete { group } => drop(self.groups.remove(group)),
            Action::Inconsistent { group } => {
                self.groups.entry(group.clone()).or_default().failed = time;
            }
            Action::Wipe => self.groups.clear(),
            Action::Scrape => {}
        }
    }

    fn picture(&self) -> Picture {
        let mut hasher = DefaultHasher::new();
        for (group, shown) in &self.groups {
            (group, &shown.cells, shown.pushed.to_bits(), shown.failed.to_bits()).hash(&mut hasher);
        }
        Picture { bytes: hasher.finish(), groups: self.groups.clone() }
    }
}
