//! The JSON API: everything stored, and what this program is.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;

use super::Options;
use super::app::{Edge, Position, offload};
use super::budget::{Exhausted, Lease};
use super::error::ApiError;
use super::gojson::JsonWriter;
use super::metric_json::write_metric;
use super::reply::{self, JSON, Reply};
use super::scrape::HEAVY_SERIES;
use crate::clock::UnixNanos;
use crate::exposition::wire::MetricsIter;
use crate::group::{Group, StoredFamily, View};

/// A time in RFC 3339 with up to nine digits after the point, in UTC.
pub(super) fn rfc3339(at: UnixNanos) -> String {
    Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default().to_string()
}

/// Build information, flags and start time.
pub(super) fn status(options: &Options) -> Reply {
    let mut json = JsonWriter::default();
    begin_success(&mut json);
    json.begin_object();
    json.key("build_information");
    json.strings(options.build.api_fields());
    json.key("flags");
    json.strings(options.flags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    json.member_string("start_time", &rfc3339(options.started));
    json.end_object();
    json.end_object();
    answer(json.finish())
}

/// All groups with all their metrics.
pub(super) async fn metrics(edge: &Edge, query: Option<&str>) -> Result<Reply, ApiError> {
    let reading = edge.read(query).await?;
    let position = Position::of(&reading);
    let heavy = reading.view.series_count() > HEAVY_SERIES;
    let mut lease = edge.answer_lease();
    let write = move || write_groups(&reading.view, &mut lease).map(|document| (document, lease));
    let written = offload(heavy, write).await?;
    let (document, lease) = written.map_err(|Exhausted| ApiError::OutOfAnswerMemory)?;
    let mut reply = answer(document);
    reply.body_mut().hold(Box::new(lease));
    Ok(edge.stamp(reply, position))
}

/// The answer to a browser that asks whether it may.
pub(super) fn options() -> Reply {
    let mut reply = reply::empty(StatusCode::OK);
    reply::allow_other_origins(&mut reply);
    reply
}

pub(super) fn answer(document: Vec<Bytes>) -> Reply {
    let mut reply = reply::with_frames(StatusCode::OK, Some(JSON), document);
    reply::allow_other_origins(&mut reply);
    reply
}

/// Leaves the writer before the value of `data`.
pub(super) fn begin_success(json: &mut JsonWriter) {
    json.begin_object();
    json.member_string("status", "success");
    json.key("data");
}

/// The document of [`metrics`]; `lease` takes what it holds.
pub(super) fn write_groups(view: &View, lease: &mut Lease) -> Result<Vec<Bytes>, Exhausted> {
    let mut json = JsonWriter::default();
    begin_success(&mut json);
    json.begin_array();
    for group in view.groups() {
        write_group(&mut json, group, lease)?;
    }
    json.end_array();
    json.end_object();
    Ok(json.finish())
}

/// One member of a group's object.
enum Member<'a> {
    Labels,
    LastPushSuccessful,
    Family(&'a StoredFamily),
}

/// Writes a group. Families stand beside the group's own members, and replace one of the same name.
fn write_group(json: &mut JsonWriter, group: &Group, lease: &mut Lease) -> Result<(), Exhausted> {
    let mut members = BTreeMap::from([
        ("labels", Member::Labels),
        ("last_push_successful", Member::LastPushSuccessful),
    ]);
    members.extend(group.families().map(|family| (family.name(), Member::Family(family))));
    json.begin_object();
    for (name, member) in members {
        json.key(name);
        match member {
            Member::Labels => json.strings(group.key().labels()),
            Member::LastPushSuccessful => json.boolean(group.last_push_successful()),
            Member::Family(family) => write_family(json, family, lease)?,
        }
    }
    json.end_object();
    Ok(())
}

fn write_family(
    json: &mut JsonWriter,
    family: &StoredFamily,
    lease: &mut Lease,
) -> Result<(), Exhausted> {
    json.begin_object();
    json.member_string("time_stamp", &rfc3339(family.pushed_at()));
    json.member_string("type", family.kind().as_str_name());
    if !family.help().is_empty() {
        json.member_string("help", family.help());
    }
    json.key("metrics");
    json.begin_array();
    for metric in MetricsIter::new(&family.metrics()) {
        write_metric(json, metric, family.kind());
        lease.grow_to(json.bytes())?;
    }
    json.end_array();
    json.end_object();
    lease.grow_to(json.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        Batch, Change, GroupStore, GroupingKey, Mutation, PushMode, PushedFamily, RequestId,
        StateLimits,
    };
    use crate::http::budget::Budget;
    use crate::limits::Limits;
    use crate::pb::client::MetricType;

    fn stored(families: &[(&str, &str)]) -> View {
        let key = GroupingKey::new([("job".to_owned(), "<j>".to_owned())]);
        let pushed = |(name, help): &(&str, &str)| PushedFamily {
            name: (*name).to_owned(),
            help: (*help).to_owned(),
            kind: MetricType::Gauge,
            metrics: Bytes::new(),
        };
        let families = families.iter().map(pushed).collect();
        let change = Change::Push { key, mode: PushMode::Merge, families };
        let mutations = vec![Mutation { id: RequestId([1; 16]), change }];
        let mut store = GroupStore::new([0; 16]);
        let at = UnixNanos(1_700_000_000_120_000_000);
        store.apply(1, &Batch { at, limits: StateLimits::default(), mutations });
        store.view()
    }

    fn document(view: &View) -> String {
        let mut lease = Budget::of_answers(&Limits::default()).lease();
        String::from_utf8(write_groups(view, &mut lease).unwrap().concat()).unwrap()
    }

    #[test]
    fn shows_groups() {
        assert_eq!(document(&GroupStore::new([0; 16]).view()), r#"{"status":"success","data":[]}"#);
        let time = r#""time_stamp":"2023-11-14T22:13:20.12Z""#;
        let families = format!(
            r#"{{"a":{{{time},"type":"GAUGE","metrics":[]}},"b":{{{time},"type":"GAUGE","help":"x\u003ey","metrics":[]}},"labels":{{"job":"\u003cj\u003e"}},"last_push_successful":true,"push_failure_time_seconds":"#
        );
        let text = document(&stored(&[("a", ""), ("b", "x>y")]));
        let start = format!(r#"{{"status":"success","data":[{families}"#);
        assert!(text.starts_with(&start), "{text}\n{start}");
        assert!(text.ends_with(
            r#","metrics":[{"labels":{"instance":"","job":"\u003cj\u003e"},"value":"1.70000000012e+09"}]}}]}"#
        ));
    }

    #[test]
    fn lets_families_replace_the_members_of_a_group() {
        let text = document(&stored(&[("labels", ""), ("last_push_successful", "")]));
        assert!(
            text.starts_with(r#"{"status":"success","data":[{"labels":{"time_stamp":"#),
            "{text}"
        );
        assert!(text.contains(r#""last_push_successful":{"time_stamp":"#), "{text}");
        assert!(!text.contains("true"));
    }

    #[test]
    fn cuts_zeros_from_times() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(UnixNanos(nanos)), expected);
        }
    }
}
