//! A measured quantity: the median of a few repetitions.

use serde_json::{Value, json};

/// What the repetitions measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    repetitions: Vec<f64>,
}

impl Figure {
    /// Adds one repetition.
    pub(crate) fn add(&mut self, value: f64) {
        self.repetitions.push(value);
    }

    /// The middle repetition, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.repetitions.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[upper - 1], sorted[upper])
        } else {
            sorted[upper]
        }
    }

    /// The same quantity in another unit.
    pub(crate) fn scaled(&self, factor: f64) -> Figure {
        self.repetitions.iter().map(|value| value * factor).collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "median": self.median(), "repetitions": self.repetitions })
    }
}

impl FromIterator<f64> for Figure {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Figure { repetitions: values.into_iter().collect() }
    }
}
