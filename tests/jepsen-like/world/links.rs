//! The network of a run: what is cut, spoilt and reset at the moment, and in whose name.

use std::collections::BTreeSet;

use super::World;
use crate::place::Cut;
use crate::place::shape::Shape;
use crate::replica::Holder;

impl World {
    /// Cuts this for `holder`.
    pub(crate) fn cut(&mut self, holder: Holder, cuts: Vec<Cut>) -> Result<(), String> {
        self.cuts.insert(holder, cuts);
        self.apply_cuts()
    }

    /// What `holder` cut has held back; then it is mended.
    pub(crate) fn mend(&mut self, holder: Holder) {
        if self.cuts.remove(&holder).is_some() {
            self.apply_cuts().unwrap();
        }
    }

    pub(crate) fn held_back(&self, holder: Holder) -> u64 {
        self.cuts.get(&holder).map_or(0, |cuts| self.place.held_back(cuts))
    }

    pub(super) fn apply_cuts(&mut self) -> Result<(), String> {
        let all: BTreeSet<Cut> = self.cuts.values().flatten().copied().collect();
        self.place.cut(&all.into_iter().collect::<Vec<_>>())
    }

    /// Spoils what a replica sends, in place of what spoilt it before.
    pub(crate) fn shape(
        &mut self,
        holder: Holder,
        number: usize,
        shape: Shape,
    ) -> Result<(), String> {
        self.place.shape(number, Some(&shape))?;
        self.shapes.insert((holder, number), shape);
        Ok(())
    }

    pub(crate) fn unshape(&mut self, holder: Holder, number: usize) {
        if self.shapes.remove(&(holder, number)).is_some() {
            let mut others = self.shapes.iter().filter(|((_, other), _)| *other == number);
            let other = others.next().map(|(_, shape)| *shape);
            self.place.shape(number, other.as_ref()).unwrap();
        }
    }

    /// Has a replica answer the others with resets, or ends that for `holder`.
    pub(crate) fn reset(&mut self, holder: Holder, number: usize, on: bool) -> Result<(), String> {
        let any = |resets: &BTreeSet<(usize, Holder)>| resets.iter().any(|(at, _)| *at == number);
        let before = any(&self.resets);
        if on {
            self.resets.insert((number, holder));
        } else {
            self.resets.remove(&(number, holder));
        }
        let now = any(&self.resets);
        if now == before { Ok(()) } else { self.place.reset(number, now) }
    }
}
