//! The bookkeeping that makes a set of items prove that it is whole.

use std::hash::Hasher as _;

use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128 as _, SipHasher13 as SipHasher13x128};

use super::super::codec::Fields;
use super::Item;

/// The first byte of the bookkeeping item's key and of all the others'.
const BOOK: u8 = 0;
const ITEM: u8 = 1;
const HASH_BYTES: usize = 16;
const FORMAT: u8 = 1;
/// The hashes guard against accidents and are read by nobody else: the key is arbitrary.
const HASH_KEY: [u8; 16] = *b"quorumgate-state";

/// What is stored, as sums.
#[derive(Debug, Default)]
pub(super) struct Book {
    totals: Totals,
    /// Each item's hash by a hash of its key. Two keys that collide would make the sums wrong at
    /// the next start, and the database would be rebuilt needlessly: once in a thousand ages.
    hashes: HashMap<u64, u128>,
    /// The totals that the bookkeeping item claims, while loading.
    claimed: Option<Totals>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Totals {
    sequence: u64,
    items: u64,
    sum: u128,
}

impl Book {
    /// The number of the last write.
    pub(super) fn sequence(&self) -> u64 {
        self.totals.sequence
    }

    /// Notes a new value; what to store for it.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.forget(key);
        let (key_hash, stored_key) = (hash_key(key), prefixed(ITEM, key));
        let hash = hash(&stored_key, value);
        self.note(key_hash, hash);
        let mut stored = Vec::with_capacity(HASH_BYTES + value.len());
        stored.extend_from_slice(&hash.to_le_bytes());
        stored.extend_from_slice(value);
        (stored_key, stored)
    }

    /// Notes a removal; the key that it is stored under.
    pub(super) fn remove(&mut self, key: &[u8]) -> Vec<u8> {
        self.forget(key);
        prefixed(ITEM, key)
    }

    /// Ends a write; the bookkeeping item to store with it.
    pub(super) fn close(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.totals.sequence += 1;
        let key = vec![BOOK];
        let mut value = vec![FORMAT];
        value.extend_from_slice(&self.totals.sequence.to_le_bytes());
        value.extend_from_slice(&self.totals.items.to_le_bytes());
        value.extend_from_slice(&self.totals.sum.to_le_bytes());
        let mut stored = hash(&key, &value).to_le_bytes().to_vec();
        stored.append(&mut value);
        (key, stored)
    }

    /// Takes in a stored item; the caller's item, unless it is the bookkeeping one.
    pub(super) fn load(&mut self, key: &[u8], stored: &[u8]) -> Result<Option<Item>, String> {
        let mut fields = Fields(stored);
        let claimed = fields.u128().ok_or_else(|| format!("item {} is cut", name(key)))?;
        if hash(key, fields.0) != claimed {
            return Err(format!("the hash of item {} does not fit", name(key)));
        }
        match key.split_first() {
            Some((&ITEM, key)) => {
                self.note(hash_key(key), claimed);
                Ok(Some((key.to_vec(), fields.0.to_vec())))
            }
            Some((&BOOK, [])) => {
                self.claimed = Some(decode(fields.0).ok_or("its bookkeeping is unreadable")?);
                Ok(None)
            }
            _ => Err(format!("there is an item {} that nobody stored", name(key))),
        }
    }

    /// Whether everything taken in adds up and is at least as new as the last flush.
    pub(super) fn verify(&mut self, flushed: u64) -> Result<(), String> {
        let claimed = self.claimed.take().unwrap_or_default();
        if (claimed.items, claimed.sum) != (self.totals.items, self.totals.sum) {
            let (found, expected) = (self.totals.items, claimed.items);
            return Err(format!("its items do not add up: {found} found, {expected} expected"));
        }
        if claimed.sequence < flushed {
            let sequence = claimed.sequence;
            return Err(format!("it ends at write {sequence}, but write {flushed} was flushed"));
        }
        self.totals.sequence = claimed.sequence;
        Ok(())
    }

    fn note(&mut self, key_hash: u64, hash: u128) {
        self.hashes.insert(key_hash, hash);
        self.totals.items += 1;
        self.totals.sum = self.totals.sum.wrapping_add(hash);
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(hash) = self.hashes.remove(&hash_key(key)) {
            self.totals.items -= 1;
            self.totals.sum = self.totals.sum.wrapping_sub(hash);
        }
    }
}

fn decode(value: &[u8]) -> Option<Totals> {
    let mut fields = Fields(value);
    let known = fields.array::<1>()? == [FORMAT];
    let totals = Totals { sequence: fields.u64()?, items: fields.u64()?, sum: fields.u128()? };
    (known && fields.0.is_empty()).then_some(totals)
}

fn prefixed(prefix: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(prefix);
    out.extend_from_slice(key);
    out
}

fn hash_key(key: &[u8]) -> u64 {
    SipHasher13::new_with_key(&HASH_KEY).hash(key)
}

/// The key's length goes first, so that no byte can move from key to value unnoticed.
fn hash(stored_key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = SipHasher13x128::new_with_key(&HASH_KEY);
    hasher.write(&(stored_key.len() as u64).to_le_bytes());
    hasher.write(stored_key);
    hasher.write(value);
    hasher.finish128().as_u128()
}

/// A key for a message: its start, escaped.
fn name(key: &[u8]) -> String {
    key.get(..48).unwrap_or(key).escape_ascii().to_string()
}
