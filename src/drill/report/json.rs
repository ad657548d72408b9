//! The report for programs.

use serde_json::{Map, Value, json};

use super::super::course::Round;
use super::super::figures::{Latency, ms};
use super::{Counts, EndpointFigures, FaultFigures, PHASES, Report};
use crate::ctl::table;

impl Report {
    /// All figures as one document.
    pub(in super::super) fn json(&self) -> String {
        let settings = &self.settings;
        let [digests, bytes] = self.identical();
        let skipped = self.course.skipped.iter();
        let document = json!({
            "format": 1,
            "run": self.course.run,
            "begun": self.begun.as_seconds(),
            "kind": settings.kind(),
            "cluster_id": self.course.cluster_id,
            "version": self.course.version,
            "settings": {
                "rate": settings.load.rate,
                "clients": settings.load.clients,
                "scrapes": settings.load.scrapes,
                "timeout_ms": ms(settings.load.timeout),
                "duration_ms": ms(settings.duration),
                "rounds": settings.rounds,
                "target": settings.target.name(),
            },
            "thresholds": {
                "gap_ms": ms(settings.thresholds.gap),
                "failed": settings.thresholds.failed,
                "missing": settings.thresholds.missing,
                "p99_ms": settings.thresholds.p99.map(ms),
            },
            "verdict": {
                "pass": self.passed(),
                "reasons": self.reasons,
            },
            "pushes": pushes(self.total),
            "pushes_at_survivors": pushes(self.at_survivors),
            "missing": self.missing(),
            "scrapes": scrapes(self.total),
            "scrapes_at_survivors": scrapes(self.at_survivors),
            "identical": { "digests": digests, "bytes": bytes },
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "endpoints": self.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "rounds": self.course.rounds.iter().map(round).collect::<Vec<_>>(),
            "skipped": skipped
                .map(|(fault, why)| json!({ "fault": fault.name(), "why": why }))
                .collect::<Vec<_>>(),
            "errors": self.why,
            "remarks": self.course.remarks,
        });
        table::json(&document)
    }
}

fn pushes(counts: Counts) -> Value {
    json!({
        "tried": counts.tried,
        "acknowledged": counts.acknowledged,
        "failed": counts.failed,
        "unknown": counts.unknown,
    })
}

fn scrapes(counts: Counts) -> Value {
    json!({
        "tried": counts.scrapes,
        "failed": counts.scrapes_failed,
        "stale": counts.scrapes_stale,
    })
}

fn latency(latency: Option<Latency>) -> Value {
    match latency {
        None => Value::Null,
        Some(Latency { count, p50, p99, max }) => {
            json!({ "count": count, "p50": ms(p50), "p99": ms(p99), "max": ms(max) })
        }
    }
}

fn fault(figures: &FaultFigures) -> Value {
    let phases = PHASES.iter().zip(figures.latency);
    let latencies: Map<String, Value> =
        phases.map(|(phase, of_phase)| ((*phase).to_owned(), latency(of_phase))).collect();
    json!({
        "fault": figures.fault.name(),
        "rounds": figures.gaps.len(),
        "gap_ms": {
            "median": ms(figures.median_gap()),
            "max": ms(figures.max_gap()),
            "all": figures.gaps.iter().map(|gap| ms(*gap)).collect::<Vec<_>>(),
        },
        "latency_ms": latencies,
        "pushes_at_survivors": pushes(figures.at_survivors),
        "missing": figures.missing,
    })
}

fn endpoint(figures: &EndpointFigures) -> Value {
    json!({
        "endpoint": figures.shown,
        "replica": figures.name,
        "rounds_away": figures.away,
        "pushes": pushes(figures.counts),
        "scrapes": scrapes(figures.counts),
        "gap_ms": ms(figures.gap),
        "gap_surviving_ms": figures.gap_surviving.map(ms),
        "latency_ms": latency(figures.latency),
    })
}

fn round(round: &Round) -> Value {
    let check = &round.check;
    let [before, after] = &round.leaders;
    json!({
        "round": round.number,
        "fault": round.fault.name(),
        "leader_before": before,
        "leader_after": after,
        "endpoints_away": round.away,
        "fault_at_ms": ms(round.fault_at),
        "healed_at_ms": round.healed_at.map(ms),
        "whole_at_ms": ms(round.whole_at),
        "end_ms": ms(round.end),
        "gap_ms": ms(round.gap().length()),
        "gap_from_ms": ms(round.gap().from),
        "missing": check.missing,
        "missing_at_endpoints": check.missing_at,
        "refused_but_stored": check.refused_but_stored,
        "whole": check.not_whole.is_none(),
        "troubles": round.troubles,
        "identical": {
            "digests": check.digests.word(),
            "bytes": check.bytes.word(),
            "index": check.index,
            "detail": [check.digests.detail(), check.bytes.detail()],
        },
    })
}
