//! A state machine with groups in it, without a log around it.

use std::hint::black_box;

use quorumgate::clock::UnixNanos;
use quorumgate::exposition::{ParseRules, parse_text};
use quorumgate::group::{
    Batch, Change, GroupStore, GroupingKey, Mutation, Outcome, PushMode, PushRules, RequestId,
    StateLimits, View, prepare_push,
};
use quorumgate::limits::Limits;

use crate::common::payload::{GROUP_SERIES, JOB, instance, text};

/// A store, and the last view of it: a replica always holds one.
#[derive(Debug)]
pub(crate) struct State {
    store: GroupStore,
    view: View,
    index: u64,
}

pub(crate) fn parse_rules() -> ParseRules {
    ParseRules::new(&Limits::default(), false)
}

pub(crate) fn push_rules() -> PushRules<'static> {
    PushRules { labels_max: Limits::default().labels_per_series, own: &[] }
}

pub(crate) fn key(group: usize) -> GroupingKey {
    let labels = [("job", JOB.to_owned()), ("instance", instance(group))];
    GroupingKey::new(labels.map(|(name, value)| (name.to_owned(), value)))
}

/// The push of a group with the values of a version.
pub(crate) fn push(group: usize, version: usize) -> Change {
    let families = parse_text(&text(GROUP_SERIES, version), &parse_rules()).unwrap();
    prepare_push(key(group), PushMode::Replace, families, &push_rules())
}

impl State {
    /// With that many groups of [`GROUP_SERIES`] series.
    pub(crate) fn with_groups(groups: usize) -> State {
        let store = GroupStore::new([7; 16]);
        let view = store.view();
        let mut state = State { store, view, index: 0 };
        for group in 0..groups {
            let batch = state.batch(push(group, 0));
            state.apply(&batch);
        }
        state
    }

    /// The next log entry, with this change in it alone.
    pub(crate) fn batch(&mut self, change: Change) -> Batch {
        self.index += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.index.to_be_bytes());
        let at = UnixNanos(1_700_000_000_000_000_000 + i64::try_from(self.index).unwrap());
        let mutations = vec![Mutation { id: RequestId(id), change }];
        Batch { at, limits: StateLimits::default(), mutations }
    }

    /// Applies the batch made last and shows the result to readers.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        let outcomes = self.store.apply(self.index, batch);
        assert_eq!(outcomes, [Outcome::Applied]);
        self.view = self.store.view();
    }

    /// Lets go of what would be written to the state database, as a writer does at its leisure.
    pub(crate) fn forget_dirty(&mut self) {
        black_box(self.store.take_dirty());
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }
}
