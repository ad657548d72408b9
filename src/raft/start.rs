//! From a storage folder to a running replica: alone, as a member it has been, or as one it becomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;

use crate::storage::{Folder, Identity, Known, NO_CLUSTER};
use crate::trials::{self, Bug};

use super::blocking::aside;
use super::bootstrap::{self, Decision, Round, Seen};
use super::chance;
use super::error::{Error, Unavailable};
use super::join::join;
use super::log_store::known_committed;
use super::recover::{self, Recovered};
use super::replica::{Consistency, Options, Replica};
use super::running::{Parts, Running};
use super::types::{Member, Membership};

/// How often a replica without a cluster looks around.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often a start that takes long says how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) async fn prepare(
    options: Options,
) -> Result<(Replica, impl Future<Output = Result<(), Error>>), Error> {
    let Options { storage, cluster, parts } = options;
    let (folder, identity) = {
        let storage = storage.clone();
        blocking(move || recover::lock(&storage)).await?
    };
    let address = cluster.as_ref().map(|cluster| cluster.address.clone()).unwrap_or_default();
    let replica = Replica::new(Seen {
        node: identity.node,
        member: Member { name: identity.name.clone(), address },
        cluster: NO_CLUSTER,
        initialized: false,
        adopted: identity.cluster != NO_CLUSTER,
        led: false,
        known_index: 0,
        members: BTreeSet::new(),
        sees: BTreeSet::from([identity.node]),
        expect: cluster.as_ref().map_or(1, |cluster| cluster.expect),
    });
    let starting = Starting { replica: replica.clone(), folder, storage, parts };
    let rest = async move {
        match cluster {
            None => starting.alone(identity).await,
            Some(cluster) => starting.among_others(identity, cluster).await,
        }
    };
    Ok((replica, rest))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    aside(work).await.map_err(|err| Error::Raft(err.to_string()))?
}

/// What a replica that has been a member is, before it goes on.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) cluster: [u8; 16],
    pub(crate) last_index: u64,
    /// Up to where that is known to be committed.
    pub(crate) durable_index: u64,
    pub(crate) voters: BTreeMap<u64, Member>,
    /// Whether it is certain that this replica was a member: it may have joined by an entry that was
    /// never committed, and then the cluster does not know it.
    was_member: bool,
    /// What it knows to be durable on its peers.
    pub(crate) known: Known,
}

impl Standing {
    fn of(recovered: &Recovered, folder: &Folder) -> Result<Standing, Error> {
        let position = recovered.machine.position();
        let mut memberships = recovered.memberships()?;
        let was_member = was_member(recovered, &memberships)?;
        let membership = memberships.pop().map(|(_, newest)| newest).unwrap_or_default();
        let voters =
            membership.voter_ids().filter_map(|id| Some((id, membership.get_node(&id)?.clone())));
        let last_index = recovered.log.last_index().max(position.index()).unwrap_or(0);
        Ok(Standing {
            cluster: recovered.identity.cluster,
            last_index,
            durable_index: position.index().unwrap_or(0).min(last_index),
            voters: voters.collect(),
            was_member,
            known: folder.known()?,
        })
    }

    /// Whether this replica is the only voter.
    fn is_alone(&self, me: u64) -> bool {
        self.voters.keys().eq([&me])
    }
}

/// Whether this replica was a member for certain: by a membership that is committed, or since there
/// is a cluster; or its disk knows that it is none any more.
fn was_member(recovered: &Recovered, memberships: &[(u64, Membership)]) -> Result<bool, Error> {
    let me = recovered.identity.node;
    let is_in = |membership: &Membership| membership.get_node(&me).is_some();
    let Some(((index, newest), before)) = memberships.split_last() else { return Ok(false) };
    let committed = known_committed(&recovered.log)
        .map_err(|source| Error::Decode { what: "a log entry", source })?
        .map(|id| id.index)
        .max(recovered.machine.position().index());
    let certain = *index == 0 || Some(*index) <= committed;
    Ok(certain || !is_in(newest) || before.iter().any(|(_, membership)| is_in(membership)))
}

/// What the peers say of this replica's disk.
enum Heard {
    /// A majority, this replica included, knows nothing against it.
    Enough,
    /// It has held an entry that it lacks now.
    Forgotten { index: u64, peer: String },
}

async fn close(recovered: Recovered) -> Result<(), Error> {
    blocking(move || {
        recovered.close();
        Ok(())
    })
    .await
}

struct Starting {
    replica: Replica,
    folder: Arc<Folder>,
    storage: recover::Options,
    parts: Parts,
}

impl Starting {
    async fn alone(self, mut identity: Identity) -> Result<(), Error> {
        if identity.cluster == NO_CLUSTER {
            identity.cluster = chance::random();
            self.folder.identify(&identity)?;
        }
        let recovered = self.recover(&identity).await?;
        let standing = Standing::of(&recovered, &self.folder)?;
        let initialized = recovered.initialized();
        let running = self.run(recovered).await?;
        let alone = !initialized || standing.is_alone(identity.node);
        if !initialized {
            let me = self.replica.lobby().me;
            running.form(BTreeMap::from([(me.node, me.member)])).await?;
        } else if alone {
            running.lead_alone().await?;
        }
        self.replica.set_running(running);
        self.replica.watch_raft();
        if alone { until_ready(&self.replica).await } else { Ok(()) }
    }

    async fn among_others(
        self,
        identity: Identity,
        cluster: bootstrap::Options,
    ) -> Result<(), Error> {
        let recovered = match identity.cluster {
            NO_CLUSTER => None,
            _ => Some(self.recover(&identity).await),
        };
        let recovered = match recovered {
            Some(Err(err)) if !err.is_distrust() => return Err(err),
            // Nothing of a cluster yet, though one may have been found already.
            Some(Ok(blank)) if !blank.initialized() => {
                close(blank).await?;
                None
            }
            other => other,
        };
        tokio::spawn(async move {
            let replica = self.replica.clone();
            let started = match recovered {
                Some(Ok(recovered)) => self.resume(identity, cluster, recovered).await,
                None => self.find_cluster(identity, cluster).await,
                Some(Err(err)) => self.begin_anew(identity, cluster, err.to_string()).await,
            };
            if let Err(err) = started {
                replica.fail(&err);
            }
        });
        Ok(())
    }

    /// Goes on as the member that this replica has been, unless its peers know that its disk has
    /// forgotten something.
    async fn resume(
        self,
        identity: Identity,
        options: bootstrap::Options,
        recovered: Recovered,
    ) -> Result<(), Error> {
        let standing = Standing::of(&recovered, &self.folder)?;
        self.replica.change_lobby(|lobby| lobby.standing = Some(standing.clone()));
        match self.hear_peers(&identity, &options, &standing).await {
            Heard::Enough => {}
            Heard::Forgotten { index, peer } => {
                let last = standing.last_index;
                close(recovered).await?;
                let why = format!(
                    "the log ends at entry {last}, but {peer} knows that entry {index} was durable \
                     here: this disk is an old copy"
                );
                return self.begin_anew(identity, options, why).await;
            }
        }
        let running = self.run(recovered).await?;
        if standing.is_alone(identity.node) {
            running.lead_alone().await?;
        }
        self.replica.set_running(running);
        self.replica.watch_raft();
        tokio::spawn(join(self.replica, self.parts, options, standing.was_member));
        Ok(())
    }

    /// Asks the other voters what they know of this disk until, together with this replica, a
    /// majority has answered: no fewer could elect anybody.
    async fn hear_peers(
        &self,
        identity: &Identity,
        options: &bootstrap::Options,
        standing: &Standing,
    ) -> Heard {
        let others = standing.voters.iter().filter(|(id, _)| **id != identity.node);
        let anyway = trials::bug(Bug::WipedNodeVotes);
        let needed = if anyway { 0 } else { standing.voters.len() / 2 };
        let addresses: BTreeSet<String> =
            others.map(|(_, member)| member.address.clone()).collect();
        loop {
            let mut me = self.replica.lobby().me;
            me.cluster = identity.cluster;
            let also = bootstrap::Options {
                join: options.join.iter().cloned().chain(addresses.clone()).collect(),
                ..options.clone()
            };
            let round = match needed {
                0 => Round::default(),
                _ => bootstrap::look(&*self.parts.transport, &also, &me).await,
            };
            let voters = round.seen.values().filter(|seen| {
                seen.cluster == identity.cluster && standing.voters.contains_key(&seen.node)
            });
            let heard: Vec<&Seen> = voters.collect();
            let most = heard.iter().max_by_key(|seen| seen.known_index);
            if let Some(most) = most.filter(|seen| seen.known_index > standing.last_index) {
                let peer = most.member.name.clone();
                return Heard::Forgotten { index: most.known_index, peer };
            }
            // Whoever follows a leader knows the members as they are; without it this replica would
            // wait for calls that never come, and not know why.
            let removed = heard.iter().filter(|_| standing.was_member).find(|seen| {
                seen.led && !seen.members.is_empty() && !seen.members.contains(&identity.node)
            });
            if let Some(peer) = removed {
                self.wait_for(format!(
                    "this replica was removed from its cluster, as {} says; to join anew, move {} away \
                     and start it again",
                    peer.member.name,
                    self.storage.path.display()
                ));
                tokio::time::sleep(LOOK_INTERVAL).await;
                continue;
            }
            if heard.len() >= needed {
                return Heard::Enough;
            }
            let strangers = round.seen.values().filter(|seen| seen.cluster != identity.cluster);
            let strangers =
                strangers.map(|seen| format!("{}: of another cluster", seen.member.name));
            let others: Vec<String> = strangers.chain(round.silent.iter().cloned()).collect();
            self.wait_for(format!(
                "{} of {needed} other voters have confirmed this disk ({})",
                heard.len(),
                others.join("; ")
            ));
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Moves aside what cannot be trusted, once the cluster is known to do without, and joins under
    /// a new node id.
    async fn begin_anew(
        self,
        mut identity: Identity,
        options: bootstrap::Options,
        why: String,
    ) -> Result<(), Error> {
        if options.join.is_empty() {
            return Err(Error::Untrusted(why));
        }
        tracing::error!(err = why, "this replica's disk cannot be trusted");
        loop {
            let me = self.replica.lobby().me;
            let round = bootstrap::look(&*self.parts.transport, &options, &me).await;
            let led = round.seen.values().any(|seen| {
                seen.cluster == identity.cluster && seen.led && seen.node != identity.node
            });
            if led {
                break;
            }
            self.wait_for(format!(
                "this replica's disk cannot be trusted, and it joins anew once its cluster has a \
                 leader: {why}"
            ));
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        self.renew(&mut identity)?;
        self.find_cluster(identity, options).await
    }

    fn wait_for(&self, text: String) {
        self.replica.change_lobby(|lobby| {
            if lobby.waits_for != text {
                tracing::info!(detail = text, "waiting");
                lobby.waits_for = text;
            }
        });
    }

    async fn recover(&self, identity: &Identity) -> Result<Recovered, Error> {
        let (folder, identity) = (Arc::clone(&self.folder), identity.clone());
        let (storage, metrics) = (self.storage.clone(), self.parts.metrics.clone());
        blocking(move || recover::open(folder, identity, &storage, &metrics)).await
    }

    async fn run(&self, recovered: Recovered) -> Result<Running, Error> {
        Running::start(recovered, self.parts.clone()).await
    }

    /// Looks around until there is a cluster to be a member of.
    async fn find_cluster(
        self,
        mut identity: Identity,
        options: bootstrap::Options,
    ) -> Result<(), Error> {
        let transport = Arc::clone(&self.parts.transport);
        loop {
            let me = self.replica.lobby().me;
            let round = bootstrap::look(&*transport, &options, &me).await;
            let decision = match (bootstrap::decide(&me, &round), self.replica.lobby().invited_to) {
                (Decision::Wait(_), Some(cluster)) => Decision::Join(cluster),
                (decision, _) => decision,
            };
            self.remember(&round, &decision);
            match decision {
                Decision::Wait(_) => tokio::time::sleep(LOOK_INTERVAL).await,
                // It may even have voted there.
                Decision::Renew => self.renew(&mut identity)?,
                Decision::Join(cluster) if ![NO_CLUSTER, cluster].contains(&identity.cluster) => {
                    self.renew(&mut identity)?;
                }
                Decision::Form(members) => {
                    identity.cluster = chance::random();
                    self.folder.identify(&identity)?;
                    let running = self.run(self.recover(&identity).await?).await?;
                    running.form(members).await?;
                    self.belong(running, options);
                    return Ok(());
                }
                Decision::Join(cluster) => {
                    identity.cluster = cluster;
                    self.folder.identify(&identity)?;
                    let running = self.run(self.recover(&identity).await?).await?;
                    self.belong(running, options);
                    return Ok(());
                }
            }
        }
    }

    fn belong(self, running: Running, options: bootstrap::Options) {
        self.replica.change_lobby(|lobby| lobby.me.adopted = true);
        self.replica.set_running(running);
        self.replica.watch_raft();
        tokio::spawn(join(self.replica, self.parts, options, false));
    }

    /// Tells peers and operator what was found.
    fn remember(&self, round: &Round, decision: &Decision) {
        let text = match decision {
            Decision::Wait(reason) => reason.clone(),
            Decision::Form(members) => format!("forming a cluster of {}", members.len()),
            Decision::Join(_) => "joining the cluster".to_owned(),
            Decision::Renew => "the cluster that was to be joined is gone".to_owned(),
        };
        self.replica.change_lobby(|lobby| {
            let blank = round.seen.values().filter(|seen| !seen.initialized);
            lobby.me.sees = blank.map(|seen| seen.node).chain([lobby.me.node]).collect();
            if lobby.waits_for != text {
                tracing::info!(detail = text, "looking for a cluster");
                lobby.waits_for = text;
            }
        });
    }

    /// Begins anew under another node id: this one has been told to others.
    fn renew(&self, identity: &mut Identity) -> Result<(), Error> {
        let aside = self.folder.set_aside()?;
        *identity = recover::new_identity(&identity.name);
        self.folder.initialise(identity)?;
        let node = identity.node;
        tracing::warn!(node, aside = %aside.display(), "began anew; the old data is kept aside");
        self.replica.change_lobby(|lobby| {
            lobby.standing = None;
            lobby.me.node = node;
            lobby.me.adopted = false;
            lobby.me.sees = BTreeSet::from([node]);
            lobby.invited_to = None;
        });
        Ok(())
    }
}

async fn until_ready(replica: &Replica) -> Result<(), Error> {
    // Applying the rest of a long log takes as long as it takes; a signal ends the wait.
    loop {
        match replica.read(Consistency::Linearizable, Instant::now() + REPORT_INTERVAL).await {
            // What the health endpoints look at comes a moment later.
            Ok(_) => return until_known(replica).await,
            Err(Unavailable::Fatal(detail)) => return Err(Error::Raft(detail)),
            Err(err) => {
                let running = replica.running().map_err(|err| Error::Raft(err.to_string()))?;
                let index = running.machine.position().index().unwrap_or(0);
                tracing::info!(index, detail = %err, "still applying the log");
            }
        }
    }
}

/// Waits until Raft's metrics show what a read has just proven.
async fn until_known(replica: &Replica) -> Result<(), Error> {
    let running = replica.running().map_err(|err| Error::Raft(err.to_string()))?;
    let mut metrics = running.raft.server_metrics();
    let me = running.identity.node;
    loop {
        let known = {
            let metrics = metrics.borrow_watched();
            metrics.current_leader == Some(me)
                && metrics.membership_config.membership().get_node(&me).is_some()
        };
        if known {
            return Ok(());
        }
        metrics.changed().await.map_err(|err| Error::Raft(err.to_string()))?;
    }
}
