//! What the benchmarks of whole processes share: where they are, what they use, on what machine.

pub(crate) mod machine;
pub(crate) mod place;
pub(crate) mod request;
pub(crate) mod usage;
