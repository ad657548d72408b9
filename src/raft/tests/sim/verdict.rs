//! Whether what clients were told is true: the committed log is applied to a model that is as simple
//! as can be, and to the store itself, and every answer is held against both.

use std::collections::BTreeMap;

use openraft::EntryPayload;

use super::clients::{Groups, Shown, Told, What, name, shown};
use super::monitor::Record;
use crate::group::{Batch, Change, GroupStore, Mutation, Outcome, RequestId};
use crate::raft::convert;

/// A failure is later than the success that it follows by at least this.
const FAILURE_AFTER_SUCCESS_NANOS: i64 = 1_000;

/// The model.
#[derive(Default)]
struct Model {
    groups: Groups,
    last_at: i64,
    /// At which entry each request took effect, and what became of it.
    done: BTreeMap<RequestId, (u64, Outcome)>,
}

impl Model {
    fn apply(&mut self, index: u64, batch: &Batch) {
        self.last_at = self.last_at.max(batch.at.0);
        for Mutation { id, change } in &batch.mutations {
            if !self.done.contains_key(id) {
                let outcome = self.change(change);
                self.done.insert(*id, (index, outcome));
            }
        }
    }

    fn change(&mut self, change: &Change) -> Outcome {
        let at = self.last_at;
        match change {
            Change::Push { key, families, .. } => {
                let group = self.groups.entry(name(key)).or_default();
                group.metrics = families.first().map(|family| family.metrics.clone());
                group.succeeded = Some(at.max(group.failed.unwrap_or(at)));
                Outcome::Applied
            }
            Change::FailedPush { key, reason } => {
                let group = self.groups.entry(name(key)).or_default();
                let after = group.succeeded.unwrap_or(0) + FAILURE_AFTER_SUCCESS_NANOS;
                group.failed = Some(at.max(after));
                Outcome::Rejected(reason.clone())
            }
            Change::Delete { key } => {
                self.groups.remove(&name(key));
                Outcome::Applied
            }
            Change::Wipe => {
                self.groups.clear();
                Outcome::Applied
            }
        }
    }
}

/// What is wrong, if anything is.
pub(super) fn of(record: &Record, told: &[Told]) -> Vec<String> {
    let mut wrong = Vec::new();
    in_real_time(told, &mut wrong);
    let last = record.entries.keys().next_back().copied().unwrap_or(0);
    let mut reads: BTreeMap<u64, Vec<&Told>> = BTreeMap::new();
    for one in told.iter().filter(|one| matches!(one.what, What::Read { .. })) {
        reads.entry(one.index).or_default().push(one);
    }
    let mut seen: BTreeMap<u64, Vec<(u128, &str)>> = BTreeMap::new();
    for ((index, digest), at) in &record.digests {
        seen.entry(*index).or_default().push((*digest, at));
    }
    let (mut model, mut store) = (Model::default(), GroupStore::new(record.cluster));
    for index in 0..=last {
        let Some(bytes) = record.entries.get(&index) else {
            wrong.push(format!("entry {index} was never seen: the run proves nothing"));
            return wrong;
        };
        let entry = convert::decode_entry(bytes.clone()).unwrap();
        if let EntryPayload::Normal(command) = entry.payload {
            let batch = Batch::decode(command.0).unwrap();
            model.apply(index, &batch);
            store.apply(index, &batch);
        }
        let digest = store.view().digest();
        for (found, at) in seen.remove(&index).unwrap_or_default() {
            if found != digest {
                wrong.push(format!("{at} has another state at entry {index}"));
            }
        }
        for read in reads.remove(&index).unwrap_or_default() {
            check_read(read, &model.groups, digest, &mut wrong);
        }
    }
    if reads.keys().next().is_some() || seen.keys().next().is_some() {
        wrong.push("something was seen beyond all that was committed".to_owned());
    }
    differences(&model.groups, &shown(&store.view()), "the store, in the end,", &mut wrong);
    for one in told {
        check_push(one, &model.done, &mut wrong);
    }
    wrong
}

/// What ended before something else began speaks for no later entry.
fn in_real_time(told: &[Told], wrong: &mut Vec<String>) {
    let mut by_begin: Vec<&Told> = told.iter().collect();
    by_begin.sort_by_key(|one| one.begun);
    let mut by_end: Vec<&Told> = told.iter().collect();
    by_end.sort_by_key(|one| one.ended);
    let (mut ended, mut newest) = (by_end.into_iter().peekable(), 0);
    for one in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < one.begun) {
            newest = newest.max(before.index);
        }
        if one.index < newest {
            let what = match &one.what {
                What::Read { at, .. } => format!("a read at {at}"),
                What::Pushed { .. } => "a push".to_owned(),
            };
            wrong.push(format!("{what} speaks for entry {}, after one for {newest}", one.index));
        }
    }
}

fn check_read(read: &Told, model: &Groups, digest: u128, wrong: &mut Vec<String>) {
    let What::Read { at, groups, digest: found } = &read.what else { return };
    differences(model, groups, &format!("a read at {at}, entry {},", read.index), wrong);
    if *found != digest {
        wrong.push(format!("a read at {at} has another digest at entry {}", read.index));
    }
}

fn differences(expected: &Groups, found: &Groups, who: &str, wrong: &mut Vec<String>) {
    if expected == found {
        return;
    }
    let names = expected.keys().chain(found.keys());
    let none = Shown::default();
    for name in names {
        let (expected, found) =
            (expected.get(name).unwrap_or(&none), found.get(name).unwrap_or(&none));
        if expected != found {
            wrong.push(format!("{who} shows {name} as {found:?}, it should be {expected:?}"));
            return;
        }
    }
}

fn check_push(told: &Told, done: &BTreeMap<RequestId, (u64, Outcome)>, wrong: &mut Vec<String>) {
    let What::Pushed { id, outcome } = &told.what else { return };
    match done.get(id) {
        None => wrong.push(format!("the push {:?} was acknowledged and is lost", &id.0[..8])),
        Some((index, _)) if *index > told.index => {
            wrong.push(format!("a push was acknowledged for entry {}, it is {index}", told.index));
        }
        Some((_, expected)) if expected != outcome => {
            wrong.push(format!("a push was told {outcome:?}, it was {expected:?}"));
        }
        Some(_) => {}
    }
}
