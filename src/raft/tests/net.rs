//! A network inside the test's process. Its links can be cut, each direction by itself; every message
//! goes through the real encoding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt};
use prost::Message;

use crate::pb::v1;
use crate::raft::service::Service;
use crate::raft::transport::{
    Answer, Answers, Call, CallError, Lane, Peer, Requests, Route, Transport,
};

/// Who is where, and which ways are open. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Net {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    services: BTreeMap<String, Service>,
    /// What names stand for when a connection is made.
    names: BTreeMap<String, String>,
    /// Connections made so far, by where to.
    connections: BTreeMap<String, usize>,
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(String, String)>,
    /// From whom to whom no log entry and no snapshot gets through.
    starved: BTreeSet<(String, String)>,
    /// Calls to where nobody is.
    in_vain: usize,
}

impl Net {
    /// The network as the replica at `address` sees it.
    pub(super) fn at(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(Seat { net: self.clone(), address: address.to_owned() })
    }

    pub(super) fn serve(&self, address: &str, service: Service) {
        self.inner.lock().unwrap().services.insert(address.to_owned(), service);
    }

    pub(super) fn leave(&self, address: &str) {
        self.inner.lock().unwrap().services.remove(address);
    }

    /// Cuts one direction.
    pub(super) fn cut(&self, from: &str, to: &str) {
        self.inner.lock().unwrap().cut.insert((from.to_owned(), to.to_owned()));
    }

    /// Cuts one direction for log entries and snapshots, so that all the rest still gets through.
    pub(super) fn starve(&self, from: &str, to: &str) {
        self.inner.lock().unwrap().starved.insert((from.to_owned(), to.to_owned()));
    }

    /// Has a name stand for an address, which is that of another replica than before perhaps.
    pub(super) fn name(&self, name: &str, address: &str) {
        self.inner.lock().unwrap().names.insert(name.to_owned(), address.to_owned());
    }

    /// How many connections to a name or an address were made so far.
    pub(super) fn connections_to(&self, name: &str) -> usize {
        self.inner.lock().unwrap().connections.get(name).copied().unwrap_or(0)
    }

    /// Cuts a replica off from all others.
    pub(super) fn isolate(&self, address: &str) {
        let others: Vec<String> = self.inner.lock().unwrap().services.keys().cloned().collect();
        for other in others.iter().filter(|other| *other != address) {
            self.cut(address, other);
            self.cut(other, address);
        }
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.cut.clear();
        inner.starved.clear();
    }

    /// Calls so far to where nobody is.
    pub(super) fn calls_in_vain(&self) -> usize {
        self.inner.lock().unwrap().in_vain
    }

    fn way(&self, from: &str, to: &str, lane: Lane) -> Result<(), CallError> {
        let (inner, link) = (self.inner.lock().unwrap(), (from.to_owned(), to.to_owned()));
        let starved = lane != Lane::Control && inner.starved.contains(&link);
        if starved || inner.cut.contains(&link) {
            Err(CallError::Unreachable("the link is cut".to_owned()))
        } else {
            Ok(())
        }
    }
}

struct Seat {
    net: Net,
    address: String,
}

impl Transport for Seat {
    fn connect(&self, address: &str, lane: Lane) -> Arc<dyn Peer> {
        let mut inner = self.net.inner.lock().unwrap();
        *inner.connections.entry(address.to_owned()).or_default() += 1;
        let to = inner.names.get(address).map_or(address, String::as_str).to_owned();
        Arc::new(Link { net: self.net.clone(), from: self.address.clone(), to, lane })
    }
}

#[derive(Clone)]
struct Link {
    net: Net,
    from: String,
    to: String,
    lane: Lane,
}

/// What arrives of a message that was sent.
fn carried<T: Message + Default>(message: &T) -> T {
    T::decode(message.encode_to_vec().as_slice()).unwrap()
}

impl Link {
    fn there_is_a_way(&self) -> Result<(), CallError> {
        self.net.way(&self.from, &self.to, self.lane)
    }

    fn there_is_a_way_back(&self) -> Result<(), CallError> {
        self.net.way(&self.to, &self.from, self.lane)
    }

    fn there(&self) -> Result<Service, CallError> {
        self.there_is_a_way()?;
        let mut inner = self.net.inner.lock().unwrap();
        let service = inner.services.get(&self.to).cloned();
        inner.in_vain += usize::from(service.is_none());
        service.ok_or_else(|| CallError::Unreachable("nobody is there".to_owned()))
    }

    fn ask<Q, A, F>(
        &self,
        call: Call,
        question: &Q,
        answer: impl FnOnce(Service, Route, Q) -> F + Send + 'static,
    ) -> Answer<A>
    where
        Q: Message + Default + 'static,
        A: Message + Default,
        F: Future<Output = Result<A, CallError>> + Send + 'static,
    {
        let (link, question) = (self.clone(), carried(question));
        async move {
            let answering = answer(link.there()?, call.route, question);
            let answer = tokio::time::timeout(call.timeout, answering).await;
            // What was done is done; but nobody hears of it.
            link.there_is_a_way_back()?;
            answer.unwrap_or(Err(CallError::Timeout)).map(|answer| carried(&answer))
        }
        .boxed()
    }

    /// The messages that get through; the first that does not ends the stream.
    fn through<T: Message + Default + 'static>(
        &self,
        messages: Requests<T>,
    ) -> impl futures_util::Stream<Item = Result<T, CallError>> + Send + Unpin + 'static {
        let link = self.clone();
        messages.map(move |message| {
            link.there_is_a_way()?;
            Ok(carried(&message))
        })
    }
}

impl Peer for Link {
    fn identify(&self, call: Call, request: v1::IdentifyRequest) -> Answer<v1::IdentifyResponse> {
        self.ask(call, &request, |service, route, _| async move { Ok(service.identify(route)) })
    }

    fn vote(&self, call: Call, request: v1::VoteRequest) -> Answer<v1::VoteResponse> {
        self.ask(call, &request, |service, route, request| async move {
            service.vote(route, request).await
        })
    }

    fn append(
        &self,
        call: Call,
        requests: Requests<v1::AppendRequest>,
    ) -> Answer<Answers<v1::AppendResponse>> {
        let link = self.clone();
        async move {
            let answers = link.there()?.append(call.route, link.through(requests))?;
            let back = link.clone();
            Ok(answers
                .map(move |answer| {
                    back.there_is_a_way_back()?;
                    Ok(carried(&answer?))
                })
                .boxed())
        }
        .boxed()
    }

    fn install_snapshot(
        &self,
        call: Call,
        chunks: Requests<v1::SnapshotChunk>,
    ) -> Answer<v1::InstallSnapshotResponse> {
        let link = self.clone();
        async move {
            let answer = link.there()?.install_snapshot(call.route, link.through(chunks)).await?;
            link.there_is_a_way_back()?;
            Ok(carried(&answer))
        }
        .boxed()
    }

    fn transfer_leader(
        &self,
        call: Call,
        request: v1::TransferLeaderRequest,
    ) -> Answer<v1::TransferLeaderResponse> {
        self.ask(call, &request, |service, route, request| async move {
            service.transfer_leader(route, request).await
        })
    }

    fn propose(&self, call: Call, request: v1::ProposeRequest) -> Answer<v1::ProposeResponse> {
        self.ask(call, &request, |service, route, request| async move {
            service.propose(route, request).await
        })
    }

    fn read_index(
        &self,
        call: Call,
        request: v1::ReadIndexRequest,
    ) -> Answer<v1::ReadIndexResponse> {
        self.ask(call, &request, |service, route, request| async move {
            service.read_index(route, request).await
        })
    }

    fn change_members(
        &self,
        call: Call,
        request: v1::ChangeMembersRequest,
    ) -> Answer<v1::ChangeMembersResponse> {
        self.ask(call, &request, |service, route, request| async move {
            service.change_members(route, request).await
        })
    }
}
