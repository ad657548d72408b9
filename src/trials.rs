//! Deliberate mistakes, and places to fail at, for the tests that must notice them.
//!
//! Only a build with the feature `trials` has any of it; in all others `bug` is false and `at` is
//! nothing, and the compiler leaves both out. One mistake is chosen by the environment,
//! `QUORUMGATE_BUG=local-read`. Places are chosen as the crate `fail` has it,
//! `FAILPOINTS='log-fsync-before=1%panic;purge=sleep(50)'`: `panic` ends the process at once, as
//! every panic does, `sleep` holds up the thread, `return` makes the operation fail. raft-engine has
//! places of its own, such as `log_fd::sync::err`.
//!
//! Never: a build with this feature is not for any data that anybody wants to keep.

use std::io;

macro_rules! named {
    ($(#[$about:meta])* $type:ident: $($(#[$what:meta])* $variant:ident = $name:literal,)+) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type {
            $($(#[$what])* $variant,)+
        }

        #[cfg(any(feature = "trials", test))]
        impl $type {
            /// All of them, each with what the environment calls it.
            pub(crate) const ALL: &[($type, &str)] = &[$(($type::$variant, $name)),+];

            /// What the environment calls it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)+
                }
            }
        }
    };
}

named! {
    /// A mistake that a suite of tests has to notice.
    Bug:
    /// A scrape shows what this replica has, without asking for a read index.
    LocalRead = "local-read",
    /// The log says that entries are durable before it writes them.
    AckBeforeFsync = "ack-before-fsync",
    /// What is flushed is flushed as sled does it: handed to the system, not to the disk. That goes
    /// for the log and its mark as well, since here the log and not sled holds what was acknowledged.
    BareSledFlush = "bare-sled-flush",
    /// The vote is kept in memory only.
    VoteNotStored = "vote-not-stored",
    /// A repeated request takes effect again.
    NoDedupe = "no-dedupe",
    /// Applying an entry stamps it with this replica's clock.
    ApplyLocalTime = "apply-local-time",
    /// A scrape shows the groups of a family in an order that differs from process to process.
    HashOrder = "hash-order",
    /// A snapshot leaves out the failure times and the remembered requests.
    SnapshotForgets = "snapshot-forgets",
    /// A leader tells how far a read must see without asking a quorum whether it still leads.
    LeaseRead = "lease-read",
    /// The node id follows from the name, so that a new disk is taken for the old one, and nobody is
    /// asked what the disk should hold.
    WipedNodeVotes = "wiped-node-votes",
    /// A failed fsync of the log is taken for a successful one.
    FsyncErrorIgnored = "fsync-error-ignored",
    /// The log is purged up to a snapshot that is on its way to the disk, as is the state database.
    PurgeBeforeSnapshot = "purge-before-snapshot",
}

named! {
    /// A place at which a test can have the process end, wait or fail.
    Place:
    /// Raft appends entries; nothing of it has happened yet.
    LogAppendBefore = "log-append-before",
    /// Entries are readable and wait for the log's thread.
    LogAppendAfter = "log-append-after",
    /// The log's thread is about to write and sync a batch.
    LogFsyncBefore = "log-fsync-before",
    /// A batch is durable, and nobody knows yet.
    LogFsyncAfter = "log-fsync-after",
    /// Raft is about to save a vote.
    VoteSaveBefore = "vote-save-before",
    /// A vote is durable, and nobody knows yet.
    VoteSaveAfter = "vote-save-after",
    /// A committed entry is about to be applied.
    ApplyBefore = "apply-before",
    /// An entry is applied.
    ApplyAfter = "apply-after",
    /// A membership is about to be applied.
    MembershipApply = "membership-apply",
    /// The outcome of an applied entry is about to be told to whoever waits for it.
    Respond = "respond",
    /// Changes are about to be sent to the leader.
    ForwardBefore = "forward-before",
    /// The leader has answered what was sent to it.
    ForwardAfter = "forward-after",
    /// A snapshot is about to be written.
    SnapshotBuild = "snapshot-build",
    /// A snapshot is complete and has no name yet.
    SnapshotRenameBefore = "snapshot-rename-before",
    /// A snapshot has its name, which is not durable yet.
    SnapshotRenameAfter = "snapshot-rename-after",
    /// A received snapshot is durable and about to replace the state.
    SnapshotInstallBefore = "snapshot-install-before",
    /// A received snapshot has replaced the state.
    SnapshotInstallAfter = "snapshot-install-after",
    /// The log is about to be purged.
    PurgeBefore = "purge-before",
    /// The log is purged, and its space is about to be given back.
    PurgeAfter = "purge-after",
    /// A new folder is about to get its identity.
    IdentityWriteBefore = "identity-write-before",
    /// A new folder has its identity.
    IdentityWriteAfter = "identity-write-after",
    /// A cluster is about to be begun.
    InitializeBefore = "initialize-before",
    /// A cluster has been begun.
    InitializeAfter = "initialize-after",
}

/// Whether this mistake is to be made.
#[cfg(not(feature = "trials"))]
#[inline]
pub(crate) const fn bug(_bug: Bug) -> bool {
    false
}

/// A place to fail at.
#[cfg(not(feature = "trials"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it fails")]
#[inline]
pub(crate) const fn at(_place: Place) -> io::Result<()> {
    Ok(())
}

/// The items in the order in which they are to be shown; with the mistake, an order of this process.
#[cfg(not(feature = "trials"))]
#[inline]
pub(crate) fn ordered<T, I: Iterator<Item = T>>(_: Bug, items: I, _mark: impl Fn(&T) -> u64) -> I {
    items
}

/// Reads what the environment asks for; an error if there is no such thing. What is to be said of it
/// in the log.
#[cfg(not(feature = "trials"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it fails")]
pub fn begin() -> Result<Option<String>, String> {
    Ok(None)
}

#[cfg(feature = "trials")]
pub use self::active::begin;
#[cfg(feature = "trials")]
pub(crate) use self::active::{at, bug, ordered};

#[cfg(feature = "trials")]
mod active {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::OnceLock;

    use super::{Bug, Place, io};

    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    static ORDER: OnceLock<RandomState> = OnceLock::new();

    const BUG: &str = "QUORUMGATE_BUG";
    const PLACES: &str = "FAILPOINTS";

    /// Whether this mistake is to be made.
    pub(crate) fn bug(bug: Bug) -> bool {
        let chosen = CHOSEN.get_or_init(|| std::env::var(BUG).ok());
        chosen.as_deref() == Some(bug.name())
    }

    /// A place to fail at.
    pub(crate) fn at(place: Place) -> io::Result<()> {
        fail::fail_point!(place.name(), |text: Option<String>| {
            let text = text.unwrap_or_else(|| format!("asked to fail at {}", place.name()));
            Err(io::Error::other(text))
        });
        Ok(())
    }

    /// The items in the order in which they are to be shown; with the mistake, an order of this
    /// process.
    pub(crate) fn ordered<T>(
        mistake: Bug,
        items: impl Iterator<Item = T>,
        mark: impl Fn(&T) -> u64,
    ) -> impl Iterator<Item = T> {
        let mut items: Vec<T> = items.collect();
        if bug(mistake) {
            let order = ORDER.get_or_init(RandomState::new);
            items.sort_by_cached_key(|item| order.hash_one(mark(item)));
        }
        items.into_iter()
    }

    /// Reads what the environment asks for; an error if there is no such thing. What is to be said
    /// of it in the log.
    pub fn begin() -> Result<Option<String>, String> {
        let bug = std::env::var(BUG).ok().filter(|asked| !asked.is_empty());
        let places = std::env::var(PLACES).ok().filter(|asked| !asked.is_empty());
        check(bug.as_deref(), places.as_deref())?;
        // What it hands out ends all of it when dropped.
        std::mem::forget(fail::FailScenario::setup());
        let asked = [(BUG, bug), (PLACES, places)];
        let asked =
            asked.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let asked: Vec<String> = asked.collect();
        Ok(Some(format!("this build is for tests only, it loses data when asked to: {asked:?}")))
    }

    /// A misspelt name would make a test prove nothing.
    pub(super) fn check(bug: Option<&str>, places: Option<&str>) -> Result<(), String> {
        if let Some(bug) = bug.filter(|bug| !Bug::ALL.iter().any(|(_, name)| name == bug)) {
            let names: Vec<&str> = Bug::ALL.iter().map(|(_, name)| *name).collect();
            return Err(format!("{BUG}={bug}: there is no such bug; there are {names:?}"));
        }
        for place in places.unwrap_or_default().split(';').filter(|place| !place.trim().is_empty())
        {
            let name = place.split('=').next().unwrap_or_default().trim();
            // raft-engine's own have two colons.
            if !name.contains("::") && !Place::ALL.iter().any(|(_, known)| *known == name) {
                let names: Vec<&str> = Place::ALL.iter().map(|(_, name)| *name).collect();
                return Err(format!("{PLACES}: there is no place {name:?}; there are {names:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        let bugs: Vec<&str> = Bug::ALL.iter().map(|(bug, _)| bug.name()).collect();
        let places: Vec<&str> = Place::ALL.iter().map(|(place, _)| place.name()).collect();
        assert_eq!(bugs.len(), 12);
        assert_eq!(bugs.iter().chain(&places).collect::<BTreeSet<_>>().len(), 12 + places.len());
        assert!(Bug::ALL.iter().all(|(bug, name)| bug.name() == *name));
    }

    /// The list in the document is the list that there is.
    #[test]
    fn the_document_names_all_of_them() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/testing.md");
        let text = std::fs::read_to_string(path).unwrap();
        let places = Place::ALL.iter().map(|(_, name)| *name);
        for name in Bug::ALL.iter().map(|(_, name)| *name).chain(places) {
            assert!(text.contains(&format!("`{name}`")), "docs/testing.md lacks {name}");
        }
    }

    #[cfg(not(feature = "trials"))]
    #[test]
    fn an_ordinary_build_has_none_of_it() {
        const { assert!(!bug(Bug::LocalRead)) };
        assert!(at(Place::Respond).is_ok());
        assert_eq!(begin(), Ok(None));
    }

    #[cfg(feature = "trials")]
    #[test]
    fn what_does_not_exist_is_refused() {
        use super::active::check;
        for (_, name) in Bug::ALL {
            assert_eq!(check(Some(name), None), Ok(()));
        }
        for (_, name) in Place::ALL {
            assert_eq!(check(None, Some(&format!("{name}=panic"))), Ok(()));
        }
        assert_eq!(check(None, Some("respond=sleep(1);log_fd::sync::err=return")), Ok(()));
        assert!(check(Some("local-reads"), None).unwrap_err().contains("no such bug"));
        assert!(check(None, Some("respond=off;responded=off")).unwrap_err().contains("responded"));
    }
}
