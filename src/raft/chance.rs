//! The ids that are drawn by lot.

use rand::distr::{Distribution, StandardUniform};

/// A random value; in the simulator one that follows from the seed.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(test)]
    if let Some(mut rng) = super::tests::sim::chance::seeded() {
        return rand::RngExt::random(&mut rng);
    }
    rand::random()
}
