//! The places in the code at which a binary with the feature `trials` can be made to crash.

/// Whether this binary has them.
pub(crate) const KNOWN: bool = cfg!(feature = "trials");

/// What a machine lacks that has a binary without them.
pub(crate) const FEATURE: &str = "a binary with the feature `trials`";

/// A place, and whether only a replica with an empty disk comes there.
pub(crate) const ALL: &[(&str, bool)] = &[
    ("snapshot-build", false),
    ("log-fsync-before", false),
    ("snapshot-rename-before", false),
    ("snapshot-install-before", true),
    ("purge-before", false),
    ("log-fsync-after", false),
    ("snapshot-rename-after", false),
    ("snapshot-install-after", true),
    ("purge-after", false),
    ("membership-apply", true),
    ("log-append-before", false),
    ("log-append-after", false),
    ("vote-save-before", false),
    ("vote-save-after", false),
    ("apply-before", false),
    ("apply-after", false),
    ("respond", false),
    ("forward-before", false),
    ("forward-after", false),
    ("identity-write-before", true),
    ("identity-write-after", true),
];

/// Places to which replicas come when they form their cluster.
pub(crate) const FIRST: &[&str] = &[
    "initialize-before",
    "initialize-after",
    "identity-write-before",
    "identity-write-after",
    "log-append-before",
    "log-fsync-before",
    "log-fsync-after",
    "vote-save-before",
    "vote-save-after",
    "membership-apply",
];
