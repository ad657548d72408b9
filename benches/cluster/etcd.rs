//! As much of etcd's gRPC API as is measured; what is not needed of its messages is left out.

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::Status;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    /// Beyond the last key.
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    /// Messages, as bytes: nobody looks inside.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    kvs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(uint64, tag = "4")]
    raft_term: u64,
}

/// One client. Channels can be shared by several, as their calls are multiplexed.
#[derive(Debug, Clone)]
pub(crate) struct Client(Grpc<Channel>);

impl Client {
    pub(crate) fn new(channel: Channel) -> Client {
        Client(Grpc::new(channel).max_decoding_message_size(64 << 20))
    }

    async fn call<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let lost = |err: tonic::transport::Error| Status::from_error(Box::new(err));
        self.0.ready().await.map_err(lost)?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        self.0
            .unary(tonic::Request::new(request), path, codec)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), Status> {
        let request = PutRequest { key, value };
        let put = self.call::<_, PutResponse>("/etcdserverpb.KV/Put", request).await;
        put.map(drop)
    }

    /// Everything from `key` to before `range_end`, linearizable; the number of bytes.
    pub(crate) async fn range(&mut self, key: Bytes, range_end: Bytes) -> Result<usize, Status> {
        let request = RangeRequest { key, range_end };
        let answer = self.call::<_, RangeResponse>("/etcdserverpb.KV/Range", request).await?;
        Ok(answer.kvs.iter().map(Bytes::len).sum())
    }

    /// Whether the member leads, and its term; `None`: it knows no leader.
    pub(crate) async fn leads(&mut self) -> Option<(bool, u64)> {
        let path = "/etcdserverpb.Maintenance/Status";
        let answer = self.call::<_, StatusResponse>(path, StatusRequest {}).await.ok()?;
        let header = answer.header?;
        (answer.leader != 0).then_some((answer.leader == header.member_id, header.raft_term))
    }
}
