//! The page at `/` and `/status`: what is stored, and buttons to delete it.
//!
//! One document without other files. Its links are relative, so it works below any prefix and
//! behind any proxy. What it shows is bounded; the API shows everything.

use std::borrow::Cow;

use askama::Template as _;
use bytes::Bytes;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::Options;
use super::api_v1::rfc3339;
use super::app::{Edge, offload};
use super::budget::Exhausted;
use super::error::ApiError;
use super::reply::{self, HTML, Reply};
use super::scrape::HEAVY_SERIES;
use crate::clock::UnixNanos;
use crate::group::View;
use crate::limits::{PAGE_GROUPS_MAX, PAGE_SERIES_MAX};
use crate::raft::Consistency;

mod cards;

use cards::GroupCard;

#[derive(askama::Template)]
#[template(path = "status.html")]
struct Page {
    notice: Option<String>,
    filter: String,
    shown_groups: usize,
    hidden_groups: usize,
    total_groups: u64,
    total_series: u64,
    groups: Vec<GroupCard>,
    admin_api: bool,
    replica: String,
    started: String,
    external_url: Option<String>,
    build: [(&'static str, &'static str); 6],
    flags: Vec<(String, String)>,
}

/// Shows what is stored. Without a quorum that is what this replica knows, and the page says so.
pub(super) async fn status_page(edge: &Edge, query: Option<&str>) -> Result<Reply, ApiError> {
    let (view, notice) =
        match edge.replica.read(Consistency::Linearizable, edge.read_deadline()).await {
            Ok(reading) => (reading.view, None),
            Err(unavailable) => {
                let notice = format!("This may be out of date: {unavailable}.");
                (edge.replica.view(), Some(notice))
            }
        };
    let filter = filter_of(query.unwrap_or_default());
    let replica = edge.replica.name();
    let options = edge.options.clone();
    let heavy = view.series_count() > HEAVY_SERIES;
    let page = offload(heavy, move || {
        Page { notice, replica, ..Page::of(&view, filter, &options) }.render()
    })
    .await?;
    let html = page.map_err(|error| ApiError::Internal(error.to_string()))?;
    let mut lease = edge.answer_lease();
    lease.grow_to(html.len()).map_err(|Exhausted| ApiError::OutOfAnswerMemory)?;
    let mut reply = reply::with_frames(StatusCode::OK, Some(HTML), vec![Bytes::from(html)]);
    reply.body_mut().hold(Box::new(lease));
    Ok(reply)
}

impl Page {
    fn of(view: &View, filter: String, options: &Options) -> Page {
        let matching: Vec<_> =
            view.groups().filter(|group| cards::matches(group.key(), &filter)).collect();
        let mut series_left = PAGE_SERIES_MAX;
        let groups: Vec<GroupCard> = matching
            .iter()
            .take(PAGE_GROUPS_MAX)
            .map(|group| GroupCard::of(group, &mut series_left, options.utf8_names))
            .collect();
        Page {
            notice: None,
            filter,
            shown_groups: groups.len(),
            hidden_groups: matching.len() - groups.len(),
            total_groups: view.group_count(),
            total_series: view.series_count(),
            groups,
            admin_api: options.enable_admin_api,
            replica: String::new(),
            started: rfc3339(options.started),
            external_url: options.external_url.clone(),
            build: options.build.api_fields(),
            flags: options.flags.clone().into_iter().collect(),
        }
    }
}

/// The paths behind the buttons of a page without its frame.
#[cfg(any(test, fuzzing))]
pub(super) fn delete_paths(view: &View, utf8_names: bool) -> Vec<String> {
    let mut series_left = PAGE_SERIES_MAX;
    let mut card = |group| GroupCard::of(group, &mut series_left, utf8_names);
    view.groups().map(|group| card(group).delete_path).collect()
}

/// The text that a form has put into the query.
fn filter_of(query: &str) -> String {
    let value = query.split('&').find_map(|part| part.strip_prefix("filter=")).unwrap_or_default();
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// A time as people read it, to the second.
fn shown_time(at: Option<UnixNanos>) -> Cow<'static, str> {
    at.map_or(Cow::Borrowed("never"), |UnixNanos(nanos)| {
        rfc3339(UnixNanos(nanos - nanos.rem_euclid(1_000_000_000))).into()
    })
}

#[cfg(test)]
mod tests;
