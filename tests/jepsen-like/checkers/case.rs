//! A history made ready for the checkers: changes by group, reads by index, writers by value.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::history::{self, Action, Cells, Group, History, Op, Picture, Request, Shown, Stamp};

/// A scrape that succeeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) op: &'a Op,
    pub(super) stamp: &'a Stamp,
    pub(super) picture: &'a Picture,
}

impl<'a> Read<'a> {
    pub(super) fn shown(&self, group: &str) -> Option<&'a Shown> {
        self.picture.groups.get(group)
    }

    /// What it says of a group, in the terms of the model.
    pub(super) fn state(&self, group: &str) -> Option<&'a Cells> {
        self.shown(group).map(|shown| &shown.cells)
    }
}

/// What all checkers look at.
pub(super) struct Case<'a> {
    pub(super) history: &'a History,
    pub(super) evidence: &'a Evidence,
    /// All requests for changes, in the order of their calls.
    pub(super) requests: Vec<Request<'a>>,
    /// All scrapes that succeeded, by index, then by call.
    pub(super) reads: Vec<Read<'a>>,
    by_group: BTreeMap<&'a Group, Vec<usize>>,
    wipes: Vec<usize>,
    writers: BTreeMap<u64, usize>,
    sightings: BTreeMap<u64, Sighted>,
}

/// The first reads that showed a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighted {
    /// The lowest index of a read that shows it.
    pub(super) index: u64,
    /// The earliest return of one.
    pub(super) returned: u64,
}

impl<'a> Case<'a> {
    pub(super) fn new(history: &'a History, evidence: &'a Evidence) -> Case<'a> {
        let requests = history::requests(history);
        let mut by_group: BTreeMap<&Group, Vec<usize>> = BTreeMap::new();
        let (mut wipes, mut writers) = (Vec::new(), BTreeMap::new());
        for (at, request) in requests.iter().enumerate() {
            let action: &'a Action = &request.op.action;
            match action.group() {
                Some(group) => by_group.entry(group).or_default().push(at),
                None => wipes.push(at),
            }
            for cell in action.cells().into_iter().flat_map(BTreeMap::values) {
                writers.insert(cell.value, at);
            }
        }
        let mut reads: Vec<Read<'a>> = history
            .ops
            .iter()
            .filter_map(|op| op.read().map(|(stamp, picture)| Read { op, stamp, picture }))
            .collect();
        reads.sort_by_key(|read| (read.stamp.index, read.op.called, read.op.id));
        let sightings = sightings(&reads);
        Case { history, evidence, requests, reads, by_group, wipes, writers, sightings }
    }

    /// When something that the request pushed was first seen.
    pub(super) fn sighted(&self, request: &Request<'_>) -> Option<Sighted> {
        let cells = request.op.action.cells()?;
        let all = cells.values().filter_map(|cell| self.sightings.get(&cell.value).copied());
        all.reduce(Sighted::min)
    }

    /// Says which operation on a group cannot be explained.
    pub(super) fn misfit(&self, group: &Group, id: u64) -> String {
        let op = self.history.ops.iter().find(|op| op.id == id);
        let shown = match op.and_then(Op::read) {
            Some((_, picture)) => match picture.groups.get(group) {
                Some(shown) => format!(", which shows {{{}}}", history::values(&shown.cells)),
                None => ", which does not show it".to_owned(),
            },
            None => String::new(),
        };
        let name = op.map(Op::name).unwrap_or_default();
        format!("group {group}: no order of the changes explains {name}{shown}")
    }

    /// Every group that was changed or seen.
    pub(super) fn groups(&self) -> BTreeSet<&'a Group> {
        let seen = self.reads.iter().flat_map(|read| read.picture.groups.keys());
        self.by_group.keys().copied().chain(seen).collect()
    }

    /// The requests that can have changed a group, in the order of their calls.
    pub(super) fn changes(&self, group: &Group) -> Vec<&Request<'a>> {
        let own = self.by_group.get(group).into_iter().flatten();
        let mut all: Vec<usize> = own.chain(&self.wipes).copied().collect();
        all.sort_unstable();
        let all = all.into_iter().filter_map(|at| self.requests.get(at));
        all.filter(|request| request.possible()).collect()
    }

    /// The request that pushed a value.
    pub(super) fn writer(&self, value: u64) -> Option<&Request<'a>> {
        self.writers.get(&value).and_then(|at| self.requests.get(*at))
    }

    /// The reads after the end, by the replica that gave them.
    pub(super) fn last_reads(&self) -> impl Iterator<Item = &Read<'a>> {
        self.reads.iter().filter(|read| read.op.last)
    }

    /// A moment of the history as seconds since 1970, as the clients' clock has it.
    #[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
    pub(super) fn wall(&self, ns: u64) -> f64 {
        (self.history.started.saturating_add(ns)) as f64 / 1e9
    }
}

impl Sighted {
    fn min(self, other: Sighted) -> Sighted {
        let (index, returned) = (self.index.min(other.index), self.returned.min(other.returned));
        Sighted { index, returned }
    }
}

fn sightings(reads: &[Read<'_>]) -> BTreeMap<u64, Sighted> {
    let mut all: BTreeMap<u64, Sighted> = BTreeMap::new();
    for read in reads {
        let new = Sighted { index: read.stamp.index, returned: read.op.returned };
        for cell in read.picture.groups.values().flat_map(|shown| shown.cells.values()) {
            all.entry(cell.value).and_modify(|old| *old = old.min(new)).or_insert(new);
        }
    }
    all
}
