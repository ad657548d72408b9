//! What a push costs the state machine at different sizes of the state.

use crate::common::Effort;
use crate::common::payload::GROUP_SERIES;
use crate::common::table::{Cell, Table};
use crate::state::{State, push};
use crate::timing::{measure as repeat, timed};

/// Versions of the pushed group, so that no push repeats the one before.
const VERSIONS: usize = 8;

pub(crate) fn measure(effort: Effort) -> Table {
    let columns = ["us", "ns/series", "times the empty store's"];
    let mut table = Table::new("Applying a push of 100 series that replaces its group", &columns);
    let mut empty = None;
    for groups in [0, 10, 100, 1000] {
        let mut state = State::with_groups(groups);
        state.forget_dirty();
        // A group among the others, or the only one.
        let changes: Vec<_> = (0..VERSIONS).map(|version| push(groups / 2, version)).collect();
        let mut next = changes.iter().cycle();
        let seconds = repeat(effort, || {
            let batch = state.batch(next.next().unwrap().clone());
            let taken = timed(|| state.apply(&batch));
            state.forget_dirty();
            taken
        });
        let empty = *empty.get_or_insert_with(|| seconds.median());
        let ratio = seconds.median() / empty;
        table.row(
            format!("{} series stored", groups * GROUP_SERIES),
            vec![
                Cell::Measured(seconds.scaled(1e6)),
                Cell::Measured(seconds.scaled(1e9 / GROUP_SERIES as f64)),
                Cell::Ratio(ratio),
            ],
        );
    }
    table
}
