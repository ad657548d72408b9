//! What each change does to one group: the sequential specification.

use std::collections::BTreeSet;

use crate::history::{Action, Cells, Family, Request};

/// A group: `None` if it does not exist, without cells if nothing but failures was pushed.
pub(super) type State = Option<Cells>;

/// The state after a change. A change of another group must not be asked about.
pub(super) fn after(state: Option<&Cells>, action: &Action) -> State {
    match action {
        Action::Put { cells, .. } => Some(cells.clone()),
        Action::Post { cells, .. } => {
            let mut merged = state.cloned().unwrap_or_default();
            merged.extend(cells.iter().map(|(family, cell)| (family.clone(), *cell)));
            Some(merged)
        }
        Action::Delete { .. } | Action::Wipe => None,
        Action::Inconsistent { .. } => Some(state.cloned().unwrap_or_default()),
        Action::Scrape => state.cloned(),
    }
}

/// All families that the requests push.
pub(super) fn families<'a>(requests: &[&'a Request<'_>]) -> BTreeSet<&'a Family> {
    let cells = requests.iter().filter_map(|request| request.op.action.cells());
    cells.flat_map(Cells::keys).collect()
}

/// Whether a change that nobody has seen can be left out of account: all it does is to set registers
/// to values of its own, so if it happened, something hid it before anybody looked.
pub(super) fn leaves_no_trace(action: &Action, families: &BTreeSet<&Family>) -> bool {
    match action {
        Action::Post { .. } | Action::Scrape => true,
        // Families that it does not name become absent, which can be seen.
        Action::Put { cells, .. } => cells.len() == families.len(),
        Action::Delete { .. } | Action::Inconsistent { .. } | Action::Wipe => false,
    }
}
