//! The requests applied lately, so that a retry is answered instead of applied again.
//!
//! The window is counted in requests and in the time of the state, which all replicas share: the
//! last [`RECENT_REQUESTS_MIN`] whatever their age, and before them those of [`RECENT_SPAN`], up to
//! [`RECENT_REQUESTS_MAX`] in all. So a quiet replica pays for a short window, and a busy one covers
//! a retry until its deadline. Should a clock jump ahead, the count still stands.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::UnixNanos;
use crate::group::chunked::{Chunked, Entry};
use crate::group::hash::{Digest, Hashes};
use crate::group::mutation::{Outcome, RequestId};
use crate::group::refusal::shorten;
use crate::limits::{RECENT_REQUESTS_MAX, RECENT_REQUESTS_MIN, RECENT_SPAN};

/// Log indexes that a chunk holds.
const CHUNK_INDEXES: u64 = 32;
/// Bytes of a reason that are remembered. A retry that meets a refusal gets a shortened text rather
/// than the window growing with the length of refusals.
const REASON_BYTES_MAX: usize = 256;
/// Log indexes forgotten for their age by one entry: more than it adds, and not all that a busy
/// time has left at once.
const FORGOTTEN_AT_ONCE: usize = 2;

/// What one log entry did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecentIndex {
    pub(crate) index: u64,
    /// When, as the state counts time.
    pub(crate) at: UnixNanos,
    ids: Box<[RequestId]>,
    /// Which of them were rejected, in order, and why.
    rejected: Box<[(usize, Box<str>)]>,
    /// What it adds to the digest of the state.
    pub(crate) digest: Digest,
}

impl RecentIndex {
    /// `requests` with their outcomes as they are [`remembered`].
    pub(crate) fn new(
        hashes: &Hashes,
        index: u64,
        at: UnixNanos,
        requests: Vec<(RequestId, Outcome)>,
    ) -> Self {
        let digest = hashes.recent(index, at, &requests);
        let ids = requests.iter().map(|(id, _)| *id).collect();
        let reason = |(place, (_, outcome)): (usize, (RequestId, Outcome))| match outcome {
            Outcome::Rejected(reason) => Some((place, reason.into_boxed_str())),
            Outcome::Applied | Outcome::OverLimit(_) => None,
        };
        let rejected = requests.into_iter().enumerate().filter_map(reason).collect();
        RecentIndex { index, at, ids, rejected, digest }
    }

    /// The requests in order, each with the reason if it was rejected.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&RequestId, Option<&str>)> {
        self.ids.iter().enumerate().map(|(place, id)| (id, self.reason(place)))
    }

    fn reason(&self, place: usize) -> Option<&str> {
        let at = self.rejected.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.rejected.get(at).map(|(_, reason)| &**reason)
    }

    fn outcome(&self, id: RequestId) -> Option<Outcome> {
        let place = self.ids.iter().position(|other| *other == id)?;
        let rejected = self.reason(place).map(|reason| Outcome::Rejected(reason.to_owned()));
        Some(rejected.unwrap_or(Outcome::Applied))
    }
}

impl Entry for Arc<RecentIndex> {
    type Key = u64;
    type Cache = ();

    fn key(&self) -> &u64 {
        &self.index
    }

    fn opens_chunk(&self) -> bool {
        self.index.is_multiple_of(CHUNK_INDEXES)
    }

    fn fills_chunk(&self) -> bool {
        false
    }
}

/// At which log index a request was applied. The request stands there; here is only its keyed hash,
/// which spreads ids evenly, whoever chose them. Should two ids ever share a hash, the older request
/// is forgotten early, and on all replicas alike.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u64,
    index: u64,
}

/// The window of remembered requests: whole log indexes, the oldest forgotten first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    by_index: Chunked<Arc<RecentIndex>>,
    /// Where each request is found. Never iterated.
    known: HashTable<Known>,
}

impl Recent {
    /// What is remembered, by log index.
    pub(crate) fn by_index(&self) -> &Chunked<Arc<RecentIndex>> {
        &self.by_index
    }

    /// What became of a request, which may be one of those that the entry being applied, the one
    /// at `index`, has done so far.
    pub(crate) fn find(
        &self,
        hashes: &Hashes,
        id: RequestId,
        (index, so_far): (u64, &[(RequestId, Outcome)]),
    ) -> Option<Outcome> {
        let hash = hashes.request(&id);
        let known = self.known.find(hash, |known| known.hash == hash)?;
        match self.by_index.get(&known.index) {
            Some(recent) => recent.outcome(id),
            None if known.index == index => {
                so_far.iter().find(|(other, _)| *other == id).map(|(_, outcome)| outcome.clone())
            }
            None => None,
        }
    }

    /// Notes at which entry a request was applied.
    pub(crate) fn note(&mut self, hashes: &Hashes, id: RequestId, index: u64) {
        let hash = hashes.request(&id);
        let new = Known { hash, index };
        *self
            .known
            .entry(hash, |known| known.hash == hash, |known| known.hash)
            .or_insert(new)
            .get_mut() = new;
    }

    /// Remembers what one log entry did, and forgets what is too old for that. Returns what it
    /// forgot.
    pub(crate) fn remember(
        &mut self,
        hashes: &Hashes,
        recent: RecentIndex,
    ) -> Vec<Arc<RecentIndex>> {
        let now = recent.at;
        self.add(hashes, recent);
        let mut forgotten = Vec::new();
        while let Some(oldest) = self.oldest() {
            let left = self.known.len().saturating_sub(oldest.ids.len());
            let aged = left >= RECENT_REQUESTS_MIN && is_over(&oldest, now);
            if self.known.len() <= RECENT_REQUESTS_MAX
                && !(aged && forgotten.len() < FORGOTTEN_AT_ONCE)
            {
                break;
            }
            self.forget(hashes, &oldest);
            forgotten.push(oldest);
        }
        forgotten
    }

    /// Adds what one log entry did.
    pub(crate) fn add(&mut self, hashes: &Hashes, recent: RecentIndex) {
        for id in &recent.ids {
            self.note(hashes, *id, recent.index);
        }
        self.by_index.insert(Arc::new(recent));
    }

    fn oldest(&self) -> Option<Arc<RecentIndex>> {
        self.by_index.iter().next().cloned()
    }

    fn forget(&mut self, hashes: &Hashes, oldest: &RecentIndex) {
        self.by_index.remove(&oldest.index);
        for id in &oldest.ids {
            let hash = hashes.request(id);
            let here = |known: &Known| known.hash == hash && known.index == oldest.index;
            if let Ok(found) = self.known.find_entry(hash, here) {
                found.remove();
            }
        }
        // What a busy time has taken is given back after it.
        if self.known.len() < self.known.capacity() / 4 {
            self.known.shrink_to(2 * self.known.len(), |known| known.hash);
        }
    }
}

/// Whether the time for which a request is remembered at any rate has passed.
fn is_over(recent: &RecentIndex, now: UnixNanos) -> bool {
    let age = now.0.saturating_sub(recent.at.0);
    u128::try_from(age).is_ok_and(|age| age > RECENT_SPAN.as_nanos())
}

/// The outcome as it is remembered, or None if it is not: a push over a limit did nothing, so a
/// retry of it deserves to be tried.
pub(crate) fn remembered(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Applied => Some(Outcome::Applied),
        Outcome::Rejected(reason) => {
            Some(Outcome::Rejected(shorten(reason, REASON_BYTES_MAX).into_owned()))
        }
        Outcome::OverLimit(_) => None,
    }
}
