//! Whether the members keep their leader under load on this machine, and what they hold in memory.

use std::time::Duration;

use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::load::{Load, Through};
use crate::progress;
use crate::trio::Trio;

const CLIENTS: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn measure(pair: &[Trio; 2], effort: Effort) -> Table {
    let mut table = Table::new(
        "Under 64 clients that push 1 KiB through the leader, for a minute",
        &["elections", "failed pushes", "pushes/s", "p99 ms", "MiB before", "MiB after"],
    );
    for (trio, name) in std::iter::zip(pair, ["quorumgate", "beside it"]) {
        progress(&format!("  {name}"));
        let (before, resident) = (trio.agreed().await, trio.resident());
        let duration = Duration::from_secs(effort.pick(5, 60));
        let load = Load { through: Through::Leader, clients: CLIENTS, bytes: 1024, duration };
        let pushed = load.run(trio).await;
        let elections = trio.agreed().await.term - before.term;
        let cells = [
            elections as f64,
            pushed.failed as f64,
            pushed.per_second,
            pushed.p99_ms,
            resident / MIB,
            trio.resident() / MIB,
        ];
        let cells = cells.map(|value| Cell::Measured(Figure::from_iter([value])));
        table.row(name, cells.to_vec());
    }
    table
}
