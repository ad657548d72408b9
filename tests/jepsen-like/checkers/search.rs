//! Looks for an order of changes that explains what was seen of one group: just-in-time
//! linearization. Exact; takes time that is exponential in what overlaps, hence the budget.
//!
//! The axis is time for the black-box check, and the log index where the answers' claims are
//! checked. Whatever the axis, a change takes effect at one point of its span, and a look shows the
//! state at one point of its.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{self, State};
use crate::history::{Action, Cells};

/// A change and where it can have taken effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) id: u64,
    pub(super) from: u64,
    /// [`NEVER`] if it may not have taken effect at all.
    pub(super) to: u64,
    pub(super) action: &'a Action,
}

/// A state that was seen, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) id: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) state: Option<&'a Cells>,
}

/// The end of a change that need not come to pass.
pub(super) const NEVER: u64 = u64::MAX;

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is such an order.
    Legal,
    /// There is none: the operation with this id cannot be fitted in.
    Illegal(u64),
    /// The budget was spent, or too much was open at once.
    OutOfBudget,
}

/// A bit of a mask stands for an operation that is open.
type Mask = u128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Config {
    state: u32,
    /// Open operations that have taken effect.
    done: Mask,
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Change(Change<'a>),
    Look { id: u64, state: u32 },
}

struct Search<'a> {
    states: Vec<State>,
    numbers: BTreeMap<State, u32>,
    /// The state after a change, by the state before and the change's place.
    after: BTreeMap<(u32, usize), u32>,
    items: Vec<Item<'a>>,
    /// Which item has which bit.
    slots: Vec<Option<usize>>,
    /// Bits of changes that need not come to pass.
    optional: Mask,
    configs: BTreeSet<Config>,
    budget: &'a mut u64,
}

/// Whether the looks can be explained. Spends the budget, one for each state considered.
pub(super) fn search(changes: &[Change<'_>], looks: &[Look<'_>], budget: &mut u64) -> End {
    let mut search = Search {
        states: Vec::new(),
        numbers: BTreeMap::new(),
        after: BTreeMap::new(),
        items: Vec::new(),
        slots: Vec::new(),
        optional: 0,
        configs: BTreeSet::new(),
        budget,
    };
    let start = search.number(None);
    search.configs.insert(Config { state: start, done: 0 });
    // What opens where something else closes overlaps with it.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for change in changes {
        events.push((change.from, false, search.items.len()));
        if change.to != NEVER {
            events.push((change.to, true, search.items.len()));
        }
        search.items.push(Item::Change(*change));
    }
    for look in looks {
        events.push((look.from, false, search.items.len()));
        events.push((look.to, true, search.items.len()));
        let state = search.number(look.state.cloned());
        search.items.push(Item::Look { id: look.id, state });
    }
    events.sort_unstable();
    for (_, closes, item) in events {
        let end = if closes { search.close(item) } else { search.open(item) };
        if let Some(end) = end {
            return end;
        }
    }
    End::Legal
}

impl Search<'_> {
    fn number(&mut self, state: State) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    fn open(&mut self, item: usize) -> Option<End> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if slot >= Mask::BITS as usize {
            return Some(End::OutOfBudget);
        }
        *self.slots.get_mut(slot)? = Some(item);
        match *self.items.get(item)? {
            Item::Change(change) if change.to == NEVER => self.optional |= 1 << slot,
            Item::Change(_) => {}
            Item::Look { state, .. } => {
                let seen = |config: Config| {
                    let done = if config.state == state { 1 << slot } else { 0 };
                    Config { done: config.done | done, ..config }
                };
                self.configs = self.configs.iter().copied().map(seen).collect();
            }
        }
        None
    }

    /// By now the operation must have taken effect.
    fn close(&mut self, item: usize) -> Option<End> {
        let slot = self.slots.iter().position(|slot| *slot == Some(item))?;
        let bit: Mask = 1 << slot;
        let (done, mut todo): (Vec<Config>, Vec<Config>) =
            self.configs.iter().partition(|config| config.done & bit != 0);
        let mut found: BTreeSet<Config> = done.into_iter().collect();
        let mut tried: BTreeSet<Config> = todo.iter().copied().collect();
        while let Some(config) = todo.pop() {
            for next in self.successors(config) {
                if *self.budget == 0 {
                    return Some(End::OutOfBudget);
                }
                *self.budget -= 1;
                if next.done & bit != 0 {
                    found.insert(next);
                } else if tried.insert(next) {
                    todo.push(next);
                }
            }
        }
        *self.slots.get_mut(slot)? = None;
        let cleared = found.into_iter().map(|c| Config { done: c.done & !bit, ..c });
        self.configs = self.without_dominated(cleared.collect());
        if self.configs.is_empty() {
            let id = match self.items.get(item)? {
                Item::Change(change) => change.id,
                Item::Look { id, .. } => *id,
            };
            return Some(End::Illegal(id));
        }
        None
    }

    /// The configurations that one more change leads to.
    fn successors(&mut self, config: Config) -> Vec<Config> {
        let mut all = Vec::new();
        for slot in 0..self.slots.len() {
            let Some(Some(item)) = self.slots.get(slot).copied() else { continue };
            let Some(Item::Change(change)) = self.items.get(item).copied() else { continue };
            if config.done & (1 << slot) != 0 {
                continue;
            }
            let state = self.next(config.state, item, change.action);
            let done = config.done | (1 << slot) | self.looks_at(state);
            all.push(Config { state, done });
        }
        all
    }

    fn next(&mut self, state: u32, item: usize, action: &Action) -> u32 {
        if let Some(known) = self.after.get(&(state, item)) {
            return *known;
        }
        let before = self.states.get(state as usize).and_then(Option::as_ref);
        let next = model::after(before, action);
        let number = self.number(next);
        self.after.insert((state, item), number);
        number
    }

    /// The open looks that saw this state.
    fn looks_at(&self, state: u32) -> Mask {
        let mut mask = 0;
        for (slot, item) in self.slots.iter().enumerate() {
            let item = item.and_then(|item| self.items.get(item));
            if matches!(item, Some(Item::Look { state: seen, .. }) if *seen == state) {
                mask |= 1 << slot;
            }
        }
        mask
    }

    /// Drops configurations that another one can do everything for: the same, with fewer of the
    /// optional changes used up.
    fn without_dominated(&self, configs: BTreeSet<Config>) -> BTreeSet<Config> {
        if self.optional == 0 {
            return configs;
        }
        let optional = self.optional;
        let mut least: BTreeMap<(u32, Mask), Vec<Mask>> = BTreeMap::new();
        for config in configs {
            let used = config.done & optional;
            let kept = least.entry((config.state, config.done & !optional)).or_default();
            if kept.iter().any(|other| other & !used == 0) {
                continue;
            }
            kept.retain(|other| used & !other != 0);
            kept.push(used);
        }
        let all = least.into_iter().flat_map(|((state, done), used)| {
            used.into_iter().map(move |used| Config { state, done: done | used })
        });
        all.collect()
    }
}
