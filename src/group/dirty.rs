//! Which items changed since they were last taken for writing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::group::items::{
    family_key, family_value, group_key, group_value, meta_item, recent_key, recent_value,
};
use crate::group::key::GroupingKey;
use crate::group::view::View;

/// Names of changed items. Changing one twice takes no more room than once.
#[derive(Debug, Clone, Default)]
pub(crate) struct DirtyNames {
    groups: BTreeMap<Arc<GroupingKey>, BTreeSet<Arc<str>>>,
    recent: BTreeSet<u64>,
}

impl DirtyNames {
    /// Notes a change of the group and returns where to note its families.
    pub(crate) fn group(&mut self, key: &Arc<GroupingKey>) -> &mut BTreeSet<Arc<str>> {
        self.groups.entry(Arc::clone(key)).or_default()
    }

    pub(crate) fn recent(&mut self, index: u64) {
        self.recent.insert(index);
    }
}

/// The items that changed, not encoded yet: so taking them holds up nobody.
#[derive(Debug)]
pub struct Dirty {
    names: DirtyNames,
    now: View,
}

impl Dirty {
    pub(crate) fn new(names: DirtyNames, now: View) -> Self {
        Dirty { names, now }
    }

    /// Keys and values of the changed items, None for an item that is gone. The last one, always
    /// there, is the item about the state as a whole.
    pub fn into_items(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut items = Vec::new();
        for (key, names) in &self.names.groups {
            let group = self.now.group(key);
            items.push((group_key(key), group.map(group_value)));
            for name in names {
                let family = group.and_then(|group| group.family(name));
                items.push((family_key(key, name), family.map(|family| family_value(family))));
            }
        }
        for index in &self.names.recent {
            let recent = self.now.recent().get(index);
            items.push((recent_key(*index), recent.map(|recent| recent_value(recent))));
        }
        let meta = meta_item(self.now.totals());
        items.push((meta.key.into(), Some(meta.value.into())));
        items
    }
}
