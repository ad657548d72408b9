//! All replicas answer a scrape at the same log index with the same bytes.

use std::collections::BTreeMap;

use super::Finding;
use super::case::{Case, Read};

pub(super) const NAME: &str = "same_bytes";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut first: BTreeMap<u64, &Read<'_>> = BTreeMap::new();
    let mut compared = 0;
    for read in &case.reads {
        let other = *first.entry(read.stamp.index).or_insert(read);
        compared += usize::from(other.op.id != read.op.id);
        if other.picture.bytes != read.picture.bytes {
            return Finding::Fail(format!("{} and {} differ", other.op.name(), read.op.name()));
        }
    }
    if compared == 0 {
        return Finding::Skipped("no index was read twice".to_owned());
    }
    Finding::Pass
}
