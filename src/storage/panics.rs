//! Panics inside an engine that are answered instead of ending the process.
//!
//! The process ends on any panic (its hook logs and aborts). The exceptions are sections in which a
//! damaged file can make an engine panic although nothing is lost by it; they run inside
//! [`catching`], and the hook asks [`tolerating_panics`] on the thread that panicked.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

static SLED: AtomicUsize = AtomicUsize::new(0);
static RAFT_ENGINE: AtomicUsize = AtomicUsize::new(0);

/// What sled's threads are called, all of them.
const SLED_THREADS: &str = "sled-";

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Whose panics are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Only those of the calling thread.
    Thread,
    /// Those of the calling thread and of sled's own.
    Sled,
    /// Those of the calling thread and of the threads without a name on which raft-engine reads its
    /// files. Only for the start of the process; all other threads of ours have names.
    RaftEngine,
}

impl Scope {
    /// How often its other threads are answered for at the moment.
    fn others(self) -> Option<&'static AtomicUsize> {
        match self {
            Scope::Thread => None,
            Scope::Sled => Some(&SLED),
            Scope::RaftEngine => Some(&RAFT_ENGINE),
        }
    }
}

/// Whether a panic on the calling thread is expected and answered, so that a panic hook must not
/// end the process for it.
pub(crate) fn tolerating_panics() -> bool {
    let others = match std::thread::current().name() {
        None => &RAFT_ENGINE,
        Some(name) if name.starts_with(SLED_THREADS) => &SLED,
        Some(_) => return THREAD.get() > 0,
    };
    THREAD.get() > 0 || others.load(Ordering::SeqCst) > 0
}

/// Runs `work`; a panic inside it comes back as its message.
pub(super) fn catching<T>(scope: Scope, work: impl FnOnce() -> T) -> Result<T, String> {
    let _guard = Guard::enter(scope);
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(payload.as_ref()))
}

/// What a panic said.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panicked").to_owned()
}

struct Guard(Scope);

impl Guard {
    fn enter(scope: Scope) -> Guard {
        THREAD.set(THREAD.get() + 1);
        if let Some(others) = scope.others() {
            others.fetch_add(1, Ordering::SeqCst);
        }
        Guard(scope)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        THREAD.set(THREAD.get() - 1);
        if let Some(others) = self.0.others() {
            others.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_its_message() {
        assert_eq!(catching(Scope::Thread, || 1), Ok(1));
        let inside = catching(Scope::Thread, tolerating_panics);
        assert_eq!(inside, Ok(true));
        let caught = catching(Scope::Thread, || panic!("page {} is gone", 7));
        assert_eq!(caught, Err::<(), _>("page 7 is gone".to_owned()));
        assert_eq!(THREAD.get(), 0);
    }

    /// Asks on a thread of that name, or of none.
    fn tolerated_on(name: Option<&str>) -> bool {
        let thread = std::thread::Builder::new();
        let thread = name.iter().fold(thread, |thread, name| thread.name((*name).to_owned()));
        thread.spawn(tolerating_panics).unwrap().join().unwrap()
    }

    #[test]
    fn only_threads_of_the_engine_at_work_may_panic() {
        let ours = [Some("state-db"), Some("raft-log"), Some("tokio-rt-worker"), Some("main")];
        for scope in [Scope::Thread, Scope::Sled, Scope::RaftEngine] {
            catching(scope, || {
                assert!(tolerating_panics());
                for name in ours {
                    assert!(!tolerated_on(name), "{scope:?} {name:?}");
                }
                // Other tests may be opening an engine at this moment, so only what must be is asked.
                assert!(scope != Scope::Sled || tolerated_on(Some("sled-io-3")));
                assert!(scope != Scope::RaftEngine || tolerated_on(None));
            })
            .unwrap();
        }
        assert!(!tolerating_panics());
    }

    #[test]
    fn the_threads_of_sled_have_the_name_that_is_looked_for() {
        let names = || -> Vec<String> {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let name = |task: std::io::Result<std::fs::DirEntry>| {
                std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
            };
            tasks.filter_map(name).collect()
        };
        let dir = tempfile::tempdir().unwrap();
        let db = sled::Config::new().path(dir.path()).flush_every_ms(None).open().unwrap();
        db.insert(b"k", vec![1; 3_000_000]).unwrap();
        db.flush().unwrap();
        assert!(names().iter().any(|name| name.starts_with(SLED_THREADS)), "{:?}", names());
    }
}
