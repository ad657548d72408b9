//! A network that delays, loses, repeats, reorders and holds back what replicas send each other.
//!
//! Calls overtake each other. The messages of one stream do not, as over TCP: a stream that loses one
//! ends. A copy of an append may come again later, on a stream of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use prost::Message;

use super::chance::Chance;
use super::disk::Life;
use crate::pb::v1;
use crate::raft::service::Service;
use crate::raft::transport::{
    Answer, Answers, Call, CallError, Lane, Peer, Requests, Route, Transport,
};

/// How often what is held back looks whether the way is free.
const HELD_PAUSE: Duration = Duration::from_millis(25);

/// What happens to messages of a direction that is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// They are lost.
    Cut,
    /// They wait until it is open again.
    Held,
}

/// How bad the network is, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) repeated: u64,
    /// Messages that take much longer than others.
    pub(super) late: u64,
    pub(super) spoiled: u64,
}

/// A vote by its order: term, then node.
pub(super) type Promise = (u64, u64);

#[derive(Clone)]
pub(super) struct SimNet {
    chance: Arc<Chance>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    there: BTreeMap<String, (Service, Life)>,
    closed: BTreeMap<(String, String), Closed>,
    weather: Weather,
    /// The highest vote that each node has told anybody of.
    promised: BTreeMap<u64, Promise>,
    calls: u64,
}

impl SimNet {
    pub(super) fn new(chance: Arc<Chance>) -> SimNet {
        SimNet { chance, inner: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(super) fn at(&self, address: &str, life: &Life) -> Arc<dyn Transport> {
        Arc::new(Seat { net: self.clone(), address: address.to_owned(), life: life.clone() })
    }

    pub(super) fn serve(&self, address: &str, service: Service, life: &Life) {
        self.lock().there.insert(address.to_owned(), (service, life.clone()));
    }

    pub(super) fn leave(&self, address: &str) {
        self.lock().there.remove(address);
    }

    pub(super) fn close(&self, from: &str, to: &str, how: Closed) {
        self.lock().closed.insert((from.to_owned(), to.to_owned()), how);
    }

    pub(super) fn heal(&self) {
        self.lock().closed.clear();
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    pub(super) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// What a node has told others that it voted for.
    pub(super) fn promised(&self, node: u64) -> Option<Promise> {
        self.lock().promised.get(&node).copied()
    }

    fn promise(&self, node: u64, vote: Option<&v1::Vote>) {
        let Some(vote) = vote else { return };
        let promise = (vote.term, vote.node_id);
        let mut inner = self.lock();
        let known = inner.promised.entry(node).or_default();
        *known = promise.max(*known);
    }

    fn closed(&self, from: &str, to: &str) -> Option<Closed> {
        self.lock().closed.get(&(from.to_owned(), to.to_owned())).copied()
    }

    /// The way of one message.
    async fn pass(&self, from: &str, to: &str) -> Result<(), CallError> {
        let weather = self.lock().weather;
        let late = self.chance.permille(weather.late);
        let delay = if late { self.chance.millis(10, 400) } else { self.chance.micros(50, 3000) };
        tokio::time::sleep(delay).await;
        if self.chance.permille(weather.lost) {
            return Err(CallError::Lost("lost on its way".to_owned()));
        }
        loop {
            match self.closed(from, to) {
                None => return Ok(()),
                Some(Closed::Cut) => return Err(CallError::Lost("the link is cut".to_owned())),
                Some(Closed::Held) => tokio::time::sleep(HELD_PAUSE).await,
            }
        }
    }
}

struct Seat {
    net: SimNet,
    address: String,
    life: Life,
}

impl Transport for Seat {
    fn connect(&self, address: &str, _lane: Lane) -> Arc<dyn Peer> {
        let (net, from, to) = (self.net.clone(), self.address.clone(), address.to_owned());
        Arc::new(Link { net, from, to, life: self.life.clone() })
    }
}

#[derive(Clone)]
struct Link {
    net: SimNet,
    from: String,
    to: String,
    /// Of the one who sends.
    life: Life,
}

fn carried<T: Message + Default>(message: &T) -> T {
    T::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn nobody() -> CallError {
    CallError::Unreachable("nobody is there".to_owned())
}

impl Link {
    fn there(&self) -> Result<(Service, Life), CallError> {
        let there = self.net.lock().there.get(&self.to).cloned();
        there.filter(|(_, life)| life.goes_on()).ok_or_else(nobody)
    }

    /// Whether a message that is sent now comes again, and after what time. What a process goes on to
    /// say after its end was never sent.
    fn repeats(&self) -> Option<Duration> {
        let (chance, weather) = (&self.net.chance, self.net.lock().weather);
        let again = chance.permille(weather.repeated) && self.life.goes_on();
        again.then(|| chance.millis(1, 1500))
    }

    /// Carries a question there, and its answer back unless who answers has ended meanwhile.
    async fn carry<A, F>(self, answer: impl FnOnce(Service) -> F) -> Result<A, CallError>
    where
        A: Message + Default,
        F: Future<Output = Result<A, CallError>>,
    {
        if !self.life.goes_on() {
            return Err(nobody());
        }
        self.net.pass(&self.from, &self.to).await?;
        let (service, life) = self.there()?;
        let answer = answer(service).await;
        if !life.goes_on() {
            return Err(CallError::Lost("the peer is gone".to_owned()));
        }
        self.net.pass(&self.to, &self.from).await?;
        answer.map(|answer| carried(&answer))
    }

    fn ask<Q, A, F, H>(&self, call: Call, question: &Q, repeatable: bool, answer: H) -> Answer<A>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<A, CallError>> + Send + 'static,
        H: Fn(Service, Route, Q) -> F + Clone + Send + 'static,
    {
        self.net.lock().calls += 1;
        let route = call.route;
        if repeatable && let Some(after) = self.repeats() {
            let (link, question, answer) = (self.clone(), carried(question), answer.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                drop(link.carry(move |service| answer(service, route, question)).await);
            });
        }
        let (link, question) = (self.clone(), carried(question));
        // Who was asked goes on when nobody waits for the answer any more.
        let asked = tokio::spawn(link.carry(move |service| answer(service, route, question)));
        async move {
            match tokio::time::timeout(call.timeout, asked).await {
                Ok(answered) => answered.unwrap_or_else(|_| Err(nobody())),
                Err(_) => Err(CallError::Timeout),
            }
        }
        .boxed()
    }

    /// The messages that get through; the first that does not ends the stream.
    fn through<T: Message + Default + 'static>(
        &self,
        messages: Requests<T>,
        spoil: bool,
    ) -> impl Stream<Item = Result<T, CallError>> + Send + Unpin + 'static + use<T> {
        let link = self.clone();
        let arrived = messages.then(move |message| {
            let link = link.clone();
            async move {
                if !link.life.goes_on() {
                    return Err(nobody());
                }
                link.net.pass(&link.from, &link.to).await?;
                let spoiled = link.net.lock().weather.spoiled;
                if spoil && link.net.chance.permille(spoiled) {
                    let mut bytes = message.encode_to_vec();
                    let at = link.net.chance.index(bytes.len());
                    bytes[at] ^= 1;
                    return T::decode(bytes.as_slice())
                        .map_err(|_| CallError::Lost("spoiled".to_owned()));
                }
                Ok(carried(&message))
            }
        });
        until_error(arrived)
    }

    fn repeat_append(&self, route: Route, request: &v1::AppendRequest) {
        let Some(after) = self.repeats() else { return };
        let (link, request) = (self.clone(), carried(request));
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Ok((service, _)) = link.there()
                && let Ok(answers) = service.append(route, stream::iter([Ok(request)]))
            {
                answers.for_each(|_| std::future::ready(())).await;
            }
        });
    }
}

/// The items up to the first error, which is the last.
fn until_error<T: Send + 'static>(
    items: impl Stream<Item = Result<T, CallError>> + Send + 'static,
) -> impl Stream<Item = Result<T, CallError>> + Send + Unpin + 'static {
    items
        .scan(false, |ended, item| {
            let over = std::mem::replace(ended, item.is_err());
            std::future::ready((!over).then_some(item))
        })
        .boxed()
}

impl Peer for Link {
    fn identify(&self, call: Call, request: v1::IdentifyRequest) -> Answer<v1::IdentifyResponse> {
        let answer = |service: Service, route, _: v1::IdentifyRequest| async move {
            Ok(service.identify(route))
        };
        self.ask(call, &request, false, answer)
    }

    fn vote(&self, call: Call, request: v1::VoteRequest) -> Answer<v1::VoteResponse> {
        let link = self.clone();
        self.ask(call, &request, true, move |service: Service, route, request: v1::VoteRequest| {
            let link = link.clone();
            async move {
                let (vote, pre_vote) = (request.vote, request.pre_vote);
                let answer = service.vote(route, request).await?;
                // Who has ended while it answered is not heard.
                if answer.granted && !pre_vote && link.there().is_ok() {
                    link.net.promise(route.to, vote.as_ref());
                }
                Ok(answer)
            }
        })
    }

    fn append(
        &self,
        call: Call,
        requests: Requests<v1::AppendRequest>,
    ) -> Answer<Answers<v1::AppendResponse>> {
        let link = self.clone();
        let begun = async move {
            let (service, life) = link.there()?;
            link.net.lock().calls += 1;
            let (repeats, route) = (link.clone(), call.route);
            let vote = Arc::new(Mutex::new(None));
            let asked = Arc::clone(&vote);
            let requests = requests.inspect(move |request: &v1::AppendRequest| {
                *asked.lock().unwrap() = request.vote;
                repeats.repeat_append(route, request);
            });
            let answers = service.append(call.route, link.through(requests.boxed(), false))?;
            let answers = answers.then(move |answer| {
                let (link, life, vote) = (link.clone(), life.clone(), Arc::clone(&vote));
                async move {
                    let answer = answer?;
                    if !life.goes_on() {
                        return Err(CallError::Lost("the peer is gone".to_owned()));
                    }
                    if let Some(v1::append_response::Result::Matched(_)) = answer.result {
                        link.net.promise(route.to, vote.lock().unwrap().as_ref());
                    }
                    link.net.pass(&link.to, &link.from).await?;
                    Ok(carried(&answer))
                }
            });
            Ok(until_error(answers).boxed())
        };
        begun.boxed()
    }

    fn install_snapshot(
        &self,
        call: Call,
        chunks: Requests<v1::SnapshotChunk>,
    ) -> Answer<v1::InstallSnapshotResponse> {
        let link = self.clone();
        let sent = async move {
            let (service, life) = link.there()?;
            let chunks = link.through(chunks, true);
            let answer = service.install_snapshot(call.route, chunks).await?;
            if !life.goes_on() {
                return Err(CallError::Lost("the peer is gone".to_owned()));
            }
            link.net.pass(&link.to, &link.from).await?;
            Ok(carried(&answer))
        };
        let timeout = call.timeout;
        async move { tokio::time::timeout(timeout, sent).await.unwrap_or(Err(CallError::Timeout)) }
            .boxed()
    }

    fn transfer_leader(
        &self,
        call: Call,
        request: v1::TransferLeaderRequest,
    ) -> Answer<v1::TransferLeaderResponse> {
        self.ask(call, &request, false, |service: Service, route, request| async move {
            service.transfer_leader(route, request).await
        })
    }

    fn propose(&self, call: Call, request: v1::ProposeRequest) -> Answer<v1::ProposeResponse> {
        self.ask(call, &request, true, |service: Service, route, request| async move {
            service.propose(route, request).await
        })
    }

    fn read_index(
        &self,
        call: Call,
        request: v1::ReadIndexRequest,
    ) -> Answer<v1::ReadIndexResponse> {
        self.ask(call, &request, true, |service: Service, route, request| async move {
            service.read_index(route, request).await
        })
    }

    fn change_members(
        &self,
        call: Call,
        request: v1::ChangeMembersRequest,
    ) -> Answer<v1::ChangeMembersResponse> {
        self.ask(call, &request, false, |service: Service, route, request| async move {
            service.change_members(route, request).await
        })
    }
}

/// The directions between two parts of the replicas.
pub(super) fn between(some: &BTreeSet<String>, others: &BTreeSet<String>) -> Vec<(String, String)> {
    let pairs = some.iter().flat_map(|a| others.iter().map(move |b| (a.clone(), b.clone())));
    pairs.filter(|(a, b)| a != b).collect()
}
