//! A cluster that is being formed while a disk is slow and its power fails.

use std::time::Duration;

use super::world::{NODES, World};
use super::{FORMING, is_whole, simulated, until};
use crate::storage::power::Cut;

/// How much longer each sync of the slow disk takes: long enough for others to hear of what is not
/// on it yet.
const STALL: Duration = Duration::from_millis(700);
/// From when on the power may fail, how far apart it is tried, and until when: by then it has formed.
const MOMENTS_MS: (u64, usize, u64) = (50, 100, 2000);

/// Found by chance: a founder said that its cluster exists while its first entry was on its way to a
/// slow disk. Another replica joined, the power cut took the entry, and both waited for ever.
#[test]
fn a_power_cut_while_it_forms_leaves_one_that_forms_again() {
    let (from, step, to) = MOMENTS_MS;
    for slow in 0..NODES {
        for moment in (from..to).step_by(step) {
            let at = Duration::from_millis(moment);
            if let Err(failure) = simulated(moment, |world| cut_at(world, slow, at)) {
                panic!("replica {slow} slow, cut after {at:?}:\n{}", failure.report());
            }
        }
    }
}

async fn cut_at(world: World, slow: usize, at: Duration) -> Result<(), Vec<String>> {
    world.nodes()[slow].pace.stall(STALL);
    (0..NODES).for_each(|index| world.start(index));
    tokio::time::sleep(at).await;
    world.end_process(slow, Cut::LosesAll);
    until(&world, FORMING, "to form after a power cut", || {
        world.calm_down();
        is_whole(&world)
    })
    .await;
    if world.is_broken() { Err(world.all_broken()) } else { Ok(()) }
}
