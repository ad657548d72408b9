//! Why a drill fails. Pure.

use super::super::args::Thresholds;
use super::super::cluster::Same;
use super::super::course::{Course, Round};
use super::FaultFigures;

/// All reasons; none if it passes.
pub(super) fn reasons(
    thresholds: Thresholds,
    course: &Course,
    faults: &[FaultFigures],
) -> Vec<String> {
    let mut reasons = Vec::new();
    let missing: usize = faults.iter().map(|figures| figures.missing).sum();
    if missing > thresholds.missing {
        let max = thresholds.missing;
        reasons.push(format!("{missing} acknowledged pushes are missing (--max-missing {max})"));
    }
    let not_acknowledged: usize = faults
        .iter()
        .map(|figures| figures.at_survivors.failed + figures.at_survivors.unknown)
        .sum();
    if not_acknowledged > thresholds.failed {
        reasons.push(format!(
            "{not_acknowledged} pushes at surviving replicas were not acknowledged (--max-failed {})",
            thresholds.failed
        ));
    }
    for figures in faults {
        reasons.extend(of_fault(thresholds, figures));
    }
    for round in &course.rounds {
        reasons.extend(of_round(course, round));
    }
    reasons.extend(course.not_begun.clone());
    reasons
}

fn of_fault(thresholds: Thresholds, figures: &FaultFigures) -> Vec<String> {
    let mut reasons = Vec::new();
    let name = figures.fault.name();
    if figures.max_gap() > thresholds.gap {
        reasons.push(format!(
            "{name}: no success for {} ms (--max-gap {:?})",
            figures.max_gap().as_millis(),
            thresholds.gap
        ));
    }
    let [_, during, _] = figures.latency;
    if let (Some(max), Some(during)) = (thresholds.p99, during)
        && during.p99 > max
    {
        let p99 = during.p99.as_millis();
        reasons.push(format!("{name}: p99 during the fault is {p99} ms (--max-p99 {max:?})"));
    }
    reasons
}

fn of_round(course: &Course, round: &Round) -> Vec<String> {
    let check = &round.check;
    let stale = round.account.scrapes.iter().filter(|scrape| scrape.stale > 0).count();
    let quiet_before = |at: &usize| {
        let mut there = round.account.pushes.iter().filter(|push| push.endpoint == *at);
        !there.any(|push| push.acknowledged() && push.ended < round.fault_at)
    };
    let mut reasons = round.troubles.clone();
    if let Some(why) = &check.not_whole {
        reasons.push(why.clone());
    }
    if let Some(at) = (0..course.endpoints.len()).find(quiet_before) {
        let at = course.endpoints.get(at).map_or("-", String::as_str);
        reasons.push(format!("nothing was acknowledged at {at} before the fault"));
    }
    if stale > 0 {
        reasons.push(format!("{stale} scrapes did not show what had been acknowledged before"));
    }
    if check.refused_but_stored > 0 {
        let count = check.refused_but_stored;
        reasons.push(format!("{count} pushes that were refused took effect"));
    }
    reasons.extend(check.unread.iter().map(|why| format!("cannot be read afterwards: {why}")));
    match &check.digests {
        Same::No(why) => reasons.push(format!("replicas are not identical: {why}")),
        Same::Unknown(why) if course.endpoints.len() > 1 => {
            reasons.push(format!("replicas could not be compared: {why}"));
        }
        Same::Yes | Same::Unknown(_) => {}
    }
    if let Same::No(why) = &check.bytes {
        reasons.push(format!("replicas are not identical: {why}"));
    }
    let number = round.number;
    reasons.into_iter().map(|reason| format!("round {number}: {reason}")).collect()
}
