//! What a scrape costs at different numbers of stored series.

use std::time::Instant;

use crate::client::{Connection, Encoding, ReadBytes, scrape};
use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::process::Server;
use crate::servers::usage::{Cpu, settle};
use crate::store::Layout;
use crate::{Better, REPETITIONS, compared};

const MIB: f64 = 1024.0 * 1024.0;

/// What is pushed between two scrapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Nothing,
    OnePercent,
    Everything,
}

impl Changed {
    fn groups(self, layout: &Layout) -> usize {
        match self {
            Changed::Nothing => 0,
            Changed::OnePercent => layout.groups / 100,
            Changed::Everything => layout.groups,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Changed::Nothing => "unchanged",
            Changed::OnePercent => "1 % of groups changed",
            Changed::Everything => "all groups changed",
        }
    }

    /// Whether it says anything about such a layout. Everything is pushed anew only at the largest
    /// size, where it is compared with little.
    fn fits(self, layout: &Layout) -> bool {
        match self {
            Changed::Nothing => true,
            Changed::OnePercent => layout.groups >= 100,
            Changed::Everything => layout.groups >= 1000,
        }
    }
}

/// What one repetition measured, for each scrape.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    bytes: usize,
}

pub(crate) fn table() -> Table {
    Table::new(
        "Scrapes in the text format (latency to the last byte, CPU with background work after it)",
        &["ms", "original", "less", "CPU ms", "original ms", "less CPU", "MiB", "original MiB"],
    )
}

/// Adds the rows of one layout.
pub(crate) async fn measure(
    table: &mut Table,
    layout: &Layout,
    effort: Effort,
    servers: [&Server; 2],
) {
    let mut version = 0;
    for encoding in [Encoding::Plain, Encoding::Gzip] {
        for changed in [Changed::Nothing, Changed::OnePercent, Changed::Everything] {
            if !changed.fits(layout) {
                continue;
            }
            let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
            for repetition in 0..=REPETITIONS {
                for (at, server) in servers.iter().enumerate() {
                    let run = Run { server, layout, encoding, changed, effort };
                    let cost = run.measure(&mut version).await;
                    // The first time is for caches to fill and heaps to grow.
                    if repetition > 0 {
                        costs[at].push(cost);
                    }
                }
            }
            let figures = |read: fn(&Cost) -> f64| {
                costs.each_ref().map(|costs| costs.iter().map(read).collect::<Figure>())
            };
            let mut cells = compared(figures(|c| c.seconds * 1e3), Better::Lower);
            cells.extend(compared(figures(|c| c.cpu_seconds * 1e3), Better::Lower));
            cells.extend(figures(|c| c.bytes as f64 / MIB).map(Cell::Measured));
            table.row(
                format!("{}, {encoding:?}, {}", layout.name, changed.name()).to_lowercase(),
                cells,
            );
        }
    }
}

/// One repetition.
struct Run<'a> {
    server: &'a Server,
    layout: &'a Layout,
    encoding: Encoding,
    changed: Changed,
    effort: Effort,
}

impl Run<'_> {
    async fn measure(&self, version: &mut usize) -> Cost {
        let seconds_max = self.effort.pick(0.1, 0.5);
        let scrapes_max = match self.changed {
            Changed::Nothing => 200,
            Changed::OnePercent => 5,
            Changed::Everything => 1,
        };
        let pid = self.server.pid();
        let request = scrape(self.encoding);
        let mut connection = Connection::open(self.server.addr(), ReadBytes::LARGE).await;
        let (mut latencies, mut cpu_seconds, mut bytes) = (Figure::default(), 0.0, 0);
        let begun = Instant::now();
        settle(pid);
        let mut used = Cpu::of(pid);
        let mut count = 0;
        while count < scrapes_max && (count < 3 || begun.elapsed().as_secs_f64() < seconds_max) {
            let groups = self.changed.groups(self.layout);
            if groups > 0 {
                *version += 1;
                self.layout.push_groups(self.server, groups, *version).await;
                settle(pid);
                used = Cpu::of(pid);
            }
            let sent = Instant::now();
            bytes = connection.exchange(&request, |_| ()).await;
            latencies.add(sent.elapsed().as_secs_f64());
            count += 1;
            if groups > 0 {
                settle(pid);
                cpu_seconds += Cpu::of(pid).since(used);
            }
        }
        if self.changed == Changed::Nothing {
            settle(pid);
            cpu_seconds = Cpu::of(pid).since(used);
        }
        Cost { seconds: latencies.median(), cpu_seconds: cpu_seconds / f64::from(count), bytes }
    }
}
