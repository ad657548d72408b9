//! The report for a terminal.

use super::super::figures::{Latency, ms};
use super::{PHASES, Report};
use crate::ctl::table::{columns, pairs};

impl Report {
    /// All that fits a terminal.
    pub(in super::super) fn text(&self) -> String {
        let (total, survivors) = (self.total, self.at_survivors);
        let [digests, bytes] = self.identical();
        let mut text = pairs(&[
            ("run", self.course.run.clone()),
            ("cluster", self.course.cluster_id.clone()),
            ("rounds", self.course.rounds.len().to_string()),
            ("pushes", outcomes(total.tried, total.acknowledged, total.failed, total.unknown)),
            (
                "at survivors",
                outcomes(
                    survivors.tried,
                    survivors.acknowledged,
                    survivors.failed,
                    survivors.unknown,
                ),
            ),
            ("missing", format!("{} of the acknowledged pushes", self.missing())),
            (
                "scrapes",
                format!(
                    "{} tried, {} failed ({} at survivors), {} stale",
                    total.scrapes,
                    total.scrapes_failed,
                    survivors.scrapes_failed,
                    total.scrapes_stale
                ),
            ),
            ("identical after", format!("digests: {digests}; bytes: {bytes}")),
        ]);
        text.push('\n');
        text.push_str(&self.fault_table());
        text.push('\n');
        text.push_str(&self.latency_table());
        text.push('\n');
        text.push_str(&self.endpoint_table());
        text.push('\n');
        let skipped = self.course.skipped.iter();
        let skipped = skipped.map(|(fault, why)| format!("skipped {}: {why}\n", fault.name()));
        let remarks = self.course.remarks.iter().map(|remark| format!("note: {remark}\n"));
        let reasons = self.reasons.iter().map(|reason| format!("FAILED: {reason}\n"));
        text.extend(skipped.chain(remarks).chain(reasons));
        text.push_str(if self.passed() { "verdict: PASS\n" } else { "verdict: FAIL\n" });
        text
    }

    fn fault_table(&self) -> String {
        let header =
            ["FAULT", "ROUNDS", "GAP MEDIAN", "GAP MAX", "NOT ACKNOWLEDGED", "OF", "MISSING"];
        let rows: Vec<Vec<String>> = self
            .faults
            .iter()
            .map(|figures| {
                let counts = figures.at_survivors;
                vec![
                    figures.fault.name().to_owned(),
                    figures.gaps.len().to_string(),
                    format!("{} ms", ms(figures.median_gap())),
                    format!("{} ms", ms(figures.max_gap())),
                    (counts.failed + counts.unknown).to_string(),
                    counts.tried.to_string(),
                    figures.missing.to_string(),
                ]
            })
            .collect();
        columns(&header, &rows)
    }

    fn latency_table(&self) -> String {
        let mut rows = Vec::new();
        for figures in &self.faults {
            for (phase, latency) in PHASES.iter().zip(figures.latency) {
                let mut row = vec![figures.fault.name().to_owned(), (*phase).to_owned()];
                row.extend(latency_cells(latency));
                rows.push(row);
            }
        }
        columns(&["FAULT", "PHASE", "PUSHES", "P50", "P99", "MAX"], &rows)
    }

    fn endpoint_table(&self) -> String {
        let header = ["ENDPOINT", "REPLICA", "AWAY", "TRIED", "FAILED", "UNKNOWN", "LONGEST GAP"];
        let rows: Vec<Vec<String>> = self
            .endpoints
            .iter()
            .map(|endpoint| {
                vec![
                    endpoint.shown.clone(),
                    endpoint.name.clone(),
                    endpoint.away.to_string(),
                    endpoint.counts.tried.to_string(),
                    endpoint.counts.failed.to_string(),
                    endpoint.counts.unknown.to_string(),
                    format!("{} ms", ms(endpoint.gap)),
                ]
            })
            .collect();
        columns(&header, &rows)
    }
}

fn outcomes(tried: usize, acknowledged: usize, failed: usize, unknown: usize) -> String {
    format!("{tried} tried, {acknowledged} acknowledged, {failed} failed, {unknown} unknown")
}

/// Count, p50, p99 and maximum.
pub(super) fn latency_cells(latency: Option<Latency>) -> [String; 4] {
    match latency {
        None => ["0".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()],
        Some(Latency { count, p50, p99, max }) => [
            count.to_string(),
            format!("{} ms", ms(p50)),
            format!("{} ms", ms(p99)),
            format!("{} ms", ms(max)),
        ],
    }
}
