//! Calls to peers.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{FutureExt, Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::route;
use crate::limits::{
    PEER_CONNECT_TIMEOUT, PEER_MESSAGE_BYTES_MAX, PEER_PING_INTERVAL, PEER_PING_TIMEOUT,
    PEER_WINDOW_BYTES,
};
use crate::pb::v1;
use crate::pb::v1::cluster_client::ClusterClient;
use crate::raft::{Answer, Answers, Call, CallError, Lane, Peer, Requests, Transport};

/// Connections over TCP.
pub(crate) struct Tcp;

impl Transport for Tcp {
    fn connect(&self, address: &str, _lane: Lane) -> Arc<dyn Peer> {
        let endpoint = match Endpoint::from_shared(format!("http://{address}")) {
            Ok(endpoint) => endpoint,
            Err(err) => return Arc::new(Connection(Err(format!("{address:?}: {err}")))),
        };
        let channel = endpoint
            .connect_timeout(PEER_CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PEER_PING_INTERVAL)
            .keep_alive_timeout(PEER_PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(PEER_WINDOW_BYTES)
            .initial_connection_window_size(PEER_WINDOW_BYTES)
            .connect_lazy();
        let client = ClusterClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
        Arc::new(Connection(Ok(client)))
    }
}

/// The messages of one call. A type with a name, since the compiler cannot prove of the stream inside
/// what tonic asks for.
struct Sending<T>(Requests<T>);

impl<T> Stream for Sending<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// A connection, or why there cannot be one.
struct Connection(Result<ClusterClient<Channel>, String>);

impl Connection {
    /// Makes a call whose answer is one message, or the beginning of several.
    fn make<T, A, F>(
        &self,
        call: Call,
        message: T,
        make: impl FnOnce(ClusterClient<Channel>, Request<T>) -> F + Send + 'static,
    ) -> Answer<A>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        let client = self.0.clone();
        async move {
            let client = client.map_err(CallError::Unreachable)?;
            let mut request = Request::new(message);
            route::write(call.route, request.metadata_mut());
            match tokio::time::timeout(call.timeout, make(client, request)).await {
                Ok(answer) => answer.map(Response::into_inner).map_err(|status| failure(&status)),
                Err(_) => Err(CallError::Timeout),
            }
        }
        .boxed()
    }
}

fn failure(status: &Status) -> CallError {
    let never_connected = causes(status).any(<dyn Error>::is::<tonic::ConnectError>);
    let text = match causes(status).last() {
        Some(root) => format!("{}: {root}", status.message()),
        None => status.message().to_owned(),
    };
    match status.code() {
        _ if never_connected => CallError::Unreachable(text),
        Code::Unavailable => CallError::Lost(text),
        Code::DeadlineExceeded | Code::Cancelled => CallError::Timeout,
        Code::FailedPrecondition => CallError::Refused(text),
        // What a broken connection is reported as.
        Code::Unknown if status.metadata().is_empty() => CallError::Lost(text),
        _ => CallError::Failed(text),
    }
}

/// What led to it, the nearest first.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Error::source(status), |cause: &&(dyn Error + 'static)| (*cause).source())
}

impl Peer for Connection {
    fn identify(&self, call: Call, request: v1::IdentifyRequest) -> Answer<v1::IdentifyResponse> {
        self.make(
            call,
            request,
            |mut client, request| async move { client.identify(request).await },
        )
    }

    fn vote(&self, call: Call, request: v1::VoteRequest) -> Answer<v1::VoteResponse> {
        self.make(call, request, |mut client, request| async move { client.vote(request).await })
    }

    fn append(
        &self,
        call: Call,
        requests: Requests<v1::AppendRequest>,
    ) -> Answer<Answers<v1::AppendResponse>> {
        let answers = self.make(call, Sending(requests), |mut client, request| async move {
            client.append(request).await
        });
        async move {
            let answers = answers.await?;
            Ok(answers.map(|answer| answer.map_err(|status| failure(&status))).boxed())
        }
        .boxed()
    }

    fn install_snapshot(
        &self,
        call: Call,
        chunks: Requests<v1::SnapshotChunk>,
    ) -> Answer<v1::InstallSnapshotResponse> {
        self.make(call, Sending(chunks), |mut client, request| async move {
            client.install_snapshot(request).await
        })
    }

    fn transfer_leader(
        &self,
        call: Call,
        request: v1::TransferLeaderRequest,
    ) -> Answer<v1::TransferLeaderResponse> {
        self.make(call, request, |mut client, request| async move {
            client.transfer_leader(request).await
        })
    }

    fn propose(&self, call: Call, request: v1::ProposeRequest) -> Answer<v1::ProposeResponse> {
        self.make(call, request, |mut client, request| async move { client.propose(request).await })
    }

    fn read_index(
        &self,
        call: Call,
        request: v1::ReadIndexRequest,
    ) -> Answer<v1::ReadIndexResponse> {
        self.make(
            call,
            request,
            |mut client, request| async move { client.read_index(request).await },
        )
    }

    fn change_members(
        &self,
        call: Call,
        request: v1::ChangeMembersRequest,
    ) -> Answer<v1::ChangeMembersResponse> {
        self.make(call, request, |mut client, request| async move {
            client.change_members(request).await
        })
    }
}
