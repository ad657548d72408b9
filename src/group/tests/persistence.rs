//! Snapshots, the state database, and what becomes of damaged ones.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::generate::batches;
use super::*;
use crate::group::{Item, Restore, RestoreError};

fn restore(items: impl IntoIterator<Item = Item>) -> Result<GroupStore, RestoreError> {
    let mut restore = Restore::new(HASH_KEY);
    for item in items {
        restore.push_encoded(&item.encode())?;
    }
    restore.finish()
}

fn assert_same(a: &GroupStore, b: &GroupStore) {
    assert_index(b);
    let (a, b) = (a.view(), b.view());
    assert_eq!(a.digest(), b.digest());
    assert_eq!(a.totals(), b.totals());
    assert_eq!(a.items().collect::<Vec<_>>(), b.items().collect::<Vec<_>>());
    assert_eq!(all_bodies(&a, &[]), all_bodies(&b, &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_restored_snapshot_goes_on_as_if_nothing_had_happened(
        (batches, cut) in batches(2..30).prop_flat_map(|b| { let n = b.len(); (Just(b), 1..n) }),
        order in any::<prop::sample::Index>(),
        reverse: bool,
    ) {
        let mut store = GroupStore::new(HASH_KEY);
        for (batch, index) in batches[..cut].iter().zip(1..) {
            store.apply(index, batch);
        }
        let mut items: Vec<Item> = store.view().items().collect();
        let middle = order.index(items.len());
        items.rotate_left(middle);
        if reverse {
            items.reverse();
        }
        let mut restored = restore(items).unwrap();
        assert_same(&store, &restored);
        for (batch, index) in batches[cut..].iter().zip(cut as u64 + 1..) {
            prop_assert_eq!(store.apply(index, batch), restored.apply(index, batch));
        }
        assert_same(&store, &restored);
    }

    #[test]
    fn the_dirty_items_add_up_to_the_state(
        batches in batches(1..30),
        takes in prop::collection::vec(prop::bool::weighted(0.3), 30),
    ) {
        let mut store = GroupStore::new(HASH_KEY);
        let mut kept: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for ((batch, index), take) in batches.iter().zip(1..).zip(takes) {
            store.apply(index, batch);
            if take || index == batches.len() as u64 {
                for (key, value) in store.take_dirty().into_items() {
                    match value {
                        Some(value) => drop(kept.insert(key, value)),
                        None => drop(kept.remove(&key)),
                    }
                }
                let expected: BTreeMap<Vec<u8>, Vec<u8>> =
                    store.view().items().map(|i| (i.key.to_vec(), i.value.to_vec())).collect();
                prop_assert_eq!(&kept, &expected);
            }
        }
        let mut restored = Restore::new(HASH_KEY);
        for (key, value) in &kept {
            restored.push(key, value).unwrap();
        }
        assert_same(&store, &restored.finish().unwrap());
    }
}

fn example() -> GroupStore {
    let mut fixture = Fixture::with([
        put("j", "# TYPE a gauge\na{k=\"1\"} 1\na{k=\"2\"} 2\nb 1\n"),
        put("k/x=1", "b 2\n"),
    ]);
    fixture.apply(put("m", "a 1 1\n"));
    fixture.store
}

#[test]
fn an_empty_store_is_restored() {
    let store = GroupStore::new(HASH_KEY);
    assert_same(&store, &restore(store.view().items()).unwrap());
}

#[test]
fn nothing_is_not_a_state() {
    assert_eq!(restore([]).unwrap_err(), RestoreError::NoMeta);
}

#[test]
fn any_missing_repeated_or_changed_item_is_noticed() {
    let store = example();
    let items: Vec<Item> = store.view().items().collect();
    assert!(restore(items.clone()).is_ok());
    for i in 0..items.len() {
        let mut missing = items.clone();
        missing.remove(i);
        assert!(restore(missing).is_err(), "{:?}", items[i]);
        let mut repeated = items.clone();
        repeated.push(items[i].clone());
        assert!(matches!(restore(repeated), Err(RestoreError::Repeated(_))));
        for part in 0..2 {
            let bytes = if part == 0 { &items[i].key } else { &items[i].value };
            for at in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                let mut damaged = items.clone();
                let item = &mut damaged[i];
                *(if part == 0 { &mut item.key } else { &mut item.value }) = changed.into();
                assert!(restore(damaged).is_err(), "byte {at} of part {part} of {:?}", items[i]);
            }
        }
    }
}

#[test]
fn another_hash_key_is_noticed() {
    let mut restore = Restore::new([1; 16]);
    for item in example().view().items() {
        restore.push(&item.key, &item.value).unwrap();
    }
    assert!(matches!(restore.finish(), Err(RestoreError::Digest { .. })));
}

#[test]
fn a_later_format_is_refused_by_name() {
    let store = example();
    let mut restore = Restore::new(HASH_KEY);
    for item in store.view().items() {
        let mut value = item.value.to_vec();
        if &item.key[..] == b"m" {
            assert_eq!(value[..2], [8, 1]);
            value[1] = 2;
        }
        restore.push(&item.key, &value).unwrap();
    }
    let error = restore.finish().unwrap_err();
    assert_eq!(error.to_string(), "the state has format 2, this version reads format 1");
}

#[test]
fn the_digest_tells_states_apart() {
    let digest = |changes: Vec<Change>| Fixture::with(changes).store.view().digest();
    let digests = [
        digest(vec![put("j", "a 1\n")]),
        digest(vec![put("j", "a 2\n")]),
        digest(vec![put("j", "# HELP a x\na 1\n")]),
        digest(vec![put("k", "a 1\n")]),
        digest(vec![put("j", "b 1\n")]),
        digest(vec![put("j", "a 1\n"), post("j", "")]),
    ];
    let distinct: std::collections::BTreeSet<u128> = digests.into_iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn unchanged_items_are_not_taken_again() {
    let mut store = example();
    drop(store.take_dirty());
    assert_eq!(store.take_dirty().into_items().len(), 1, "only the one about the whole state");
    let mutations = vec![Mutation { id: id(99), change: post("j", "b 7\n") }];
    store.apply(9, &Batch { at: UnixNanos(0), limits: StateLimits::default(), mutations });
    let keys: Vec<u8> = store.take_dirty().into_items().iter().map(|(key, _)| key[0]).collect();
    assert_eq!(keys, *b"gfqm");
}
