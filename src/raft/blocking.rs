//! Work that waits for a disk. Other tasks must not wait for it meanwhile.
//!
//! On a runtime of a single thread, which only tests have, it is done at once and in place: there
//! time stands still until it is done, and the order of everything follows from a seed.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

fn has_threads() -> bool {
    Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
}

/// Does short work, while other tasks move to another thread.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    if has_threads() { tokio::task::block_in_place(work) } else { work() }
}

/// Does long work on a thread of its own. An error means that it panicked.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if has_threads() {
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
    } else {
        Ok(work())
    }
}
