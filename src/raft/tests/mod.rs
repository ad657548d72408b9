//! The stores against openraft's own suite, and a replica through restarts.

mod cluster;
mod members;
mod net;
mod peers;
mod routes;
pub(super) mod sim;
mod traps;

use std::sync::Arc;
use std::time::Duration;

use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::vote::RaftLeaderId as _;
use openraft::{EntryPayload, RaftLogReader as _};
use tempfile::TempDir;
use tokio::time::Instant;

use super::housekeeping::Policy;
use super::log_store::LogStore;
use super::machine::Position;
use super::recover::{self, Recovered};
use super::replica::{Consistency, Options, Reading, Replica};
use super::running::{Parts, Timing};
use super::state_machine::StateMachine;
use super::state_writer::write_all;
use super::transport::Transport;
use super::types::{Entry, LeaderId, LogId, TypeConfig, Vote};
use crate::clock::{Clock, UnixNanos};
use crate::group::{
    Batch, Change, GroupStore, GroupingKey, Mutation, Outcome, PushMode, PushRules, RequestId,
    StateLimits, prepare_push,
};
use crate::limits::Limits;
use crate::pb::client::{Gauge, Metric, MetricFamily, MetricType};
use crate::storage::{Folder, Identity, StateDb};
use crate::telemetry::Metrics;
use net::Net;

struct Stores;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (TempDir, Arc<Folder>)> for Stores {
    async fn build(
        &self,
    ) -> Result<((TempDir, Arc<Folder>), LogStore, StateMachine), openraft::StorageError<TypeConfig>>
    {
        let folder = tempfile::tempdir().unwrap();
        // The suite carries snapshots from one store to another: all belong to one cluster.
        let identity = Identity { cluster: [7; 16], node: 1, name: "a".to_owned() };
        let storage = storage_in(&folder);
        let lock = Arc::new(Folder::lock(&storage.path).unwrap());
        lock.initialise(&identity).unwrap();
        let Recovered { identity, machine, log, meter: _, snapshots, writer, folder: lock } =
            recover::open(lock, identity, &storage, &Metrics::new()).unwrap();
        let hash_key = identity.cluster;
        let state_machine = StateMachine { machine, snapshots, writer, hash_key };
        Ok(((folder, lock), LogStore::new(log), state_machine))
    }
}

#[test]
fn the_stores_pass_the_suite_of_openraft() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Suite::test_all(Stores)).unwrap();
}

/// A log that has been purged in the meantime has nothing to send, rather than entries that do not
/// follow on what the peer has.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_on_purged_entries_is_not_sent() {
    let (_folder, mut log, _) = Stores.build().await.unwrap();
    let id = |index| LogId::new(LeaderId::new(1, 1).to_committed(), index);
    let blank = |index| Entry { log_id: id(index), payload: EntryPayload::Blank };
    let entries: Vec<Entry> = (0..10).map(blank).collect();
    log.blocking_append(entries).await.unwrap();
    let first = async |log: &mut LogStore, start| {
        let entries = log.limited_get_log_entries(start, 10).await.unwrap();
        entries.first().map(|entry| entry.log_id.index)
    };
    assert_eq!(first(&mut log, 2).await, Some(2));
    log.purge(id(4)).await.unwrap();
    // The log's thread has done it by the time it has done what came after it.
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    assert_eq!([first(&mut log, 2).await, first(&mut log, 5).await], [None, Some(5)]);
}

/// openraft applies what stands in the log up to the hint: it counts only beside that very entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_the_log_does_not_bear_out_is_ignored() {
    let (_folder, mut log, _) = Stores.build().await.unwrap();
    let id = |term, index| LogId::new(LeaderId::new(term, 1).to_committed(), index);
    let blank = |index| Entry { log_id: id(1, index), payload: EntryPayload::Blank };
    log.blocking_append((0..10).map(blank).collect::<Vec<Entry>>()).await.unwrap();
    for (hint, borne_out) in [(id(1, 9), true), (id(1, 10), false), (id(2, 9), false)] {
        log.save_committed(Some(hint)).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), borne_out.then_some(hint));
    }
    log.save_committed(Some(id(1, 4))).await.unwrap();
    log.purge(id(1, 4)).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), None);
}

fn storage_in(folder: &TempDir) -> recover::Options {
    let (path, name) = (folder.path().join("data"), "a".to_owned());
    recover::Options { path, name, disk_free_min: 0, by_hand: None }
}

pub(super) async fn start(folder: &TempDir, snapshot_entries: u64) -> Replica {
    let parts = parts(Net::default().at("a"), snapshot_entries);
    let options = Options { storage: storage_in(folder), cluster: None, parts };
    let (replica, ready) = Replica::prepare(options).await.unwrap();
    ready.await.unwrap();
    replica
}

const TIMING: Timing =
    Timing { heartbeat: Duration::from_millis(50), election: Duration::from_millis(400) };

fn parts(transport: Arc<dyn Transport>, snapshot_entries: u64) -> Parts {
    Parts {
        transport,
        timing: TIMING,
        clean_up: None,
        snapshots: Policy { entries: snapshot_entries, bytes: u64::MAX },
        limits: Limits::default(),
        clock: Clock::System,
        metrics: Metrics::new(),
    }
}

pub(super) async fn newest(replica: &Replica) -> Reading {
    replica.read(Consistency::Linearizable, soon()).await.unwrap()
}

/// Waits until the replica's tasks have let go of its folder, which a process's end would do.
pub(super) async fn let_go(replica: Replica, folder: &TempDir) {
    replica.shutdown().await.unwrap();
    drop(replica);
    while Folder::lock(&folder.path().join("data")).is_err() {
        tokio::task::yield_now().await;
    }
}

pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(super) fn push(job: &str, value: f64) -> Change {
    let labels = [("job".to_owned(), job.to_owned())];
    let metric = Metric { gauge: Some(Gauge { value: Some(value) }), ..Metric::default() };
    let family = MetricFamily {
        name: Some("m".to_owned()),
        help: None,
        r#type: Some(MetricType::Gauge.into()),
        metric: vec![metric],
    };
    let key = GroupingKey::new(labels);
    let rules = PushRules { labels_max: 10, own: &[] };
    prepare_push(key, PushMode::Replace, vec![family], &rules)
}

pub(super) fn id(n: u64) -> RequestId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    RequestId(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_state_and_remembers_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut digest = None;
    for round in 0..4_u64 {
        let replica = start(&folder, 5).await;
        let read = newest(&replica).await;
        if let Some(digest) = digest {
            assert_eq!(read.view.digest(), digest, "round {round}");
        }
        for n in 0..20 {
            let number = round * 20 + n;
            let job = format!("job{}", number % 7);
            let applied = replica.propose(id(number), push(&job, 1.0), soon()).await.unwrap();
            assert_eq!(applied.outcome, Outcome::Applied);
        }
        // The same requests again change nothing, also those of the rounds before.
        let before = newest(&replica).await.view;
        for number in 0..(round + 1) * 20 {
            let applied = replica.propose(id(number), push("other", 2.0), soon()).await.unwrap();
            assert_eq!(applied.outcome, Outcome::Applied);
        }
        let after = newest(&replica).await.view;
        assert_eq!(before.group_count(), after.group_count());
        digest = Some(after.digest());
        let_go(replica, &folder).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_pushes_share_log_entries() {
    let folder = tempfile::tempdir().unwrap();
    let replica = start(&folder, 20_000).await;
    let pushes = (0..500_u64).map(|n| {
        let replica = replica.clone();
        tokio::spawn(async move { replica.propose(id(n), push("j", 1.0), soon()).await.unwrap() })
    });
    let pushes: Vec<_> = pushes.collect();
    let mut indexes = std::collections::BTreeSet::new();
    for push in pushes {
        indexes.insert(push.await.unwrap().index);
    }
    assert!(indexes.len() < 250, "500 concurrent pushes took {} log entries", indexes.len());
    replica.shutdown().await.unwrap();
}

/// Several pieces of a rewrite, and what is there when it ends before the last one.
#[test]
fn a_rewritten_state_database_counts_only_once_it_is_finished() {
    let mut store = GroupStore::new([7; 16]);
    let job = |n: u64| format!("{n}{}", "x".repeat(50_000));
    let pushes = (0..40).map(|n| Mutation { id: id(n), change: push(&job(n), 1.0) });
    let mutations = pushes.collect();
    store.apply(1, &Batch { at: UnixNanos(1), limits: StateLimits::default(), mutations });
    let view = store.view();
    let position = Position::default();

    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::lock(dir.path()).unwrap();
    let mut db = StateDb::rewrite(&folder).unwrap();
    write_all(&mut db, &view, &position).unwrap();
    drop(db);
    let (db, picture) = recover::load_state(&folder, [7; 16]).unwrap();
    assert_eq!(picture.unwrap().store.view().digest(), view.digest());
    drop(db);

    let mut db = StateDb::rewrite(&folder).unwrap();
    let all = view.items().map(|item| (item.key.into(), Some(item.value.into())));
    db.write(all.collect()).unwrap();
    db.flush().unwrap();
    drop(db);
    let (db, picture) = recover::load_state(&folder, [7; 16]).unwrap();
    assert!(db.is_none() && picture.is_none(), "without a position it is written anew");
}
