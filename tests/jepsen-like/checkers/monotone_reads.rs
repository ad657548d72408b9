//! A client never sees less than it has seen or done before, whichever replicas it asks.

use std::collections::BTreeMap;

use super::Finding;
use super::case::Case;
use crate::history::{Action, Op};

pub(super) const NAME: &str = "monotone_reads";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut by_client: BTreeMap<u64, Vec<&Op>> = BTreeMap::new();
    for op in &case.history.ops {
        by_client.entry(op.client).or_default().push(op);
    }
    for ops in by_client.values_mut() {
        ops.sort_by_key(|op| op.called);
        let mut newest: Option<(u64, &Op)> = None;
        for op in ops.iter() {
            let Some(stamp) = op.stamp() else { continue };
            if let Some((index, before)) = newest
                && stamp.index < index
                && op.action == Action::Scrape
            {
                return Finding::Fail(format!("{} after {}", op.name(), before.name()));
            }
            if newest.is_none_or(|(index, _)| index < stamp.index) {
                newest = Some((stamp.index, op));
            }
        }
    }
    Finding::Pass
}
