//! What is pushed: groups of series that look like those of a batch job.

use std::fmt::Write;

/// Families of a push.
pub(crate) const FAMILIES: usize = 10;
/// Series of a usual push.
pub(crate) const GROUP_SERIES: usize = 100;

/// The text of a push of `series` series in [`FAMILIES`] families. Another version has other values.
pub(crate) fn text(series: usize, version: usize) -> Vec<u8> {
    let mut out = String::new();
    for family in 0..FAMILIES.min(series) {
        write!(
            out,
            "# HELP batch_stage_{family}_items Items seen by stage {family} in its last run.\n\
             # TYPE batch_stage_{family}_items gauge\n"
        )
        .unwrap();
        for i in (family..series).step_by(FAMILIES) {
            let value = (i * 7 + version) as f64 * 1.25;
            writeln!(
                out,
                "batch_stage_{family}_items{{queue=\"queue-{i:05}\",result=\"ok\"}} {value}"
            )
            .unwrap();
        }
    }
    out.into_bytes()
}

/// The job of the stored groups; each has another `instance`.
pub(crate) const JOB: &str = "nightly";

/// The `instance` of a stored group.
pub(crate) fn instance(group: usize) -> String {
    format!("host-{group:05}")
}
