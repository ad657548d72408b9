//! When the faults are gone, every replica serves again within ten seconds.

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
    let served: BTreeSet<&str> = case.last_reads().map(|read| read.op.replica.as_str()).collect();
    if served.len() < evidence.replicas {
        let (some, all) = (served.len(), evidence.replicas);
        return Finding::Fail(format!(
            "only {some} of {all} replicas answered a scrape at the end"
        ));
    }
    Finding::Pass
}
