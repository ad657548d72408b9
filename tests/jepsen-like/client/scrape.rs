//! Reads of a scrape what a load has pushed: the groups of its job.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use crate::history::{Cell, Group, MIXED, Picture, Shown};

/// The families of pushes and of failures, which every group has.
const PUSH_TIME: &str = "push_time_seconds";
const FAILURE_TIME: &str = "push_failure_time_seconds";

/// What a scrape shows of a job. An error is a line that is no sample.
pub(crate) fn parse(body: &[u8], job: &str) -> Result<Picture, String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let text = str::from_utf8(body).map_err(|err| err.to_string())?;
    let of_job = format!("job=\"{job}\"");
    let mut groups: BTreeMap<Group, Shown> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && line.contains(&of_job)) {
        let sample = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
        let shown = match groups.get_mut(sample.group) {
            Some(shown) => shown,
            None => groups.entry(Arc::from(sample.group)).or_default(),
        };
        match sample.family {
            PUSH_TIME => shown.pushed = sample.value,
            FAILURE_TIME => shown.failed = sample.value,
            family => add(shown, family, whole(sample.value)),
        }
    }
    Ok(Picture { bytes: hasher.finish(), groups })
}

struct Sample<'a> {
    family: &'a str,
    group: &'a str,
    value: f64,
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (family, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let (_, group) = labels.split_once("group=\"")?;
    let (group, _) = group.split_once('"')?;
    Some(Sample { family, group, value: value.parse().ok()? })
}

/// The value of a push; one that no client pushes if it is no whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "values are below 2^53, and any other is a find"
)]
fn whole(value: f64) -> u64 {
    if value.fract() == 0.0 && value >= 0.0 { value as u64 } else { MIXED }
}

fn add(shown: &mut Shown, family: &str, value: u64) {
    match shown.cells.get_mut(family) {
        Some(cell) => {
            cell.series += 1;
            if cell.value != value {
                cell.value = MIXED;
            }
        }
        None => {
            shown.cells.insert(Arc::from(family), Cell { value, series: 1 });
        }
    }
}
