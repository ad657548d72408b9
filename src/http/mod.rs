//! The HTTP edge: what clients, scrapers and browsers see.
//!
//! What it is: routes, reading and decoding of requests, the calls to the replica, and the answers,
//! byte for byte those of the upstream Pushgateway 1.11.2 wherever `docs/compatibility.md` does not
//! say otherwise. It speaks HTTP/1.0, HTTP/1.1 and HTTP/2 over plain TCP.
//!
//! What it promises: a push, delete or wipe is answered only after it is committed; a scrape is not
//! older than any change acknowledged before it began; every wait, buffer and count is bounded, and
//! who exceeds a bound is told which one; parsing and rendering of large bodies leaves the runtime's
//! threads alone.
//!
//! What it must never do: decide anything about the state, name openraft or the disk, or keep
//! anything between requests but counters.

mod admin;
mod api_v1;
mod app;
mod body;
mod budget;
mod cluster;
mod conn;
mod consistency;
mod decode;
mod delete;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gobase64;
mod gojson;
mod lifecycle;
mod metric_json;
mod native;
mod observe;
mod path;
mod push;
mod reply;
mod request_id;
mod router;
mod scrape;
mod serve;
mod status_page;
mod url;

pub(crate) use app::App;
pub(crate) use serve::serve;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::UnixNanos;
use crate::limits::Limits;
use crate::raft::Replica;
use crate::telemetry::{BuildInfo, Metrics};

/// How the edge behaves.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag of the operator")]
pub(crate) struct Options {
    /// `--web.telemetry-path`: where the scrape is, below the route prefix.
    pub(crate) telemetry_path: String,
    /// The computed prefix of all routes: empty, or with a slash in front and none at the end.
    pub(crate) route_prefix: String,
    /// `--web.external-url`: shown on the status page; its links are relative and need it not.
    pub(crate) external_url: Option<String>,
    /// `--web.enable-lifecycle`: whether `/-/quit` stops the process.
    pub(crate) enable_lifecycle: bool,
    /// `--web.enable-admin-api`: whether everything can be wiped.
    pub(crate) enable_admin_api: bool,
    /// `--push.enable-utf8-names`.
    pub(crate) utf8_names: bool,
    /// Not `--push.disable-consistency-check`: unchecked pushes are answered 202 whatever becomes
    /// of them.
    pub(crate) checked: bool,
    /// `--web.self-metrics=inline`: the process's own metrics are part of the scrape.
    pub(crate) inline_self_metrics: bool,
    /// Whether a read that does not say may be older than what was acknowledged before it began.
    pub(crate) stale_reads: bool,
    /// How old the answer to a stale read may be that does not say.
    pub(crate) max_staleness: Duration,
    /// When a read must have begun.
    pub(crate) read_timeout: Duration,
    /// All flags and their values, for the API and the status page.
    pub(crate) flags: BTreeMap<String, String>,
    /// Which build this is.
    pub(crate) build: BuildInfo,
    /// When the process started.
    pub(crate) started: UnixNanos,
    /// The bounds on requests.
    pub(crate) limits: Limits,
}

/// Assembles the edge. `quit` is cancelled when a client asks the process to stop.
pub(crate) fn router(
    options: Options,
    replica: Replica,
    metrics: Metrics,
    quit: CancellationToken,
) -> App {
    App::new(options, replica, metrics, quit)
}
