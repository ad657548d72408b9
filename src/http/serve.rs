//! Connections: accepting them, speaking HTTP/1 or HTTP/2 over them, and ending them in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::App;
use super::app::Arrival;
use super::conn::{Activity, BoundedIo};
use crate::limits::{HTTP2_PING_INTERVAL, HTTP2_PING_TIMEOUT, HTTP2_STREAMS_MAX, Limits};
use crate::telemetry::Refusal;

/// Pause after a failed accept, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// hyper accepts no smaller buffer for a header block.
const HEADER_BYTES_MIN: usize = 8 << 10;

/// Serves all connections of one listener until `shutdown`, then finishes the accepted requests
/// within the shutdown timeout. Returns when no connection is left.
pub(crate) async fn serve(
    listener: TcpListener,
    app: App,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let builder = Arc::new(connection_builder(limits));
    let graceful = GracefulShutdown::new();
    let abandon = CancellationToken::new();
    let _abandon_rest = abandon.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_peers_fault(&error) => continue,
            Err(error) => {
                tracing::warn!(err = %error, "cannot accept connections");
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        let Ok(slot) = app.connection_slot() else {
            app.metrics().observe_refusal(Refusal::Connections);
            tracing::debug!(source = %peer, "too many connections, closed a new one");
            continue;
        };
        let connection = Connection {
            socket,
            peer,
            app: app.clone(),
            builder: Arc::clone(&builder),
            watcher: graceful.watcher(),
            slot,
        };
        let limits = limits.clone();
        let abandoned = abandon.clone();
        drop(tokio::spawn(async move {
            tokio::select! {
                () = connection.run(&limits) => {}
                () = abandoned.cancelled() => {}
            }
        }));
    }
    // The port is free from here on, so that a successor can take it.
    drop(listener);
    let connections = graceful.count();
    if tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections, "some requests were not finished before the shutdown timeout");
    }
}

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    app: App,
    builder: Arc<Builder<TokioExecutor>>,
    watcher: Watcher,
    slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, limits: &Limits) {
        let Connection { socket, peer, app, builder, watcher, slot } = self;
        if let Err(error) = tune(&socket) {
            tracing::debug!(source = %peer, err = %error, "cannot set the options of a socket");
        }
        let activity = Arc::new(Activity::default());
        let io = BoundedIo::new(socket, Arc::clone(&activity), limits);
        let (metrics, shared) = (app.metrics().clone(), Arc::clone(&activity));
        let routes = app.routes();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let http2 = request.version() == http::Version::HTTP_2;
            let in_progress = Arc::new(activity.begin(http2));
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Arrival { peer, in_progress });
            routes.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(io), service);
        if let Err(error) = watcher.watch(connection).await {
            let too_long =
                error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large);
            if too_long || shared.header_was_too_slow() {
                metrics.observe_refusal(Refusal::Header);
            }
            tracing::debug!(source = %peer, err = %error, "connection ended");
        }
        drop(slot);
    }
}

/// Answers leave at once, and no more of them waits in the kernel than the reader's pace allows for.
fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(crate::limits::ANSWER_BYTES_UNSENT_MAX)?;
    Ok(())
}

fn connection_builder(limits: &Limits) -> Builder<TokioExecutor> {
    // HTTP header names in the spelling that Go sends: some scripts compare them byte by byte.
    let mut builder = Builder::new(TokioExecutor::new()).title_case_headers(true);
    builder
        .http1()
        .timer(TokioTimer::new())
        // BoundedIo does this, and can tell an idle connection from a slow header block.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes.max(HEADER_BYTES_MIN))
        // A client that has closed its sending side still wants its answer.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

/// Whether only the connection that was about to be accepted has failed.
fn is_peers_fault(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
