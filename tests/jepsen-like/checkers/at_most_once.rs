//! A request takes effect at most once, however often it is sent: what has been replaced does not
//! come back. (What is applied twice in a row changes the push time, which `push_times` sees.)

use std::collections::BTreeSet;

use super::Finding;
use super::case::{Case, Read};
use crate::history::Family;

pub(super) const NAME: &str = "at_most_once";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut shown: BTreeSet<(u64, &Family)> = BTreeSet::new();
    let mut gone: BTreeSet<(u64, &Family)> = BTreeSet::new();
    for read in &case.reads {
        let now = values(read);
        gone.extend(shown.difference(&now));
        if let Some((value, family)) = now.iter().find(|value| gone.contains(value)) {
            let writer = case
                .writer(*value)
                .map(|writer| format!("{}, sent {} times", writer.op.name(), writer.attempts));
            let writer = writer.unwrap_or_default();
            return Finding::Fail(format!(
                "{family}={value} is back in {} after it was replaced: {writer}",
                read.op.name()
            ));
        }
        shown = now;
    }
    Finding::Pass
}

fn values<'a>(read: &Read<'a>) -> BTreeSet<(u64, &'a Family)> {
    let cells = read.picture.groups.values().flat_map(|shown| &shown.cells);
    cells.map(|(family, cell)| (cell.value, family)).collect()
}
