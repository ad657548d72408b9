//! The report as one page without other files.

use askama::Template as _;
use jiff::Timestamp;

use super::super::figures::ms;
use super::text::latency_cells;
use super::{PHASES, Report, svg};

#[derive(askama::Template)]
#[template(path = "drill.html")]
struct Page<'a> {
    passed: bool,
    reasons: &'a [String],
    begun: String,
    about: Vec<(&'static str, String)>,
    tiles: Vec<Tile>,
    worst: String,
    timeline: String,
    strips: String,
    faults: Vec<Vec<String>>,
    latencies: Vec<Vec<String>>,
    endpoints: Vec<Vec<String>>,
    rounds: Vec<Vec<String>>,
    errors: Vec<(usize, &'a str)>,
    skipped: Vec<(&'static str, &'a str)>,
    remarks: &'a [String],
}

/// A figure that is seen first.
struct Tile {
    name: &'static str,
    value: String,
    detail: String,
    bad: bool,
}

impl Report {
    /// The whole page.
    pub(in super::super) fn html(&self) -> Result<String, String> {
        let worst = self.worst();
        let page = Page {
            passed: self.passed(),
            reasons: &self.reasons,
            begun: self.time(),
            about: self.about(),
            tiles: self.tiles(),
            worst: worst
                .map(|round| {
                    let [before, after] = &round.leaders;
                    let (number, what) = (round.number, round.fault.sentence());
                    format!("Round {number}: {what}. Leader {before} before, {after} after.")
                })
                .unwrap_or_default(),
            timeline: worst.map(|round| svg::timeline(&self.course, round)).unwrap_or_default(),
            strips: svg::strips(&self.faults, self.settings.thresholds.gap),
            faults: self.fault_rows(),
            latencies: self.latency_rows(),
            endpoints: self.endpoint_rows(),
            rounds: self.round_rows(),
            errors: self.why.iter().map(|(why, count)| (*count, why.as_str())).collect(),
            skipped: self.course.skipped.iter().map(|(f, why)| (f.name(), why.as_str())).collect(),
            remarks: &self.course.remarks,
        };
        page.render().map_err(|err| format!("the page cannot be made: {err}"))
    }

    fn time(&self) -> String {
        let time = Timestamp::from_nanosecond(self.begun.0.into());
        time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
    }

    fn about(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        let load = settings.load;
        vec![
            ("cluster", self.course.cluster_id.clone()),
            ("replicas", format!("{}, version {}", settings.kind(), self.course.version)),
            ("run", self.course.run.clone()),
            (
                "load",
                format!(
                    "{} pushes a second over {} endpoints; {} scrapes a second of each; \
                 a client waits {:?}",
                    load.rate,
                    self.course.endpoints.len(),
                    load.scrapes,
                    load.timeout
                ),
            ),
            ("round", format!("{:?}, and the time until the cluster is whole", settings.duration)),
        ]
    }

    fn tiles(&self) -> Vec<Tile> {
        let limits = self.settings.thresholds;
        let lost = self.at_survivors.failed + self.at_survivors.unknown;
        let gap = self.faults.iter().map(super::FaultFigures::max_gap).max().unwrap_or_default();
        let [digests, bytes] = self.identical();
        vec![
            Tile {
                name: "acknowledged pushes missing",
                value: self.missing().to_string(),
                detail: format!("of {}", self.total.acknowledged),
                bad: self.missing() > limits.missing,
            },
            Tile {
                name: "longest gap at survivors",
                value: format!("{:.0} ms", ms(gap)),
                detail: format!("of {} rounds; at most {:?}", self.course.rounds.len(), limits.gap),
                bad: gap > limits.gap,
            },
            Tile {
                name: "pushes at survivors not acknowledged",
                value: lost.to_string(),
                detail: format!("of {}", self.at_survivors.tried),
                bad: lost > limits.failed,
            },
            Tile {
                name: "scrapes that failed at survivors",
                value: self.at_survivors.scrapes_failed.to_string(),
                detail: format!(
                    "of {}; {} were stale",
                    self.at_survivors.scrapes, self.total.scrapes_stale
                ),
                bad: self.total.scrapes_stale > 0,
            },
            Tile {
                name: "replicas identical afterwards",
                value: digests.to_owned(),
                detail: format!("by digest; bytes of a scrape: {bytes}"),
                bad: digests == "no" || bytes == "no",
            },
        ]
    }

    fn fault_rows(&self) -> Vec<Vec<String>> {
        let row = |figures: &super::FaultFigures| {
            let counts = figures.at_survivors;
            vec![
                figures.fault.name().to_owned(),
                figures.fault.sentence().to_owned(),
                figures.gaps.len().to_string(),
                format!("{:.0} ms", ms(figures.median_gap())),
                format!("{:.0} ms", ms(figures.max_gap())),
                counts.tried.to_string(),
                counts.failed.to_string(),
                counts.unknown.to_string(),
                figures.missing.to_string(),
            ]
        };
        self.faults.iter().map(row).collect()
    }

    fn latency_rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for figures in &self.faults {
            for (phase, latency) in PHASES.iter().zip(figures.latency) {
                let mut row = vec![figures.fault.name().to_owned(), (*phase).to_owned()];
                row.extend(latency_cells(latency));
                rows.push(row);
            }
        }
        rows
    }

    fn endpoint_rows(&self) -> Vec<Vec<String>> {
        let row = |endpoint: &super::EndpointFigures| {
            let surviving = endpoint.gap_surviving.map(|gap| format!("{:.0} ms", ms(gap)));
            let counts = endpoint.counts;
            vec![
                endpoint.shown.clone(),
                endpoint.name.clone(),
                endpoint.away.to_string(),
                format!("{:.0} ms", ms(endpoint.gap)),
                surviving.unwrap_or_else(|| "-".to_owned()),
                counts.tried.to_string(),
                counts.acknowledged.to_string(),
                counts.failed.to_string(),
                counts.unknown.to_string(),
                format!("{} of {}", counts.scrapes_failed, counts.scrapes),
            ]
        };
        self.endpoints.iter().map(row).collect()
    }

    fn round_rows(&self) -> Vec<Vec<String>> {
        let rounds = self.course.rounds.iter();
        rounds
            .map(|round| {
                let [before, after] = &round.leaders;
                let check = &round.check;
                vec![
                    round.number.to_string(),
                    round.fault.name().to_owned(),
                    format!("{before} \u{2192} {after}"),
                    format!("{:.0} ms", ms(round.gap().length())),
                    check.missing.to_string(),
                    check.digests.word().to_owned(),
                    check.bytes.word().to_owned(),
                    check.index.to_string(),
                ]
            })
            .collect()
    }
}
