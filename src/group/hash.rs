//! Keyed hashes: SipHash-1-3 under the cluster's key, so that clients cannot aim at collisions.
//!
//! Every use has a domain of its own. Texts go in with their lengths, so that no two inputs run
//! together to the same bytes.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::clock::UnixNanos;
use crate::group::codec::kind_number;
use crate::group::key::GroupingKey;
use crate::group::mutation::{Outcome, RequestId};
use crate::pb::client::MetricType;

/// What is hashed. The numbers are part of the digest: never reuse one.
#[derive(Debug, Clone, Copy)]
enum Domain {
    Series = 1,
    Mark = 2,
    Group = 3,
    Family = 4,
    Recent = 5,
    Base = 6,
    Request = 7,
}

/// Stands for a family name with a label set. Two series with equal fingerprints are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint {
    high: u64,
    low: u64,
}

impl Fingerprint {
    /// A number below `count`, evenly spread.
    pub(crate) fn shard(self, count: usize) -> usize {
        let count = count as u64;
        usize::try_from(self.high.checked_rem(count).unwrap_or_default()).unwrap_or_default()
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// A hash that adds up: the digest of the state is the sum of the hashes of its parts, so that it
/// follows each change at the cost of that change.
///
/// Two halves, and not a `u128`: allocators take a detour for what has to be aligned to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Digest {
    high: u64,
    low: u64,
}

impl Digest {
    pub(crate) fn to_u128(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    pub(crate) fn plus(self, part: Digest) -> Digest {
        self.to_u128().wrapping_add(part.to_u128()).into()
    }

    pub(crate) fn minus(self, part: Digest) -> Digest {
        self.to_u128().wrapping_sub(part.to_u128()).into()
    }
}

impl From<u128> for Digest {
    fn from(sum: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Digest { high: half(sum >> 64), low: half(sum) }
    }
}

/// The hasher of maps keyed by something that is a good hash itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        // Only fingerprints are hashed with this, and they call write_u64.
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The source of all hashes of one store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashes {
    keyed: SipHasher13,
}

impl Hashes {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Hashes { keyed: SipHasher13::new_with_key(key) }
    }

    fn start(&self, domain: Domain) -> Feed {
        let mut feed = Feed(self.keyed);
        feed.0.write_u8(domain as u8);
        feed
    }

    /// Fingerprints of the series of one family.
    pub(crate) fn series(&self, family: &str) -> SeriesHasher {
        let mut feed = self.start(Domain::Series);
        feed.bytes(family.as_bytes());
        SeriesHasher(feed)
    }

    /// Decides where chunks begin (see [`crate::group::chunked`]).
    pub(crate) fn mark(&self, bytes: &[u8]) -> u32 {
        let mut feed = self.start(Domain::Mark);
        feed.bytes(bytes);
        // The low half of a hash is as good as any.
        u32::try_from(feed.finish().low & u64::from(u32::MAX)).unwrap_or_default()
    }

    /// The hashes that have to do with one group.
    pub(crate) fn group(&self, key: &GroupingKey) -> GroupHasher {
        let mut canonical = Vec::with_capacity(key.text_bytes() + 64);
        key.write_canonical(&mut canonical);
        let (mut group, mut family) = (self.start(Domain::Group), self.start(Domain::Family));
        group.bytes(&canonical);
        family.bytes(&canonical);
        GroupHasher { group, family, mark: self.mark(&canonical) }
    }

    /// Spreads request ids evenly, whoever chose them.
    pub(crate) fn request(&self, id: &RequestId) -> u64 {
        let mut feed = self.start(Domain::Request);
        feed.bytes(&id.0);
        feed.0.finish128().h1
    }

    /// The part of the digest that one remembered log index has.
    pub(crate) fn recent(
        &self,
        index: u64,
        at: UnixNanos,
        requests: &[(RequestId, Outcome)],
    ) -> Digest {
        let mut feed = self.start(Domain::Recent);
        feed.number(index);
        feed.number(at.0.cast_unsigned());
        for (id, outcome) in requests {
            feed.bytes(&id.0);
            let (kind, reason) = match outcome {
                Outcome::Applied => (0, ""),
                Outcome::Rejected(reason) => (1, &**reason),
                Outcome::OverLimit(reason) => (2, &**reason),
            };
            feed.number(kind);
            feed.bytes(reason.as_bytes());
        }
        feed.finish()
    }

    /// The part of the digest that belongs to the store as a whole.
    pub(crate) fn base(&self, applied_index: u64, last_at: UnixNanos) -> Digest {
        let mut feed = self.start(Domain::Base);
        feed.number(applied_index);
        feed.number(last_at.0.cast_unsigned());
        feed.finish()
    }
}

/// Hashes the series of one family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesHasher(Feed);

impl SeriesHasher {
    /// `labels`: the canonical bytes of a label set.
    pub(crate) fn fingerprint(&self, labels: &[u8]) -> Fingerprint {
        let mut feed = self.0;
        feed.bytes(labels);
        let hash = feed.0.finish128();
        Fingerprint { high: hash.h1, low: hash.h2 }
    }
}

/// Hashes what belongs to one group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupHasher {
    group: Feed,
    family: Feed,
    /// The mark of the key (see [`Hashes::mark`]).
    pub(crate) mark: u32,
}

impl GroupHasher {
    /// The part of the digest that the group itself has: when it was created, and when its last
    /// push succeeded and failed.
    pub(crate) fn group(&self, times: [Option<UnixNanos>; 3]) -> Digest {
        let mut feed = self.group;
        for time in times {
            feed.number(u64::from(time.is_some()));
            feed.number(time.unwrap_or_default().0.cast_unsigned());
        }
        feed.finish()
    }

    /// The part of the digest that one family of the group has.
    pub(crate) fn family(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        metrics: &[u8],
        pushed_at: UnixNanos,
    ) -> Digest {
        let mut feed = self.family;
        feed.bytes(name.as_bytes());
        feed.bytes(help.as_bytes());
        feed.number(u64::from(kind_number(kind)));
        feed.number(pushed_at.0.cast_unsigned());
        feed.bytes(metrics);
        feed.finish()
    }
}

/// A hash under way.
#[derive(Debug, Clone, Copy)]
struct Feed(SipHasher13);

impl Feed {
    fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    fn finish(self) -> Digest {
        let hash = self.0.finish128();
        Digest { high: hash.h2, low: hash.h1 }
    }
}
