//! The timing loop.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::common::Effort;
use crate::common::figure::Figure;

/// Repetitions of each measurement; one more before them is not counted.
const REPETITIONS: usize = 5;

/// How long something takes. What has to be made ready for it is left out.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    let made = black_box(work());
    let taken = begun.elapsed();
    drop(made);
    taken
}

/// Seconds that one call takes, as `iteration` tells them.
pub(crate) fn measure(effort: Effort, mut iteration: impl FnMut() -> Duration) -> Figure {
    let repetition = Duration::from_millis(effort.pick(10, 300));
    let mut figure = Figure::default();
    for at in 0..=REPETITIONS {
        let begun = Instant::now();
        let mut taken = Duration::ZERO;
        let mut count = 0.0;
        while count < 2.0 || begun.elapsed() < repetition {
            taken += iteration();
            count += 1.0;
        }
        if at > 0 {
            figure.add(taken.as_secs_f64() / count);
        }
    }
    figure
}
