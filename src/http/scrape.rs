//! GET of the pushed metrics, and of this process's own.

use std::sync::{Mutex, PoisonError};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::app::{Edge, Position, joined, offload};
use super::error::ApiError;
use super::reply::{self, Reply};
use crate::exposition::negotiate::{Encoding, Format, accepts_gzip, negotiate};
use crate::group::{Exposition, GroupStore, View, Wish};
use crate::limits::SCRAPER_RETURNS;
use crate::pb::client::{LabelPair, MetricFamily};

/// More series than this are rendered outside the runtime's threads.
pub(super) const HEAVY_SERIES: u64 = 500;

/// How a scraper wants its answer.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    format: Format,
    gzip: bool,
}

impl Wanted {
    fn by(headers: &HeaderMap) -> Wanted {
        Wanted {
            format: negotiate(&joined(headers, ACCEPT)),
            gzip: accepts_gzip(&joined(headers, ACCEPT_ENCODING)),
        }
    }

    fn reply(self, exposition: Exposition) -> Reply {
        let mut reply = reply::with_frames(StatusCode::OK, None, exposition.frames);
        let headers = reply.headers_mut();
        reply::set_text(headers, CONTENT_TYPE, &self.format.content_type());
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        reply
    }
}

/// When each kind of scrape was last asked for. What is rendered is kept only for kinds that are
/// asked for again and again.
#[derive(Debug, Default)]
pub(super) struct Demand {
    last: Mutex<[Option<Instant>; 4]>,
}

impl Demand {
    /// Notes a scrape and tells whether the one before it was recent.
    fn comes_again(&self, wanted: Wanted, now: Instant) -> bool {
        let delimited = wanted.format.encoding == Encoding::ProtoDelimited;
        let kind = usize::from(delimited) * 2 + usize::from(wanted.gzip);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.get_mut(kind).and_then(|last| last.replace(now));
        before.is_some_and(|before| now.duration_since(before) < SCRAPER_RETURNS)
    }
}

/// All groups as one document.
pub(super) async fn scrape(edge: &Edge, request: &Parts) -> Result<Reply, ApiError> {
    let started = Instant::now();
    let reading = edge.read(request.uri.query()).await?;
    edge.metrics.observe_read_index(started.elapsed());
    let own = if edge.options.inline_self_metrics {
        let mut own = edge.metrics.gather(&edge.replica.gauges());
        // Through a load balancer, they would else be another replica's at each scrape.
        if edge.replica.has_peers() {
            add_label(&mut own, "replica", &edge.replica.name());
        }
        own
    } else {
        vec![edge.options.build.family()]
    };
    let position = Position::of(&reading);
    let wanted = Wanted::by(&request.headers);
    let keep = edge.demand.comes_again(wanted, started);
    let reply = exposed(edge, wanted, reading.view, own, keep).await?;
    edge.metrics.observe_scrape(started.elapsed());
    Ok(edge.stamp(reply, position))
}

/// Adds a label to every metric, in its place among the others.
fn add_label(families: &mut [MetricFamily], name: &str, value: &str) {
    for metric in families.iter_mut().flat_map(|family| &mut family.metric) {
        let at = metric.label.partition_point(|label| label.name() < name);
        let pair = LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) };
        metric.label.insert(at, pair);
    }
}

/// The metrics of this process. Needs no quorum, since it is asked for in trouble.
pub(super) async fn own_metrics(edge: &Edge, request: &Parts) -> Result<Reply, ApiError> {
    let own = edge.metrics.gather(&edge.replica.gauges());
    let no_groups = GroupStore::new([0; 16]).view();
    exposed(edge, Wanted::by(&request.headers), no_groups, own, false).await
}

async fn exposed(
    edge: &Edge,
    wanted: Wanted,
    view: View,
    own: Vec<MetricFamily>,
    keep: bool,
) -> Result<Reply, ApiError> {
    let heavy = view.series_count() > HEAVY_SERIES;
    let Wanted { format, gzip } = wanted;
    let mut lease = edge.answer_lease();
    let render = move || {
        let room = &mut |bytes| lease.grow_to(bytes).is_ok();
        let exposition = view.exposition_within(&own, format, Wish { gzip, keep }, room)?;
        Some((exposition, lease))
    };
    let rendered = offload(heavy, render).await?;
    let (exposition, lease) = rendered.ok_or(ApiError::OutOfAnswerMemory)?;
    let mut reply = wanted.reply(exposition);
    reply.body_mut().hold(Box::new(lease));
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kind_that_is_asked_for_again_in_time_is_kept() {
        let demand = Demand::default();
        let format = negotiate("");
        let wanted = |gzip| Wanted { format, gzip };
        let start = Instant::now();
        assert!(!demand.comes_again(wanted(true), start));
        assert!(!demand.comes_again(wanted(false), start));
        let late = start + SCRAPER_RETURNS;
        assert!(demand.comes_again(wanted(true), late - std::time::Duration::from_secs(1)));
        assert!(demand.comes_again(wanted(true), late));
        assert!(!demand.comes_again(wanted(false), late));
    }
}
