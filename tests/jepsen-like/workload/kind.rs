//! The kinds of load, each made to show one sort of mistake.

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// W1: PUTs of unique values to five hot groups, and scrapes.
    Puts,
    /// W2: PUT, POST and DELETE of two families.
    Mix,
    /// W3: many groups, each pushed once and never deleted: counts losses.
    Set,
    /// W4: bodies of one to five megabytes.
    Large,
    /// W5: pushes that contradict themselves, and good ones.
    Inconsistent,
    /// W6: requests that are repeated with the same key through other replicas.
    Retries,
    /// W7: mostly scrapes, so that a new leader has nothing new to commit.
    Reads,
    /// W8: ten thousand groups that come and go.
    Churn,
}

/// Number, kind, word.
const NAMES: [(&str, Kind, &str); 8] = [
    ("W1", Kind::Puts, "puts"),
    ("W2", Kind::Mix, "mix"),
    ("W3", Kind::Set, "set"),
    ("W4", Kind::Large, "large"),
    ("W5", Kind::Inconsistent, "inconsistent"),
    ("W6", Kind::Retries, "retries"),
    ("W7", Kind::Reads, "reads"),
    ("W8", Kind::Churn, "churn"),
];

impl Kind {
    /// All kinds, in order.
    pub(crate) fn all() -> impl Iterator<Item = Kind> {
        NAMES.iter().map(|(_, kind, _)| *kind)
    }

    /// The kind of that number or word, such as `W6` or `retries`.
    pub(crate) fn from_name(name: &str) -> Option<Kind> {
        let meant = |(number, _, word): &&(&str, Kind, &str)| {
            number.eq_ignore_ascii_case(name) || *word == name
        };
        NAMES.iter().find(meant).map(|(_, kind, _)| *kind)
    }

    /// Its word.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind, _)| *kind == self).map_or("", |(_, _, word)| word)
    }
}
