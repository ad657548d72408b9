//! What a scrape costs after more or less has changed.

use std::time::Duration;

use quorumgate::exposition::negotiate::{Format, negotiate};

use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::payload::GROUP_SERIES;
use crate::common::table::{Cell, Table};
use crate::state::{State, push};
use crate::timing::{measure as repeat, timed};

const MIB: f64 = 1024.0 * 1024.0;

/// What a scraper asks for.
const ENCODINGS: [(&str, &str, bool); 3] = [
    ("text", "text/plain;version=0.0.4", false),
    ("text, gzip", "text/plain;version=0.0.4", true),
    (
        "protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        false,
    ),
];

pub(crate) fn measure(effort: Effort) -> Table {
    let columns = ["ms", "ns/series", "MiB", "less than full"];
    let mut table = Table::new(
        "Rendering a scrape of 1000 groups of 100 series (--quick: 100 groups)",
        &columns,
    );
    let groups = effort.pick(100, 1000);
    for (name, accept, gzip) in ENCODINGS {
        let mut scene = Scene::new(groups, negotiate(accept), gzip);
        let changes = [("full", groups), ("1 % of groups changed", groups / 100), ("unchanged", 0)];
        let mut full: Option<f64> = None;
        for (what, changed) in changes {
            let seconds = repeat(effort, || scene.render_after(changed));
            let full = *full.get_or_insert_with(|| seconds.median());
            table.row(format!("{name}, {what}"), scene.cells(&seconds, full));
        }
        let copied = repeat(effort, || scene.copy());
        table.row(format!("{name}, copying the body"), scene.cells(&copied, full.unwrap()));
    }
    table
}

/// A state that is scraped again and again in the same format.
struct Scene {
    state: State,
    format: Format,
    gzip: bool,
    version: usize,
    /// Of the last scrape.
    bytes: usize,
}

impl Scene {
    fn new(groups: usize, format: Format, gzip: bool) -> Scene {
        let mut state = State::with_groups(groups);
        state.forget_dirty();
        Scene { state, format, gzip, version: 0, bytes: 0 }
    }

    /// How long a scrape takes after pushes to that many groups, evenly spread.
    fn render_after(&mut self, changed: usize) -> Duration {
        self.version += 1;
        let groups = usize::try_from(self.state.view().group_count()).unwrap();
        for at in 0..changed {
            let group = at * groups / changed;
            let batch = self.state.batch(push(group, self.version));
            self.state.apply(&batch);
        }
        self.state.forget_dirty();
        let mut bytes = 0;
        let taken = timed(|| {
            let exposition = self.state.view().exposition(&[], self.format, self.gzip);
            bytes = exposition.len;
            exposition
        });
        self.bytes = bytes;
        taken
    }

    /// How long it takes to copy the last body once, which no scrape that sends it can do without.
    fn copy(&self) -> Duration {
        let exposition = self.state.view().exposition(&[], self.format, self.gzip);
        timed(|| exposition.to_vec())
    }

    fn cells(&self, seconds: &Figure, full: f64) -> Vec<Cell> {
        let groups = self.state.view().group_count() as f64;
        let series = groups * GROUP_SERIES as f64;
        vec![
            Cell::Measured(seconds.scaled(1e3)),
            Cell::Measured(seconds.scaled(1e9 / series)),
            Cell::Measured(Figure::from_iter([self.bytes as f64 / MIB])),
            Cell::Ratio(full / seconds.median()),
        ]
    }
}
