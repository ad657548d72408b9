//! How long requests are remembered.

use super::*;
use crate::group::Restore;
use crate::limits::{RECENT_REQUESTS_MIN, RECENT_SPAN};

/// The time of the state forgets what the count would keep, a little at a time; nothing else does.
#[test]
fn requests_are_remembered_by_count_and_by_time() {
    let (min, span) = (RECENT_REQUESTS_MIN as u64, RECENT_SPAN.as_secs());
    let mut store = GroupStore::new(HASH_KEY);
    let mut index = 0;
    let mut apply = |seconds: u64, requests: u64| {
        index += 1;
        let change =
            |n| Mutation { id: id(index << 32 | n), change: Change::Delete { key: key("j") } };
        let mutations = (0..requests).map(change).collect();
        let at = UnixNanos(i64::try_from(seconds).unwrap() * SECOND);
        store.apply(index, &Batch { at, limits: StateLimits::default(), mutations });
        let first = store.recent.by_index().iter().next().unwrap().index;
        // What is remembered follows from what was persisted, also what will be forgotten next.
        let view = store.view();
        let mut restore = Restore::new(HASH_KEY);
        for item in view.items() {
            restore.push(&item.key, &item.value).unwrap();
        }
        store = restore.finish().unwrap();
        assert_eq!(store.view().digest(), view.digest());
        (first, view.recent().len())
    };
    for _ in 0..4 {
        apply(100, min / 2);
    }
    assert_eq!(apply(100 + span, 1), (1, 5), "none is too old yet");
    assert_eq!(apply(101 + span, 1), (3, 4), "two at once, and the last of them stay");
    assert_eq!(apply(102 + span, 1), (3, 5), "less would be left than is always remembered");
    assert_eq!(apply(102 + span, min / 2), (4, 5));
    assert_eq!(apply(110 + span, 1), (4, 6));
    assert_eq!(apply(200 + span, min), (6, 5));
}
