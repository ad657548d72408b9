//! The replicated state machine: all that was pushed, and what follows from it.
//!
//! What it is: grouping keys, groups and their families; the changes that clients ask for; applying
//! them in the order of the log; the check that keeps all series consistent; the pictures from which
//! scrapes and the API are answered; the items in which the state is persisted.
//!
//! What it promises:
//!
//! * Applying is total and deterministic: outcomes and state follow from the entries alone. Replicas
//!   that applied the same entries have the same digest and the same bytes in every exposition, also
//!   compressed, and also if one of them started from a snapshot.
//! * A push costs what it carries and what it replaces, not what is stored.
//! * No sequence of changes leads to a state that cannot be scraped.
//! * A request takes effect at most once within the window of remembered requests.
//! * Reading never holds up applying: a [`View`] is immutable and shares all that did not change.
//!
//! What it must never do: read a clock, a random number, a file or the environment, wait, log, or
//! let the order of a hash map reach anything that replicas must agree on.
//!
//! The way through: [`prepare_push`] makes a [`Change`] of parsed families where they arrive;
//! [`GroupStore::apply`] applies [`Batch`]es of them; [`GroupStore::view`] gives the picture;
//! [`GroupStore::take_dirty`], [`View::items`] and [`Restore`] persist it.

mod apply;
mod body;
mod chunked;
mod codec;
mod consistency;
mod deflate;
mod dirty;
mod examine;
mod family;
mod gather;
mod hash;
mod index;
mod items;
mod key;
mod mutation;
mod packed;
mod plan;
mod recent;
mod refusal;
mod render_cache;
mod restore;
mod sanitize;
mod store;
mod stored;
mod times;
mod view;

#[cfg(test)]
mod tests;

pub use body::Exposition;
pub use codec::DecodeError;
pub(crate) use codec::{FORMAT as BATCH_FORMAT, decode_mutation, encode_batch, encode_mutation};
pub use dirty::Dirty;
pub use gather::Wish;
pub use items::Item;
pub use key::GroupingKey;
pub use mutation::{
    Batch, Change, Mutation, Outcome, PushMode, PushedFamily, RequestId, StateLimits,
};
pub use restore::{Restore, RestoreError};
pub use sanitize::{PushRules, prepare_push};
pub use store::GroupStore;
pub use stored::{Group, StoredFamily};
pub use times::{PUSH_FAILURE_TIME, PUSH_TIME};
pub use view::View;
