//! What holds for every sequence of changes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message;

use super::generate::batches;
use super::model::{Model, picture};
use super::*;

fn apply_all(store: &mut GroupStore, first: u64, batches: &[Batch]) -> Vec<Vec<Outcome>> {
    batches.iter().zip(first..).map(|(batch, index)| store.apply(index, batch)).collect()
}

/// The families of a text exposition as they were, without sorting their metrics.
fn parse_back(text: &[u8]) -> Vec<MetricFamily> {
    parse_text(text, &ParseRules::new(&Limits::default(), true)).unwrap()
}

fn assert_no_series_twice(families: &[MetricFamily]) {
    let mut names = BTreeSet::new();
    for family in families {
        assert!(names.insert(family.name()), "{} comes twice", family.name());
        let mut seen = BTreeSet::new();
        for metric in &family.metric {
            let labels: Vec<_> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
            assert!(seen.insert(labels), "{} {:?}", family.name(), metric.label);
        }
    }
}

fn decode_delimited(mut bytes: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut bytes).unwrap());
    }
    families
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_naive_model_behaves_the_same(batches in batches(1..30)) {
        let (mut store, mut model) = (GroupStore::new(HASH_KEY), Model::default());
        for (batch, index) in batches.iter().zip(1..) {
            prop_assert_eq!(store.apply(index, batch), model.apply(batch));
            prop_assert_eq!(picture(&store.view()), model.picture());
        }
        assert_index(&store);
    }

    #[test]
    fn the_same_entries_make_the_same_state_and_bytes(
        batches in batches(1..30),
        looks in prop::collection::vec(0..4_u8, 30),
    ) {
        let (mut quiet, mut watched) = (GroupStore::new(HASH_KEY), GroupStore::new(HASH_KEY));
        let outcomes = apply_all(&mut quiet, 1, &batches);
        let mut views = Vec::new();
        for (((batch, index), look), expected) in batches.iter().zip(1..).zip(looks).zip(outcomes) {
            let batch = Batch::decode(batch.encode()).unwrap();
            prop_assert_eq!(watched.apply(index, &batch), expected);
            match look {
                0 => drop(watched.take_dirty()),
                1 => views.push((watched.view(), all_bodies(&watched.view(), &[]))),
                2 => drop(all_bodies(&watched.view(), &[])),
                _ => {}
            }
        }
        prop_assert_eq!(quiet.view().digest(), watched.view().digest());
        prop_assert_eq!(all_bodies(&quiet.view(), &[]), all_bodies(&watched.view(), &[]));
        for (view, bodies) in views {
            prop_assert_eq!(all_bodies(&view, &[]), bodies);
        }
    }

    #[test]
    fn every_state_can_be_scraped(batches in batches(1..30)) {
        let mut store = GroupStore::new(HASH_KEY);
        for (batch, index) in batches.iter().zip(1..) {
            store.apply(index, batch);
            let view = store.view();
            let text = view.exposition(&[], TEXT, false).to_vec();
            let families = parse_back(&text);
            assert_no_series_twice(&families);
            let format = Format { encoding: Encoding::ProtoDelimited, ..TEXT };
            let proto = decode_delimited(&view.exposition(&[], format, false).to_vec());
            assert_no_series_twice(&proto);
            let names = |families: &[MetricFamily]| -> Vec<(String, usize)> {
                families.iter().map(|f| (f.name().to_owned(), f.metric.len())).collect()
            };
            prop_assert_eq!(names(&families), names(&proto));
            let exposed: usize = proto.iter().map(|family| family.metric.len()).sum();
            prop_assert_eq!(exposed as u64, view.series_count());
        }
        all_bodies(&store.view(), &[]);
    }

    #[test]
    fn batches_may_be_split(batches in batches(1..20)) {
        let (mut whole, mut split) = (GroupStore::new(HASH_KEY), GroupStore::new(HASH_KEY));
        let mut index = 0;
        for (batch, n) in batches.iter().zip(1..) {
            let mut outcomes = Vec::new();
            for mutation in &batch.mutations {
                let part = Batch { mutations: vec![mutation.clone()], ..batch.clone() };
                index += 1;
                outcomes.append(&mut split.apply(index, &part));
            }
            if !batch.mutations.is_empty() {
                prop_assert_eq!(whole.apply(n, batch), outcomes);
            }
        }
        prop_assert_eq!(all_bodies(&whole.view(), &[]), all_bodies(&split.view(), &[]));
        prop_assert_eq!(picture(&whole.view()), picture(&split.view()));
    }
}
