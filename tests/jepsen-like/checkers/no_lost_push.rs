//! No acknowledged push is lost: the reads after the end show it at every replica, unless something
//! that did not surely come before it can have replaced or removed it. Trusts no headers.

use super::case::{Case, Read};
use super::{Finding, model};
use crate::history::{Action, Family, Group, Request};

pub(super) const NAME: &str = "no_lost_push";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let reads: Vec<&Read<'_>> = case.last_reads().collect();
    if reads.is_empty() {
        return Finding::Undecided("no replica was read after the end".to_owned());
    }
    let mut lost = Lost::default();
    for group in case.groups() {
        let changes = case.changes(group);
        for family in model::families(&changes) {
            let register = Register::of(&changes, family);
            for read in &reads {
                if let Some(text) = register.contradicts(case, group, family, read) {
                    lost.add(text);
                }
            }
        }
    }
    lost.finding()
}

#[derive(Default)]
struct Lost {
    count: usize,
    first: String,
}

impl Lost {
    fn add(&mut self, text: String) {
        if self.count == 0 {
            self.first = text;
        }
        self.count += 1;
    }

    fn finding(self) -> Finding {
        match self.count {
            0 => Finding::Pass,
            count => Finding::Fail(format!("{count} times; {}", self.first)),
        }
    }
}

/// What is known of one family of one group.
struct Register<'a> {
    /// Of the acknowledged changes to it, the one that was called last.
    newest: Option<&'a Request<'a>>,
    /// Until when something that removes it was under way at the latest.
    removed: u64,
}

impl<'a> Register<'a> {
    fn of(changes: &[&'a Request<'a>], family: &Family) -> Register<'a> {
        let mut register = Register { newest: None, removed: 0 };
        for request in changes {
            let (sets, removes) = effect(request.action(), family);
            if removes {
                register.removed = register.removed.max(request.returned);
            }
            let newer = register.newest.is_none_or(|newest| newest.called < request.called);
            if (sets || removes) && request.index().is_some() && newer {
                register.newest = Some(request);
            }
        }
        register
    }

    /// Why the read cannot be what is left in the end.
    fn contradicts(
        &self,
        case: &Case<'_>,
        group: &Group,
        family: &Family,
        read: &Read<'_>,
    ) -> Option<String> {
        let newest = self.newest?;
        let cell = read.state(group).and_then(|cells| cells.get(family));
        let (until, shows) = match cell {
            None => (self.removed, "nothing".to_owned()),
            // A value that nobody pushed is another checker's find.
            Some(cell) => {
                let writer = case.writer(cell.value)?;
                (writer.returned, writer.op.name())
            }
        };
        (until < newest.called).then(|| {
            let (at, kept) = (&read.op.replica, newest.op.name());
            format!("{at} shows for {group} {family}: {shows}; but later: {kept}")
        })
    }
}

/// Whether a change gives the family a value, and whether it takes the value away.
fn effect(action: &Action, family: &Family) -> (bool, bool) {
    match action {
        Action::Put { cells, .. } => (cells.contains_key(family), !cells.contains_key(family)),
        Action::Post { cells, .. } => (cells.contains_key(family), false),
        Action::Delete { .. } | Action::Wipe => (false, true),
        Action::Inconsistent { .. } | Action::Scrape => (false, false),
    }
}
