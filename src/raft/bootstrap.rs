//! How a replica without a cluster gets one: it looks at its peers until it may join or form one.
//!
//! No replica is special. A cluster that exists is joined, always. One is formed only when exactly
//! the expected number of replicas are there, all of them without a cluster and all seeing each
//! other; then the one with the lowest name begins, and the others find it to be the cluster's.
//! In every other case a replica waits and says what for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::pb::v1;
use crate::storage::NO_CLUSTER;

use super::transport::{Call, CallError, Lane, Route, Transport};
use super::types::Member;

/// How long one peer may take to say who it is.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// Peers that are asked at once.
const PEERS_MAX: usize = 64;

/// What the operator says about the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where the other replicas reach this one.
    pub(crate) address: String,
    /// `host:port`s of peers; a host that has several addresses stands for all of them.
    pub(crate) join: Vec<String>,
    /// How many replicas form a new cluster; 0: never form one.
    pub(crate) expect: usize,
}

/// A replica as its peers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) node: u64,
    pub(crate) member: Member,
    pub(crate) cluster: [u8; 16],
    pub(crate) initialized: bool,
    /// Whether a cluster of which it holds nothing may know its node id.
    pub(crate) adopted: bool,
    /// Whether it follows a leader.
    pub(crate) led: bool,
    /// What it knows to be durable on whoever asked.
    pub(crate) known_index: u64,
    /// Whom it takes for members.
    pub(crate) members: BTreeSet<u64>,
    /// The node ids without a cluster that it sees, itself included.
    pub(crate) sees: BTreeSet<u64>,
    pub(crate) expect: usize,
}

/// What one look around has found.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// By node id, without the one who looked.
    pub(crate) seen: BTreeMap<u64, Seen>,
    /// Addresses at which nobody answered, and why.
    pub(crate) silent: Vec<String>,
    /// Where an initialized replica is.
    pub(crate) initialized_at: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// These replicas are the cluster, and this one begins it.
    Form(BTreeMap<u64, Member>),
    /// Become a part of that cluster.
    Join([u8; 16]),
    /// Begin anew: of the cluster that this replica waited for nobody has anything.
    Renew,
    /// Nothing yet, for this reason.
    Wait(String),
}

/// An entry of `--cluster.join`, and the addresses that it stands for now.
struct Target {
    name: String,
    addresses: Vec<String>,
}

/// What was answered, by address.
type Answers = BTreeMap<String, Result<Seen, CallError>>;

/// Asks everybody that `--cluster.join` names or resolves to who they are.
pub(crate) async fn look(transport: &dyn Transport, options: &Options, me: &Seen) -> Round {
    let mut round = Round::default();
    let mut targets = Vec::new();
    for name in &options.join {
        match resolve(name).await {
            Ok(addresses) => targets.push(Target { name: name.clone(), addresses }),
            Err(err) => round.silent.push(format!("{name}: {err}")),
        }
    }
    let addresses: BTreeSet<String> =
        targets.iter().flat_map(|target| target.addresses.iter().cloned()).collect();
    let route = Route { cluster: NO_CLUSTER, from: me.node, to: 0 };
    let call = Call { route, timeout: IDENTIFY_TIMEOUT };
    let asked = addresses.into_iter().take(PEERS_MAX).map(|address| async move {
        let peer = transport.connect(&address, Lane::Control);
        let request = v1::IdentifyRequest { sees: me.sees.iter().copied().collect() };
        let answer = peer.identify(call, request).await;
        (address, answer.and_then(seen_from_pb))
    });
    let answers: Answers = join_all(asked).await.into_iter().collect();
    round.silent.extend(missed(&targets, &answers));
    for (address, answer) in answers {
        let Ok(seen) = answer else { continue };
        if seen.node != me.node {
            if seen.initialized {
                round.initialized_at = Some(address);
            }
            round.seen.insert(seen.node, seen);
        }
    }
    round
}

/// The addresses that a target stands for now. One that has a single address keeps its name, so that
/// its peers find it again under another address.
async fn resolve(target: &str) -> std::io::Result<Vec<String>> {
    // The same address may be listed several times.
    let found: BTreeSet<_> = tokio::net::lookup_host(target).await?.collect();
    match found.len() {
        0 => Err(std::io::Error::other("it has no address")),
        1 => Ok(vec![target.to_owned()]),
        _ => Ok(found.iter().map(ToString::to_string).collect()),
    }
}

/// The addresses at which somebody may be who does not answer, and why.
///
/// Whoever is behind a silent address may have the cluster, and if the others formed one without it,
/// there would be two of one set of disks. So each address of a name counts by itself: the name may
/// be that of all replicas, and neither who answers there nor how many do says who does not. The
/// exception is a name that is known to stand for one replica only, whose further addresses are its
/// own; such as `localhost`, where nobody listens at one of its two.
fn missed(targets: &[Target], answers: &Answers) -> Vec<String> {
    let named = targets.iter().filter(|target| target.is_one_replica(answers));
    let own: BTreeSet<&String> = named.flat_map(|target| &target.addresses).collect();
    let silent = answers.iter().filter(|(address, _)| !own.contains(address));
    let silent = silent.filter_map(|(address, answer)| Some((address, answer.as_ref().err()?)));
    silent
        .map(|(address, err)| {
            match targets.iter().find(|t| t.name != *address && t.addresses.contains(address)) {
                Some(Target { name, .. }) => format!("{name} at {address}: {err}"),
                None => format!("{address}: {err}"),
            }
        })
        .collect()
}

impl Target {
    /// Whether the name is what one replica gives as its own address (`--cluster.advertise-address`),
    /// no other one gives, and no other one answers under.
    fn is_one_replica(&self, answers: &Answers) -> bool {
        let here = self.addresses.iter().filter_map(|address| answers.get(address)?.as_ref().ok());
        let claiming = answers.values().flatten().filter(|seen| seen.member.address == self.name);
        let nodes: BTreeSet<u64> = here.clone().chain(claiming.clone()).map(|s| s.node).collect();
        nodes.len() == 1 && here.count() > 0 && claiming.count() > 0
    }
}

fn seen_from_pb(pb: v1::IdentifyResponse) -> Result<Seen, CallError> {
    let cluster = match pb.cluster_id.as_ref() {
        [] => NO_CLUSTER,
        id => id.try_into().map_err(|_| CallError::Failed("a malformed cluster id".to_owned()))?,
    };
    Ok(Seen {
        node: pb.node_id,
        member: Member { name: pb.name, address: pb.address },
        cluster,
        initialized: pb.initialized,
        adopted: pb.adopted,
        led: pb.leader_id != 0,
        known_index: pb.known_index,
        members: pb.members.iter().flat_map(|m| &m.members).map(|member| member.node_id).collect(),
        sees: pb.sees.into_iter().collect(),
        expect: pb.bootstrap_expect as usize,
    })
}

/// What to do after a look around.
pub(crate) fn decide(me: &Seen, round: &Round) -> Decision {
    let clusters: BTreeSet<_> =
        round.seen.values().filter(|seen| seen.initialized).map(|seen| seen.cluster).collect();
    match (clusters.first(), clusters.len()) {
        (Some(cluster), 1) => return Decision::Join(*cluster),
        (Some(_), _) => {
            let text = "the peers belong to different clusters; correct --cluster.join";
            return Decision::Wait(text.to_owned());
        }
        (None, _) => {}
    }
    match may_form(me, round) {
        Err(reason) => Decision::Wait(reason),
        Ok(_) if me.adopted => Decision::Renew,
        Ok(all) => {
            // Its node id changes, and a cluster with the old one among its voters would lack it.
            if let Some(other) = all.iter().find(|seen| seen.adopted) {
                return Decision::Wait(format!("waiting for {} to begin anew", other.member.name));
            }
            let first = all.iter().min_by_key(|seen| &seen.member.name);
            match first.filter(|first| first.node != me.node) {
                Some(first) => {
                    Decision::Wait(format!("waiting for {} to form the cluster", first.member.name))
                }
                None => Decision::Form(
                    all.iter().map(|seen| (seen.node, seen.member.clone())).collect(),
                ),
            }
        }
    }
}

/// Everybody who forms the cluster, or why nobody does yet.
fn may_form<'a>(me: &'a Seen, round: &'a Round) -> Result<Vec<&'a Seen>, String> {
    let all: Vec<&Seen> = std::iter::once(me).chain(round.seen.values()).collect();
    let names: BTreeSet<&str> = all.iter().map(|seen| seen.member.name.as_str()).collect();
    let here = names.iter().copied().collect::<Vec<_>>().join(", ");
    if me.expect == 0 {
        return Err("no peer belongs to a cluster to join, and without \
                    --cluster.bootstrap-expect none is formed"
            .to_owned());
    }
    if names.len() < all.len() {
        return Err(format!("several replicas have the same name (--cluster.name): {here}"));
    }
    if all.len() < me.expect {
        let silent = round.silent.join("; ");
        let (count, expect) = (all.len(), me.expect);
        return Err(format!("{count} of {expect} replicas are here: {here}; no answer: {silent}"));
    }
    if let Some(other) = all.iter().find(|seen| seen.expect != me.expect) {
        let (name, theirs, ours) = (&other.member.name, other.expect, me.expect);
        return Err(format!(
            "{name} expects {theirs} replicas (--cluster.bootstrap-expect), not {ours}"
        ));
    }
    if all.len() > me.expect {
        let (count, expect) = (all.len(), me.expect);
        return Err(format!("{count} replicas are here, not {expect}: {here}"));
    }
    if !round.silent.is_empty() {
        return Err(format!("no answer: {}", round.silent.join("; ")));
    }
    let everybody: BTreeSet<u64> = all.iter().map(|seen| seen.node).collect();
    match all.iter().find(|seen| seen.node != me.node && seen.sees != everybody) {
        Some(blind) => Err(format!("{} does not see all the others yet", blind.member.name)),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(node: u64, name: &str, sees: &[u64]) -> Seen {
        Seen {
            node,
            member: Member { name: name.to_owned(), address: format!("{name}:1") },
            cluster: NO_CLUSTER,
            initialized: false,
            adopted: false,
            led: false,
            known_index: 0,
            members: BTreeSet::new(),
            sees: sees.iter().copied().collect(),
            expect: 3,
        }
    }

    fn round(seen: impl IntoIterator<Item = Seen>) -> Round {
        let seen = seen.into_iter().map(|seen| (seen.node, seen)).collect();
        Round { seen, ..Round::default() }
    }

    fn waits(me: &Seen, round: &Round, text: &str) {
        match decide(me, round) {
            Decision::Wait(reason) => assert!(reason.contains(text), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    const ALL: &[u64] = &[1, 2, 3];

    #[test]
    fn the_lowest_name_forms_a_cluster_of_all_that_see_each_other() {
        let (a, b, c) = (seen(3, "a", ALL), seen(2, "b", ALL), seen(1, "c", ALL));
        let Decision::Form(members) = decide(&a, &round([b.clone(), c.clone()])) else { panic!() };
        assert_eq!(members.keys().copied().collect::<Vec<_>>(), ALL);
        assert_eq!(members[&2].name, "b");
        waits(&b, &round([a.clone(), c.clone()]), "waiting for a");
        waits(&c, &round([a, b]), "waiting for a");
    }

    #[test]
    fn an_existing_cluster_is_joined_whatever_else_is_seen() {
        let me = seen(1, "a", ALL);
        let there = Seen { cluster: [7; 16], initialized: true, ..seen(2, "b", &[]) };
        let both = round([there.clone(), seen(3, "c", ALL)]);
        assert_eq!(decide(&me, &both), Decision::Join([7; 16]));
        // Adopting an id is not belonging to the cluster.
        let adopted = Seen { initialized: false, ..there.clone() };
        waits(&me, &round([adopted]), "2 of 3 replicas");
        let other = Seen { node: 4, cluster: [8; 16], ..there.clone() };
        waits(&me, &round([there, other]), "different clusters");
    }

    /// Power was cut while a first cluster was being formed, and nothing of it is left but its id.
    #[test]
    fn who_waited_for_another_cluster_begins_anew_before_one_is_formed() {
        let (a, b, c) = (seen(1, "a", ALL), seen(2, "b", ALL), seen(3, "c", ALL));
        let adopted = Seen { adopted: true, ..b };
        waits(&a, &round([adopted.clone(), c.clone()]), "waiting for b to begin anew");
        assert_eq!(decide(&adopted, &round([a.clone(), c.clone()])), Decision::Renew);
        // As long as one is missing, it may be the one that has something of that cluster.
        waits(&adopted, &round([a.clone()]), "2 of 3 replicas");
        let first = Seen { adopted: true, ..a };
        assert_eq!(decide(&first, &round([adopted, c])), Decision::Renew);
    }

    #[test]
    fn whoever_is_unsure_waits_and_says_why() {
        let (a, b, c) = (seen(1, "a", ALL), seen(2, "b", ALL), seen(3, "c", ALL));
        let silent = Round { silent: vec!["c:1: gone".to_owned()], ..round([b.clone()]) };
        waits(&a, &silent, "2 of 3 replicas are here: a, b; no answer: c:1: gone");
        let one_more = Round { silent: silent.silent, ..round([b.clone(), c.clone()]) };
        waits(&a, &one_more, "no answer: c:1");
        let blind = Seen { sees: BTreeSet::from([1, 3]), ..c.clone() };
        waits(&a, &round([b.clone(), blind]), "c does not see all");
        waits(&a, &round([b.clone(), c.clone(), seen(4, "d", ALL)]), "4 replicas are here, not 3");
        waits(&a, &round([b.clone(), Seen { expect: 5, ..c.clone() }]), "c expects 5");
        let namesake = Seen { member: a.member.clone(), ..b.clone() };
        waits(&a, &round([namesake, c.clone()]), "the same name");
        let never = Seen { expect: 0, ..a };
        waits(&never, &round([b, c]), "--cluster.bootstrap-expect");
    }

    fn target(name: &str, addresses: &[&str]) -> Target {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        Target { name: name.to_owned(), addresses }
    }

    /// The silent addresses of those that count; at the other ones these replicas answer.
    fn silent(targets: &[Target], answering: &[(&str, &Seen)]) -> Vec<String> {
        let all = targets.iter().flat_map(|target| target.addresses.clone());
        let answer = |address: String| {
            let seen = answering.iter().find(|(at, _)| *at == address);
            let answer = seen.map(|(_, seen)| Seen::clone(seen)).ok_or(CallError::Timeout);
            (address, answer)
        };
        let missed = missed(targets, &all.map(answer).collect());
        missed.iter().map(|text| text.split(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_other_addresses_of_a_replicas_own_name_are_not_missed() {
        let (a, b, c) = (seen(1, "a", ALL), seen(2, "b", ALL), seen(3, "c", ALL));
        // Each has two, and listens at one: whether the first or the second.
        let targets =
            [target("a:1", &["4a", "6a"]), target("b:1", &["4b", "6b"]), target("c:1", &["c:1"])];
        let answering = [("4a", &a), ("6b", &b), ("c:1", &c)];
        assert!(silent(&targets, &answering).is_empty());
        // Who answers at none is missed at each.
        assert_eq!(silent(&targets, &answering[..2]), ["c:1"]);
        assert_eq!(silent(&targets, &answering[1..]), ["a:1 at 4a", "a:1 at 6a"]);
        // It does not matter that another name has the silent address, too.
        let all = target("gate:1", &["4a", "6a", "4b", "6b"]);
        let [a_only, b_only, _] = targets;
        assert!(silent(&[all, a_only, b_only], &answering).is_empty());
    }

    #[test]
    fn every_address_of_a_name_that_may_be_that_of_several_is_missed() {
        let (a, b) = (seen(1, "a", ALL), seen(2, "b", ALL));
        // That of a headless service, however many of it answer.
        let all = target("gate:1", &["1", "2", "3"]);
        let missing = |answering: &[(&str, &Seen)]| silent(std::slice::from_ref(&all), answering);
        assert_eq!(missing(&[("1", &a), ("2", &b)]), ["gate:1 at 3"]);
        assert_eq!(missing(&[("1", &a), ("3", &a)]), ["gate:1 at 2"]);
        // Replicas that give it as their own address do not make it theirs.
        let shared = |seen: &Seen| {
            let member = Member { address: "gate:1".to_owned(), ..seen.member.clone() };
            Seen { member, ..seen.clone() }
        };
        let (a, b) = (shared(&a), shared(&b));
        assert_eq!(missing(&[("1", &a), ("2", &b)]), ["gate:1 at 3"]);
        let elsewhere = [target("gate:1", &["1", "2"]), target("b:1", &["b:1"])];
        assert_eq!(silent(&elsewhere, &[("1", &a), ("b:1", &b)]), ["gate:1 at 2"]);
        // Nor does it if somebody else is there.
        let b = seen(2, "b", ALL);
        assert_eq!(missing(&[("1", &a), ("2", &b)]), ["gate:1 at 3"]);
        assert!(missing(&[("1", &a)]).is_empty());
    }

    #[test]
    fn a_replica_that_expects_no_other_begins_alone() {
        let me = Seen { expect: 1, ..seen(1, "a", &[1]) };
        assert!(matches!(decide(&me, &round([])), Decision::Form(members) if members.len() == 1));
    }
}
