//! What can be wrong with the packets that a replica sends to the others.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Shape {
    pub(crate) delay_ms: u64,
    /// More or less than the delay, by chance; that also changes the order.
    pub(crate) jitter_ms: u64,
    pub(crate) loss_percent: u64,
    /// Packets that are held back until others have passed.
    pub(crate) reorder_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) kilobits: Option<u64>,
    /// One byte of each packet that begins a snapshot file is another one.
    pub(crate) corrupt_snapshots: bool,
}

impl Shape {
    /// Whether packets go through user space.
    pub(crate) fn needs_queue(&self) -> bool {
        self.delay_ms > 0
            || self.jitter_ms > 0
            || self.loss_percent > 0
            || self.reorder_percent > 0
            || self.corrupt_snapshots
    }
}
