//! When the faults are gone, every replica takes pushes and scrapes again within ten seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Finding;
use super::case::Case;

pub(super) const NAME: &str = "heals";

const HEAL_MAX: Duration = Duration::from_secs(10);

pub(super) fn check(case: &Case<'_>) -> Finding {
    let evidence = case.evidence;
    if !evidence.heal_tried {
        return Finding::Skipped("healing was not waited for".to_owned());
    }
    let Some(after) = evidence.healed_after.map(Duration::from_nanos) else {
        return Finding::Fail("the replicas did not heal".to_owned());
    };
    if after > HEAL_MAX {
        return Finding::Fail(format!("it took {after:?}"));
    }
    let served = evidence.served.iter().map(String::as_str).collect();
    let read = case.last_reads().map(|read| read.op.replica.as_str()).collect();
    let lacks = |what: &str, by: BTreeSet<&str>| {
        let (some, all) = (by.len(), evidence.replicas);
        (some < all).then(|| Finding::Fail(format!("only {some} of {all} replicas {what}")))
    };
    lacks("took a push and a scrape after the faults", served)
        .or_else(|| lacks("answered a scrape at the end", read))
        .unwrap_or(Finding::Pass)
}
