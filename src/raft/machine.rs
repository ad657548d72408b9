//! The applied state, shared by the one task that changes it and all who read it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use openraft::EntryPayload;
use prost::Message;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::group::{Batch, Dirty, GroupStore, View};
use crate::pb::v1;
use crate::telemetry;
use crate::trials::{self, Bug, Place};

use super::convert;
use super::types::{Entry, LogId, Reply, StoredMembership};

/// Up to where the log has been applied, and the members as of there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Position {
    pub(crate) fn encode(&self) -> Bytes {
        self.encode_with(Bytes::new())
    }

    /// As [`Position::encode`], for a file that must say on its own whose state it has.
    pub(crate) fn encode_of(&self, cluster: [u8; 16]) -> Bytes {
        self.encode_with(Bytes::copy_from_slice(&cluster))
    }

    fn encode_with(&self, cluster_id: Bytes) -> Bytes {
        let pb = v1::Position {
            applied: self.applied.as_ref().map(convert::log_id_to_pb),
            membership: Some(convert::stored_membership_to_pb(&self.membership)),
            cluster_id,
        };
        pb.encode_to_vec().into()
    }

    /// The cluster that [`Position::encode_of`] has named.
    pub(crate) fn cluster_of(bytes: &[u8]) -> Option<[u8; 16]> {
        v1::Position::decode(bytes).ok()?.cluster_id.as_ref().try_into().ok()
    }

    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Position> {
        let pb = v1::Position::decode(bytes)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
        Ok(Position {
            applied: pb.applied.as_ref().map(convert::log_id_from_pb),
            membership: convert::stored_membership_from_pb(pb.membership.unwrap_or_default())?,
        })
    }

    pub(crate) fn index(&self) -> Option<u64> {
        self.applied.map(|id| id.index)
    }
}

/// The state machine: the groups, and the position in the log that they stand for.
pub(crate) struct Machine {
    state: Mutex<State>,
    /// Tells whoever waits how far the state is.
    applied: watch::Sender<Option<u64>>,
    metrics: telemetry::Metrics,
}

struct State {
    store: GroupStore,
    position: Position,
    /// The last index that is a multiple of [`CHECKPOINT_EVERY`], and the digest as of there.
    checkpoint: Option<(u64, u128)>,
}

/// Every so many log entries the digest is noted, so that replicas which never stand at the same
/// index when they are asked can be compared all the same.
const CHECKPOINT_EVERY: u64 = 128;

/// What has changed since the last time, at one position.
pub(crate) struct Changes {
    pub(crate) position: Position,
    pub(crate) dirty: Dirty,
}

impl Machine {
    pub(crate) fn new(store: GroupStore, position: Position, metrics: telemetry::Metrics) -> Self {
        let (applied, _) = watch::channel(position.index());
        Machine { state: Mutex::new(State { store, position, checkpoint: None }), applied, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while applying aborts the process, so there is no poisoned state to distrust.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies one committed entry. An entry that cannot be understood is an error and stops the
    /// replica: skipping it would let replicas drift apart.
    pub(crate) fn apply(&self, entry: &Entry) -> io::Result<Reply> {
        let started = Instant::now();
        trials::at(Place::ApplyBefore)?;
        let batch = match &entry.payload {
            EntryPayload::Normal(command) => Some(decode(entry.log_id.index, &command.0)?),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        let mut state = self.lock();
        state.position.applied = Some(entry.log_id);
        if let EntryPayload::Membership(membership) = &entry.payload {
            trials::at(Place::MembershipApply)?;
            state.position.membership =
                StoredMembership::new(Some(entry.log_id), membership.clone());
        }
        let index = entry.log_id.index;
        let outcomes = batch.map(|batch| state.store.apply(index, &batch));
        if index.is_multiple_of(CHECKPOINT_EVERY) {
            state.checkpoint = Some((index, state.store.view().digest()));
        }
        drop(state);
        trials::at(Place::ApplyAfter)?;
        self.applied.send_replace(Some(index));
        let Some(outcomes) = outcomes else { return Ok(Reply::default()) };
        self.metrics.observe_apply(started.elapsed());
        Ok(Reply(outcomes))
    }

    /// Follows how far the state is.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    pub(crate) fn position(&self) -> Position {
        self.lock().position.clone()
    }

    /// An index that all replicas have passed or will, and the digest as of there; `None` until the
    /// first since the start.
    pub(crate) fn checkpoint(&self) -> Option<(u64, u128)> {
        self.lock().checkpoint
    }

    /// An immutable picture of the state; taking it holds up applying for an instant only.
    pub(crate) fn view(&self) -> View {
        self.lock().store.view()
    }

    /// The picture and the position that it belongs to.
    pub(crate) fn view_at(&self) -> (View, Position) {
        let state = self.lock();
        (state.store.view(), state.position.clone())
    }

    /// What the state database does not have yet. It is encoded later, while applying goes on.
    pub(crate) fn take_changes(&self) -> Changes {
        let mut state = self.lock();
        Changes { position: state.position.clone(), dirty: state.store.take_dirty() }
    }

    /// Everything, for a state database that starts anew; later changes count from here.
    pub(crate) fn restart_changes(&self) -> (View, Position) {
        let mut state = self.lock();
        drop(state.store.take_dirty());
        (state.store.view(), state.position.clone())
    }

    /// Replaces the whole state by one that was received.
    pub(crate) fn replace(&self, store: GroupStore, position: Position) {
        let index = position.index();
        *self.lock() = State { store, position, checkpoint: None };
        self.applied.send_replace(index);
    }
}

fn decode(index: u64, bytes: &Bytes) -> io::Result<Batch> {
    let mut batch = Batch::decode(bytes.clone()).map_err(|err| {
        let message = format!("cannot apply log entry {index}: {err}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    if trials::bug(Bug::ApplyLocalTime) {
        batch.at = Clock::System.now();
    }
    Ok(batch)
}
