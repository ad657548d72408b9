//! What can go wrong on disk, told in one line that an operator can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What the caller has to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bytes on disk are not the bytes that were written.
    Damaged,
    /// The operating system refused: no space, no permission, a failing device.
    Io,
    /// Another process works on the same folder.
    InUse,
    /// Written by a newer version, in a format that this one does not know.
    WrongFormat,
}

/// The thing on disk that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The storage folder itself, with its lock.
    Folder,
    /// The `IDENTITY` file.
    Identity,
    /// The Raft log: entries, vote and purge marker.
    RaftLog,
    /// The high-water mark that the Raft log is compared with.
    HighWater,
    /// The state database.
    State,
    /// A snapshot file.
    Snapshot,
    /// The `WITNESS` file.
    Witness,
}

/// What was being done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Opening or creating.
    Open,
    /// Reading and checking.
    Read,
    /// Writing.
    Write,
    /// Waiting until it is durable.
    Sync,
}

/// A failure of the storage layer. It is fatal to whatever was being done; nothing retries it.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.line())]
pub(crate) struct Error {
    /// How it is to be treated.
    pub(crate) kind: Kind,
    /// What it is about.
    pub(crate) subject: Subject,
    /// What was being done.
    pub(crate) verb: Verb,
    /// Where.
    pub(crate) path: PathBuf,
    /// What was found there.
    pub(crate) detail: String,
}

impl Error {
    /// The bytes at `path` cannot be trusted.
    pub(crate) fn damaged(subject: Subject, path: &Path, detail: impl fmt::Display) -> Error {
        Error::new(Kind::Damaged, subject, Verb::Read, path, detail)
    }

    /// The operating system refused.
    pub(crate) fn io(subject: Subject, verb: Verb, path: &Path, cause: &io::Error) -> Error {
        Error::new(Kind::Io, subject, verb, path, cause)
    }

    /// An error of any kind.
    pub(crate) fn new(
        kind: Kind,
        subject: Subject,
        verb: Verb,
        path: &Path,
        detail: impl fmt::Display,
    ) -> Error {
        Error { kind, subject, verb, path: path.to_path_buf(), detail: one_line(detail) }
    }

    fn line(&self) -> String {
        let (verb, subject) = (self.verb, self.subject);
        let (path, detail, advice) = (self.path.display(), &self.detail, self.advice());
        match self.kind {
            Kind::Damaged => format!("{subject} is damaged: {path}: {detail}; {advice}"),
            Kind::Io => format!("cannot {verb} {subject}: {path}: {detail}; {advice}"),
            Kind::InUse => format!("{subject} is in use: {path}: {detail}; {advice}"),
            Kind::WrongFormat => {
                format!("{subject} has an unknown format: {path}: {detail}; {advice}")
            }
        }
    }

    fn advice(&self) -> &'static str {
        match (self.kind, self.subject) {
            (Kind::Damaged, Subject::State) => "it is rebuilt from the newest snapshot and the log",
            (Kind::Damaged, Subject::Snapshot) => "an older snapshot is used if there is one",
            (Kind::Damaged, _) => {
                "nothing was changed: restore the storage folder from a backup, or move it away \
                 (and keep it) to start empty"
            }
            (Kind::Io, _) => "check the disk, its free space and its permissions, then start again",
            (Kind::InUse, _) => "stop the other process or use another storage folder",
            (Kind::WrongFormat, _) => "start the version that wrote it or a newer one",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Subject::Folder => "the storage folder",
            Subject::Identity => "the identity of this replica",
            Subject::RaftLog => "the raft log",
            Subject::HighWater => "the high-water mark of the raft log",
            Subject::State => "the state database",
            Subject::Snapshot => "a snapshot",
            Subject::Witness => "what is known of the other replicas",
        })
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Verb::Open => "open",
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Sync => "sync",
        })
    }
}

/// Folds line breaks: the texts of the engines may have some, a log line must not.
fn one_line(text: impl fmt::Display) -> String {
    let text = text.to_string();
    if !text.contains(['\n', '\r']) {
        return text;
    }
    text.split(['\n', '\r']).map(str::trim).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_where_and_what_to_do() {
        let damaged =
            Error::damaged(Subject::HighWater, Path::new("/d/high-water"), "both\n slots");
        assert_eq!(
            damaged.to_string(),
            "the high-water mark of the raft log is damaged: /d/high-water: both slots; nothing \
             was changed: restore the storage folder from a backup, or move it away (and keep it) \
             to start empty"
        );
        let full = io::Error::from_raw_os_error(28);
        let io = Error::io(Subject::RaftLog, Verb::Sync, Path::new("/d"), &full).to_string();
        assert!(io.starts_with("cannot sync the raft log: /d: No space left on device"), "{io}");
        assert!(!io.contains('\n'));
    }
}
