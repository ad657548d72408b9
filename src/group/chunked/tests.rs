use std::collections::BTreeMap;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Item {
    key: u32,
    opens: bool,
    fills: bool,
}

impl Entry for Item {
    type Key = u32;
    type Cache = OnceLock<Vec<u32>>;

    fn key(&self) -> &u32 {
        &self.key
    }
    fn opens_chunk(&self) -> bool {
        self.opens
    }
    fn fills_chunk(&self) -> bool {
        self.fills
    }
}

fn shape(list: &Chunked<Item>) -> Vec<Vec<Item>> {
    list.chunks().map(|chunk| chunk.entries().to_vec()).collect()
}

/// Compares with the list built from scratch, and each filled cache with its chunk.
fn check(list: &Chunked<Item>, expected: &BTreeMap<u32, Item>) {
    let fresh = Chunked::from_sorted(expected.values().cloned().collect());
    assert_eq!(shape(list), shape(&fresh));
    assert_eq!(list.len(), expected.len());
    assert_eq!(list.is_empty(), expected.is_empty());
    assert!(list.pages.iter().all(|page| !page.is_empty()));
    for chunk in list.chunks() {
        let keys: Vec<u32> = chunk.entries().iter().map(|e| e.key).collect();
        assert_eq!(chunk.cache().get_or_init(|| keys.clone()), &keys);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Item),
    Remove(u32),
    Modify(u32, bool, bool),
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    let item = (0..300_u32, 0..4_u8, 0..12_u8).prop_map(|(key, opens, fills)| Item {
        key,
        opens: opens == 0,
        fills: fills == 0,
    });
    prop_oneof![
        6 => item.prop_map(Step::Insert),
        3 => (0..300_u32).prop_map(Step::Remove),
        1 => (0..300_u32, any::<bool>(), any::<bool>()).prop_map(|(k, o, f)| Step::Modify(k, o, f)),
        1 => Just(Step::Keep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn behaves_like_a_map_and_is_cut_as_if_built_from_scratch(
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut list = Chunked::default();
        let mut model = BTreeMap::new();
        let mut kept: Vec<(Chunked<Item>, BTreeMap<u32, Item>)> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(item) => {
                    let old = model.insert(item.key, item.clone());
                    prop_assert_eq!(list.insert(item), old);
                }
                Step::Remove(key) => prop_assert_eq!(list.remove(&key), model.remove(&key)),
                Step::Modify(key, opens, fills) => {
                    let change = |e: &mut Item| (e.opens, e.fills) = (opens, fills);
                    let found = model.get_mut(&key).map(change);
                    prop_assert_eq!(list.modify(&key, change), found);
                }
                Step::Keep => {
                    check(&list, &model);
                    kept.push((list.clone(), model.clone()));
                }
            }
        }
        check(&list, &model);
        for key in 0..300 {
            prop_assert_eq!(list.get(&key), model.get(&key));
        }
        for (copy, then) in &kept {
            check(copy, then);
        }
    }
}

#[test]
fn a_change_keeps_the_caches_of_other_chunks() {
    let items = (0..100).map(|key| Item { key, opens: key % 10 == 0, fills: false }).collect();
    let mut list = Chunked::from_sorted(items);
    let fill = |list: &Chunked<Item>| {
        list.chunks().for_each(|c| {
            c.cache().get_or_init(Vec::new);
        });
    };
    let filled = |list: &Chunked<Item>| list.chunks().filter(|c| c.cache().get().is_some()).count();
    fill(&list);
    let before = list.clone();
    list.modify(&55, |_| ());
    assert_eq!(filled(&list), 9);
    list.remove(&11);
    assert_eq!(filled(&list), 8);
    assert_eq!(filled(&before), 10);
}

#[test]
fn many_entries_at_one_end_make_many_pages() {
    let mut list = Chunked::default();
    for key in 0..10_000 {
        list.insert(Item { key, opens: true, fills: false });
    }
    let pages = list.pages.len();
    assert!((50..400).contains(&pages), "{pages} pages");
    assert!(list.pages.iter().all(|page| page.len() < 400));
    assert!(list.iter().map(|e| e.key).eq(0..10_000));
    for key in (0..10_000).rev() {
        assert!(list.remove(&key).is_some());
    }
    assert!(list.is_empty() && list.pages.is_empty());
}
