//! What a push would do, worked out before anything is changed.

use std::sync::Arc;

use crate::group::examine::{Examined, examine};
use crate::group::family::Families;
use crate::group::hash::{Hashes, SeriesHasher};
use crate::group::key::GroupingKey;
use crate::group::mutation::{PushMode, PushedFamily};
use crate::group::stored::{Group, StoredFamily, family_bytes};
use crate::group::times::{TIME_FAMILIES, is_time_family, time_bytes};
use crate::pb::client::MetricType;

/// A push, held against the group that it changes.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) key: &'a GroupingKey,
    /// The group as it is, if there is one.
    pub(crate) group: Option<Arc<Group>>,
    /// What is to be stored, sorted by name.
    pub(crate) pushed: Vec<Planned<'a>>,
    /// What goes without being replaced, sorted by name.
    pub(crate) removed: Vec<Arc<StoredFamily>>,
}

/// One family of a push.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) family: &'a PushedFamily,
    /// The group's present family of this name.
    pub(crate) replaced: Option<Arc<StoredFamily>>,
    pub(crate) examined: Examined,
    /// The type that the name has in other groups, if it is there.
    pub(crate) kind_of_others: Option<MetricType>,
    /// Name and help as they are stored already, to be shared.
    pub(crate) texts: Option<(Arc<str>, Arc<str>)>,
    /// Makes the fingerprints of its series.
    pub(crate) series: SeriesHasher,
}

impl<'a> Plan<'a> {
    /// None: the push is not what [`crate::group::sanitize`] makes. It must not be stored.
    pub(crate) fn new(
        hashes: &Hashes,
        stored: &Families,
        group: Option<Arc<Group>>,
        key: &'a GroupingKey,
        mode: PushMode,
        families: &'a [PushedFamily],
    ) -> Option<Self> {
        if !families.is_sorted_by(|a, b| a.name < b.name) {
            return None;
        }
        let pushed = families
            .iter()
            .map(|family| Planned::new(hashes, stored, group.as_deref(), family))
            .collect::<Option<Vec<_>>>()?;
        let is_pushed = |name: &str| families.binary_search_by(|f| (*f.name).cmp(name)).is_ok();
        let removed = match (mode, &group) {
            (PushMode::Replace, Some(group)) => group
                .families
                .iter()
                .filter(|old| !is_time_family(&old.name) && !is_pushed(&old.name))
                .map(Arc::clone)
                .collect(),
            _ => Vec::new(),
        };
        Some(Plan { key, group, pushed, removed })
    }

    /// The pushed family with this name.
    pub(crate) fn pushed(&self, name: &str) -> Option<&Planned<'a>> {
        let at = self.pushed.binary_search_by(|p| (*p.family.name).cmp(name)).ok()?;
        self.pushed.get(at)
    }

    /// Whether the group has a family of this name which this push removes or replaces.
    pub(crate) fn displaces(&self, name: &str) -> bool {
        self.pushed(name).is_some_and(|pushed| pushed.replaced.is_some())
            || self.removed.binary_search_by(|old| (*old.name).cmp(name)).is_ok()
    }

    /// What the push adds to the state and takes away.
    pub(crate) fn growth(&self) -> Growth {
        let mut growth = match self.group {
            Some(_) => Growth::default(),
            None => Growth::of_new_group(self.key),
        };
        for pushed in &self.pushed {
            let PushedFamily { name, help, metrics, .. } = pushed.family;
            growth.series.added += u64::from(pushed.examined.series);
            growth.bytes.added += family_bytes(name, help, metrics.len());
        }
        let replaced = self.pushed.iter().filter_map(|p| p.replaced.as_ref());
        for old in replaced.chain(&self.removed) {
            growth.series.gone += u64::from(old.series);
            growth.bytes.gone += old.state_bytes();
        }
        growth
    }
}

/// What a change does to the size of the state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    pub(crate) groups: Delta,
    pub(crate) series: Delta,
    pub(crate) bytes: Delta,
}

/// How much comes, and how much goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delta {
    pub(crate) added: u64,
    pub(crate) gone: u64,
}

impl Growth {
    /// A group without families but those of push times.
    pub(crate) fn of_new_group(key: &GroupingKey) -> Growth {
        let added = |added| Delta { added, gone: 0 };
        Growth {
            groups: added(1),
            series: added(TIME_FAMILIES.len() as u64),
            bytes: added(time_bytes(key)),
        }
    }
}

impl<'a> Planned<'a> {
    /// Name and help: the stored copies where they are the same. Most groups have the same families
    /// with the same help.
    pub(crate) fn shared_texts(&self) -> (Arc<str>, Arc<str>) {
        let Some((name, help)) = &self.texts else {
            return (Arc::from(&*self.family.name), Arc::from(&*self.family.help));
        };
        let same = **help == *self.family.help;
        let help = if same { Arc::clone(help) } else { Arc::from(&*self.family.help) };
        (Arc::clone(name), help)
    }

    fn new(
        hashes: &Hashes,
        stored: &Families,
        group: Option<&Group>,
        family: &'a PushedFamily,
    ) -> Option<Self> {
        if family.name.is_empty() || is_time_family(&family.name) {
            return None;
        }
        let replaced = group.and_then(|group| group.family(&family.name)).map(Arc::clone);
        let series = hashes.series(&family.name);
        let examined =
            examine(&family.name, family.kind, &family.metrics, &series, replaced.as_deref())?;
        let entry = stored.get(&family.name);
        let of_group = usize::from(replaced.is_some());
        let kind_of_others = entry.filter(|entry| entry.members.len() > of_group).map(|e| e.kind);
        let texts = entry.and_then(|entry| {
            let first = || entry.members.iter().next().map(|first| &first.family);
            let sample = replaced.as_ref().or_else(first)?;
            Some((Arc::clone(&entry.name), Arc::clone(&sample.help)))
        });
        Some(Planned { family, replaced, examined, kind_of_others, texts, series })
    }
}
