//! A leader whose disk gets full gives the lead to a voter that has room, so that one full disk of
//! three does not end the pushes of all.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::disk_space::DiskSpace;
use super::members::Members;

const INTERVAL: Duration = Duration::from_millis(100);
/// Pause after an attempt, whether or not it succeeded.
const PAUSE: Duration = Duration::from_secs(5);

/// Starts to care for it.
pub(crate) fn start(members: Members, disk: Arc<DiskSpace>) -> AbortHandle {
    tokio::spawn(run(members, disk)).abort_handle()
}

async fn run(members: Members, disk: Arc<DiskSpace>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !disk.is_short() {
            continue;
        }
        let Some(successor) = members.successor_with_room() else { continue };
        tracing::warn!(free = disk.free(), "the disk gets full: the lead goes to another replica");
        if let Err(refused) = members.hand_over_to(successor).await {
            tracing::warn!(err = %refused, "the lead was not handed over");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
