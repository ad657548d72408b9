//! A replica that joins by an entry which is lost before a quorum has it on disk.

use std::time::Duration;

use super::world::{NODES, World};
use super::{FORMING, is_whole, simulated, until};
use crate::storage::power::Cut;

/// How much longer each sync of the voters' disks takes: long enough for the one that joins to have
/// the entry before them.
const STALL: Duration = Duration::from_millis(700);
/// When the power fails after it was started, how far apart that is tried, and until when.
const MOMENTS_MS: (u64, usize, u64) = (50, 50, 1500);
/// How long nobody takes the place of one with its name, which may be alive.
const AWAY: Duration = Duration::from_millis(2500);
/// Who loses its disk and joins anew.
const JOINS: usize = 2;

/// Found by chance: it took itself for a member, and waited for ever for a leader that did not know
/// it any more.
#[test]
fn who_joined_by_an_entry_that_was_lost_joins_again() {
    let (from, step, to) = MOMENTS_MS;
    for moment in (from..to).step_by(step) {
        let at = Duration::from_millis(moment);
        if let Err(failure) = simulated(moment, |world| lost_at(world, at)) {
            panic!("power cut after {at:?}:\n{}", failure.report());
        }
    }
}

async fn lost_at(world: World, at: Duration) -> Result<(), Vec<String>> {
    (0..NODES).for_each(|index| world.start(index));
    until(&world, FORMING, "to form a cluster", || is_whole(&world)).await;
    world.end_process(JOINS, Cut::Killed);
    world.wipe(JOINS);
    tokio::time::sleep(AWAY).await;
    let voters = || (0..NODES).filter(|index| *index != JOINS);
    voters().for_each(|index| world.nodes()[index].pace.stall(STALL));
    world.start(JOINS);
    tokio::time::sleep(at).await;
    voters().for_each(|index| world.end_process(index, Cut::LosesAll));
    until(&world, FORMING, "to be whole after a power cut", || {
        world.calm_down();
        is_whole(&world)
    })
    .await;
    if world.is_broken() { Err(world.all_broken()) } else { Ok(()) }
}
