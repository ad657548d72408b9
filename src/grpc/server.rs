//! Answers the calls of peers.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::route;
use crate::limits::{
    PEER_MESSAGE_BYTES_MAX, PEER_PING_INTERVAL, PEER_PING_TIMEOUT, PEER_STREAMS_MAX,
    PEER_WINDOW_BYTES,
};
use crate::pb::v1;
use crate::pb::v1::cluster_server::{Cluster, ClusterServer};
use crate::raft::{Answers, CallError, Service};

/// Pause after a connection could not be accepted, as for want of a file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long calls under way may take when stopping.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, service: Service, stop: CancellationToken) {
    let cluster = ClusterServer::new(Answering { service, stop: stop.clone() })
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PEER_PING_INTERVAL))
        .http2_keepalive_timeout(Some(PEER_PING_TIMEOUT))
        .max_concurrent_streams(Some(PEER_STREAMS_MAX))
        .initial_stream_window_size(PEER_WINDOW_BYTES)
        .initial_connection_window_size(PEER_WINDOW_BYTES)
        .add_service(cluster)
        .serve_with_incoming_shutdown(connections(listener), stop.clone().cancelled_owned());
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => if let Err(err) = served {
            tracing::error!(err = %err, "cannot serve the other replicas any more");
        },
        () = stopped => {}
    }
}

fn connections(listener: TcpListener) -> impl Stream<Item = std::io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    // Without this, every answer could wait 40 ms for an acknowledgement.
                    let prompt = connection.set_nodelay(true).map(|()| connection);
                    return Some((prompt, listener));
                }
                Err(err) => {
                    tracing::warn!(err = %err, "cannot accept a connection of a replica");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

struct Answering {
    service: Service,
    stop: CancellationToken,
}

fn status(err: CallError) -> Status {
    match err {
        CallError::Unreachable(text) | CallError::Lost(text) => Status::unavailable(text),
        CallError::Timeout => Status::deadline_exceeded("no answer in time"),
        CallError::Refused(text) => Status::failed_precondition(text),
        CallError::Failed(text) => Status::internal(text),
    }
}

/// The messages of a stream, whose transport errors become ours.
fn messages<T: Send + 'static>(
    requests: Streaming<T>,
) -> impl Stream<Item = Result<T, CallError>> + Send + Unpin + 'static {
    requests.map(|message| message.map_err(|err| CallError::Failed(err.message().to_owned())))
}

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Cluster for Answering {
    async fn identify(
        &self,
        request: Request<v1::IdentifyRequest>,
    ) -> Answered<v1::IdentifyResponse> {
        let route = route::read(request.metadata())?;
        Ok(Response::new(self.service.identify(route)))
    }

    async fn vote(&self, request: Request<v1::VoteRequest>) -> Answered<v1::VoteResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.vote(route, request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    type AppendStream = stream::BoxStream<'static, Result<v1::AppendResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Answered<Self::AppendStream> {
        let route = route::read(request.metadata())?;
        // A leader never ends its stream, and what came by it after Raft has stopped would be an error.
        let requests =
            messages(request.into_inner()).take_until(self.stop.clone().cancelled_owned());
        let answers: Answers<_> = self.service.append(route, requests).map_err(status)?;
        Ok(Response::new(answers.map(|answer| answer.map_err(status)).boxed()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotChunk>>,
    ) -> Answered<v1::InstallSnapshotResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.install_snapshot(route, messages(request.into_inner())).await;
        answer.map(Response::new).map_err(status)
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Answered<v1::TransferLeaderResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.transfer_leader(route, request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    async fn propose(&self, request: Request<v1::ProposeRequest>) -> Answered<v1::ProposeResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.propose(route, request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Answered<v1::ReadIndexResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.read_index(route, request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Answered<v1::ChangeMembersResponse> {
        let route = route::read(request.metadata())?;
        let answer = self.service.change_members(route, request.into_inner()).await;
        answer.map(Response::new).map_err(status)
    }
}
