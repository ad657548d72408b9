//! One client of one member, whichever program that is.

use std::net::SocketAddr;

use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};

use crate::etcd;
use crate::http::{self, Connection};
use crate::servers::request::put;

/// Why a push has no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection could not be made or ended without an answer.
    Broken,
    /// The answer says no.
    Refused(String),
}

/// What is pushed over and over; two versions, so that no push repeats the one before.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    key: Bytes,
    values: [Bytes; 2],
    requests: [Bytes; 2],
    turn: usize,
}

impl Push {
    pub(crate) fn new(name: &str, bytes: usize) -> Push {
        let values = [0, 1].map(|version| Bytes::from(body(bytes, version)));
        let path = format!("/metrics/job/cluster/instance/{name}");
        let requests = values.each_ref().map(|body| put(&path, body).into());
        Push { key: format!("cluster/{name}").into(), values, requests, turn: 0 }
    }

    fn next(&mut self) -> usize {
        self.turn = 1 - self.turn;
        self.turn
    }
}

/// A client.
#[derive(Debug)]
pub(crate) enum Client {
    /// HTTP/1.1; connected when first needed, and again after a failure.
    Gate(SocketAddr, Option<Connection>),
    Etcd(etcd::Client),
}

impl Client {
    pub(crate) fn open(gate: bool, addr: SocketAddr) -> Client {
        if gate { Client::Gate(addr, None) } else { Client::on(&channel(addr)) }
    }

    /// A client of etcd that shares its connection.
    pub(crate) fn on(channel: &Channel) -> Client {
        Client::Etcd(etcd::Client::new(channel.clone()))
    }

    /// A client of quorumgate: status and body.
    async fn exchange(
        addr: SocketAddr,
        kept: &mut Option<Connection>,
        request: &[u8],
    ) -> std::io::Result<(u16, usize)> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(addr).await?,
        };
        let status = connection.exchange(request).await?;
        let bytes = connection.body().len();
        *kept = Some(connection);
        Ok((status, bytes))
    }

    pub(crate) async fn push(&mut self, push: &mut Push) -> Result<(), Failure> {
        let turn = push.next();
        match self {
            Client::Gate(addr, kept) => {
                let exchanged = Client::exchange(*addr, kept, &push.requests[turn]).await;
                match exchanged.map_err(|_| Failure::Broken)? {
                    (200 | 202, _) => Ok(()),
                    (status, _) => {
                        let body = kept.as_ref().map_or(&[][..], Connection::body);
                        let text = String::from_utf8_lossy(body);
                        Err(Failure::Refused(format!("{status} {}", text.trim())))
                    }
                }
            }
            Client::Etcd(client) => {
                let put = client.put(push.key.clone(), push.values[turn].clone()).await;
                put.map_err(|status| {
                    // With a cause it was made up here, else the member sent it.
                    match std::error::Error::source(&status) {
                        Some(_) => Failure::Broken,
                        None => Failure::Refused(status.to_string()),
                    }
                })
            }
        }
    }

    /// Reads everything that was pushed, linearizable; the number of bytes.
    pub(crate) async fn read_all(&mut self) -> usize {
        match self {
            Client::Gate(addr, kept) => {
                let request = http::get("/metrics");
                let (status, bytes) = Client::exchange(*addr, kept, &request).await.unwrap();
                assert_eq!(status, 200, "a scrape was refused");
                bytes
            }
            Client::Etcd(client) => {
                let (from, to) = (Bytes::from_static(b"cluster/"), Bytes::from_static(b"cluster0"));
                client.range(from, to).await.unwrap()
            }
        }
    }

    /// Whether the member, which is called `at`, leads, and its term; `None`: it is not ready.
    pub(crate) async fn leads(mut self, at: usize) -> Option<(bool, u64)> {
        match &mut self {
            Client::Etcd(client) => client.leads().await,
            Client::Gate(addr, _) => {
                let mut connection = Connection::open(*addr).await.ok()?;
                if connection.exchange(&http::get("/-/ready")).await.ok()? != 200 {
                    return None;
                }
                connection.exchange(&http::get("/api/v1/cluster")).await.ok()?;
                let answer: serde_json::Value = serde_json::from_slice(connection.body()).ok()?;
                let cluster = &answer["data"];
                let leader = cluster["leader"].as_str().filter(|name| !name.is_empty())?;
                Some((leader == at.to_string(), cluster["term"].as_u64()?))
            }
        }
    }
}

/// A connection to a member of etcd.
pub(crate) fn channel(addr: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
    endpoint.tcp_nodelay(true).connect_lazy()
}

/// A body of that many bytes: as many samples as fit, and the rest as help.
fn body(bytes: usize, version: usize) -> Vec<u8> {
    const HELP: &str = "# HELP batch_rows Rows handled";
    let mut samples = "\n# TYPE batch_rows gauge\n".to_owned();
    for i in 0.. {
        let sample = format!("batch_rows{{stage=\"stage-{i}\",result=\"ok\"}} {version}{i}.5\n");
        if HELP.len() + samples.len() + sample.len() > bytes {
            break;
        }
        samples.push_str(&sample);
    }
    let filler = ".".repeat(bytes - HELP.len() - samples.len());
    format!("{HELP}{filler}{samples}").into_bytes()
}
