//! The composition root: binds the listeners, starts the replica, serves, and stops in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, UnixNanos};
use crate::config::{
    ClusterConfig, Config, PushConfig, ReadConfig, SelfMetrics, StorageConfig, WebConfig,
    split_host_port,
};
use crate::grpc;
use crate::http;
use crate::limits::Limits;
use crate::raft::{self, Replica};
use crate::telemetry::{BuildInfo, Metrics};

/// Why the server could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listen address cannot be used.
    #[error("cannot listen on {address}: {source} ({flag})")]
    Listen {
        /// The address as given.
        address: String,
        /// The flag that gave it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The replica cannot start or has failed.
    #[error(transparent)]
    Replica(Box<dyn std::error::Error + Send + Sync>),
}

impl From<raft::Error> for Error {
    fn from(err: raft::Error) -> Self {
        Error::Replica(Box::new(err))
    }
}

/// A gateway whose listeners are bound and whose state is recovered.
pub struct Server {
    listeners: Vec<(TcpListener, SocketAddr)>,
    replica: Replica,
    peers: Option<PeerServer>,
    http: http::Options,
    metrics: Metrics,
    shutdown_delay: Duration,
}

/// What answers the other replicas.
struct PeerServer {
    serving: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Binds every listener and recovers the state from disk. A gateway without other replicas can
    /// be served when this returns; one with others says that it is not ready until they are there.
    pub async fn bind(config: Config) -> Result<Server, Error> {
        let Config { web, push, storage, cluster, name, read, limits, log: _, flags, notes } =
            config;
        for note in notes {
            tracing::info!("{note}");
        }
        let listeners = listen(&web.listen_addresses).await?;
        let peer_listener = match &cluster {
            Some(cluster) => Some(bind(&cluster.listen_address, "--cluster.listen-address").await?),
            None => None,
        };
        let metrics = Metrics::new();
        let clock = Clock::System;
        let http = http_options(web, push, read, flags, limits.clone(), clock.now());
        let shutdown_delay = cluster.as_ref().map_or(Duration::ZERO, |c| c.shutdown_delay);
        let name = name.unwrap_or_else(host_name);
        let cluster = cluster.map(|cluster| {
            let port = peer_listener.as_ref().map_or(0, |(_, address)| address.port());
            (advertised(&cluster, port), cluster)
        });
        let (replica, resume) =
            Replica::prepare(replica_options(storage, cluster, name, limits, &metrics, clock))
                .await?;
        let peers = peer_listener.map(|(listener, address)| {
            tracing::info!(address = %address, "listening for other replicas");
            let stop = CancellationToken::new();
            let service = raft::Service::new(replica.clone());
            PeerServer { serving: tokio::spawn(grpc::serve(listener, service, stop.clone())), stop }
        });
        resume.await?;
        Ok(Server { listeners, replica, peers, http, metrics, shutdown_delay })
    }

    /// The addresses that the server listens on.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, address)| *address).collect()
    }

    /// Serves until `shutdown` completes, a client asks for it, or the replica fails; then finishes
    /// what was accepted and brings everything to the disk.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Server { listeners, replica, peers, http: options, metrics, shutdown_delay } = self;
        let (asked, stop) = (CancellationToken::new(), CancellationToken::new());
        let limits = options.limits.clone();
        let app = http::router(options, replica.clone(), metrics, asked.clone());

        let mut serving = JoinSet::new();
        for (listener, address) in listeners {
            tracing::info!(address = %address, "listening");
            let (app, limits, stop) = (app.clone(), limits.clone(), stop.clone());
            serving.spawn(async move { http::serve(listener, app, &limits, stop).await });
        }
        let failure = tokio::select! {
            () = shutdown => None,
            () = asked.cancelled() => None,
            err = replica.failed() => Some(err),
        };
        if failure.is_none() {
            retire(&replica, shutdown_delay).await;
        }
        tracing::info!("stopping: finishing what was accepted");
        stop.cancel();
        while serving.join_next().await.is_some() {}
        if let Some(PeerServer { serving, stop }) = peers {
            stop.cancel();
            // It ends within a bound; a panic of it has already been reported.
            let _ended = serving.await;
        }
        let closed = replica.shutdown().await;
        if closed.is_ok() {
            tracing::info!("stopped");
        }
        failure.map_or(closed, Err).map_err(Error::from)
    }
}

/// Hands over the lead, and gives the load balancer time to send its requests elsewhere.
async fn retire(replica: &Replica, delay: Duration) {
    if replica.retire().await && !delay.is_zero() {
        tracing::info!(
            seconds = delay.as_secs_f64(),
            "not ready any more: waiting for the load balancer"
        );
        tokio::time::sleep(delay).await;
    }
}

/// Where the other replicas reach this one.
fn advertised(cluster: &ClusterConfig, port: u16) -> String {
    if !cluster.advertise_address.is_empty() {
        return cluster.advertise_address.clone();
    }
    let host = match split_host_port(&cluster.listen_address) {
        Ok((host, _)) if !["", "0.0.0.0", "::"].contains(&host) => host.to_owned(),
        _ => host_name(),
    };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn listen(addresses: &[String]) -> Result<Vec<(TcpListener, SocketAddr)>, Error> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(bind(address, "--web.listen-address").await?);
    }
    Ok(listeners)
}

async fn bind(address: &str, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address: address.to_owned(), source, flag };
    // ":9091" means every address of the machine, IPv6 and IPv4.
    let bound = match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(address).await,
    };
    let listener = bound.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// How fast a replica without others elects itself, should its disk know of some.
const TIMING_ALONE: raft::Timing =
    raft::Timing { heartbeat: Duration::from_millis(100), election: Duration::from_millis(800) };

fn replica_options(
    storage: StorageConfig,
    cluster: Option<(String, ClusterConfig)>,
    name: String,
    limits: Limits,
    metrics: &Metrics,
    clock: Clock,
) -> raft::Options {
    let StorageConfig { path, snapshot_entries, snapshot_bytes } = storage;
    let timing = cluster.as_ref().map_or(TIMING_ALONE, |(_, cluster)| raft::Timing {
        heartbeat: cluster.heartbeat_interval,
        election: cluster.election_timeout,
    });
    let clean_up = cluster.as_ref().map(|(_, cluster)| raft::CleanUp {
        after: cluster.dead_member_timeout,
        voters_min: cluster.voters_min,
    });
    raft::Options {
        storage: raft::StorageOptions {
            path,
            name,
            disk_free_min: limits.disk_free_bytes,
            #[cfg(test)]
            by_hand: None,
        },
        cluster: cluster.map(|(address, cluster)| raft::ClusterOptions {
            address,
            join: cluster.join,
            expect: cluster.bootstrap_expect,
        }),
        parts: raft::Parts {
            transport: Arc::new(grpc::Tcp),
            timing,
            clean_up: clean_up.filter(|clean_up| !clean_up.after.is_zero()),
            snapshots: raft::SnapshotPolicy { entries: snapshot_entries, bytes: snapshot_bytes },
            limits,
            clock,
            metrics: metrics.clone(),
        },
    }
}

/// What this machine calls itself; names the replica at its first start.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn http_options(
    web: WebConfig,
    push: PushConfig,
    read: ReadConfig,
    flags: std::collections::BTreeMap<String, String>,
    limits: Limits,
    started: UnixNanos,
) -> http::Options {
    let WebConfig {
        listen_addresses: _,
        telemetry_path,
        external_url,
        route_prefix,
        enable_lifecycle,
        enable_admin_api,
        self_metrics,
    } = web;
    let PushConfig { check_consistency, utf8_names } = push;
    http::Options {
        telemetry_path,
        route_prefix,
        external_url,
        enable_lifecycle,
        enable_admin_api,
        utf8_names,
        checked: check_consistency,
        inline_self_metrics: self_metrics == SelfMetrics::Inline,
        stale_reads: read.stale,
        max_staleness: read.max_staleness,
        read_timeout: read.timeout,
        flags,
        build: BuildInfo::current(),
        started,
        limits,
    }
}
