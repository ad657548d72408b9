//! PUT and POST: parse, check what needs no state, commit, answer.

use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::app::{Call, Edge, Position, offload};
use super::body::{BodyReader, ContentEncoding, Encoded};
use super::budget::Lease;
use super::error::ApiError;
use super::path::PathLabels;
use super::reply::{self, Reply};
use super::request_id;
use super::router::{GroupRoute, GroupVerb};
use crate::exposition::media::{BodyFormat, body_format};
use crate::exposition::{ParseError, ParseRules, parse_body};
use crate::group::{Change, Outcome, PushMode, PushRules, prepare_push};
use crate::limits::Limits;
use crate::pb::client::{LabelPair, Metric, MetricFamily};
use crate::telemetry;

/// A longer body is parsed outside the runtime's threads.
const HEAVY_BYTES: usize = 16 << 10;
/// The same for a compressed one, which may become much longer.
const HEAVY_COMPRESSED_BYTES: usize = 2 << 10;

/// Answers a push.
pub(super) async fn push(
    edge: &Edge,
    call: Call<'_>,
    body: &mut BodyReader<'_>,
    route: &GroupRoute,
) -> Result<Reply, ApiError> {
    let options = &edge.options;
    let labels = PathLabels::parse(route, options.utf8_names)?;
    labels.check_limits(&options.limits)?;
    let encoded = body.read_all().await?;
    let content_type = call.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let pushed = Pushed {
        labels,
        mode: if route.verb == GroupVerb::Put { PushMode::Replace } else { PushMode::Merge },
        format: body_format(content_type),
        rules: ParseRules::new(&options.limits, options.utf8_names),
        limits: options.limits.clone(),
    };
    let heavy = match encoded.encoding {
        ContentEncoding::Identity => encoded.bytes.len() > HEAVY_BYTES,
        ContentEncoding::Gzip | ContentEncoding::Snappy => {
            encoded.bytes.len() > HEAVY_COMPRESSED_BYTES
        }
    };
    let deadline = edge.deadline();
    let turn = if heavy { Some(edge.parser_turn(deadline).await?) } else { None };
    // The lease is held until the change is committed: until then it is in memory.
    let (change, _lease) = offload(heavy, move || pushed.into_change(encoded)).await??;
    drop(turn);

    let id = request_id::of_group_change(call.parts, route);
    let applied = edge.replica.propose(id, change, deadline).await?;
    let position = Position::after(&applied);
    let success = if options.checked { StatusCode::OK } else { StatusCode::ACCEPTED };
    let reply = match applied.outcome {
        Outcome::Applied => reply::empty(success),
        Outcome::Rejected(reason) => {
            let refusal = edge.refuse(call, &ApiError::Rejected(reason));
            if options.checked { refusal } else { reply::empty(success) }
        }
        Outcome::OverLimit(text) => edge.refuse(call, &ApiError::OverLimit(text)),
    };
    Ok(edge.stamp(reply, position))
}

/// A push before its body is looked at.
struct Pushed {
    labels: PathLabels,
    mode: PushMode,
    format: BodyFormat,
    rules: ParseRules,
    limits: Limits,
}

impl Pushed {
    /// Makes of the body what is to be committed, and what that takes of the budget for bodies.
    fn into_change(self, encoded: Encoded) -> Result<(Change, Lease), ApiError> {
        let mut body = encoded.decode(&self.limits)?;
        let families = parse_body(self.format, &body.bytes, &self.rules);
        let families = families.map_err(|error| match error {
            ParseError::TooLarge(text) => ApiError::TooManySeries(text),
            ParseError::Syntax(text) => ApiError::Parse(text),
        })?;
        let parsed = body.lease.grow_to(body.bytes.len() + parsed_bytes(&families));
        parsed.map_err(|_| ApiError::OutOfBodyMemory)?;
        let lease = body.lease;
        drop(body.bytes);
        let key = self
            .labels
            .into_key()
            .map_err(|fault| ApiError::Rejected(fault.reason(first_name(&families))))?;
        let rules = PushRules { labels_max: self.rules.labels_max, own: telemetry::own_families() };
        Ok((prepare_push(key, self.mode, families, &rules), lease))
    }
}

/// About how much memory parsed families take. A small body can mean many metrics.
fn parsed_bytes(families: &[MetricFamily]) -> usize {
    let of_metric = |metric: &Metric| {
        let parts = metric.label.len()
            + metric.summary.as_ref().map_or(0, |summary| summary.quantile.len())
            + metric.histogram.as_ref().map_or(0, |histogram| histogram.bucket.len());
        size_of::<Metric>() + parts * size_of::<LabelPair>()
    };
    families.iter().flat_map(|family| &family.metric).map(of_metric).sum()
}

/// The family that a refusal blames: there is at least the one of push times.
fn first_name(families: &[MetricFamily]) -> &str {
    families.first().map_or("push_time_seconds", |family| family.name())
}
