//! openraft's view of the state machine.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};

use crate::trials::{self, Place};

use super::blocking;
use super::machine::Machine;
use super::snapshot::{self, Builder, Snapshot, SnapshotData, Snapshots};
use super::state_writer::StateWriter;
use super::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// The applied state together with where its snapshots go.
#[derive(Clone)]
pub(crate) struct StateMachine {
    pub(crate) machine: Arc<Machine>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) writer: StateWriter,
    /// Keys the hashes of the state, the same on all replicas of a cluster.
    pub(crate) hash_key: [u8; 16],
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let position = self.machine.position();
        Ok((position.applied, position.membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = self.machine.apply(&entry)?;
            if let Some(responder) = responder {
                trials::at(Place::Respond)?;
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder::new(self.clone())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> io::Result<()> {
        let machine = Arc::clone(&self.machine);
        let (position, hash_key) = (snapshot::position(meta), self.hash_key);
        let snapshots = Arc::clone(&self.snapshots);
        let installed = blocking::aside(move || {
            let store = snapshot::restore(&data, hash_key)?;
            trials::at(Place::SnapshotInstallBefore)?;
            machine.replace(store, position);
            snapshots.adopt(data);
            trials::at(Place::SnapshotInstallAfter)?;
            Ok::<_, io::Error>(())
        });
        installed.await??;
        self.writer.start_anew();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.snapshots.newest().map(snapshot::describe).transpose()
    }
}
