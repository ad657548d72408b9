//! DELETE of one group.

use http::StatusCode;

use super::app::{Call, Edge, Position};
use super::error::ApiError;
use super::path::PathLabels;
use super::reply::{self, Reply};
use super::request_id;
use super::router::GroupRoute;
use crate::group::{Change, Outcome};

/// Answers a delete after it is committed; upstream only queues it. The body is ignored.
pub(super) async fn delete(
    edge: &Edge,
    call: Call<'_>,
    route: &GroupRoute,
) -> Result<Reply, ApiError> {
    let labels = PathLabels::parse(route, edge.options.utf8_names)?;
    let Ok(key) = labels.into_key() else {
        // No group can have such a key, so there is nothing to delete.
        return Ok(reply::empty(StatusCode::ACCEPTED));
    };
    let id = request_id::of_group_change(call.parts, route);
    let applied = edge.replica.propose(id, Change::Delete { key }, edge.deadline()).await?;
    let position = Position::after(&applied);
    let reply = match applied.outcome {
        Outcome::Applied => reply::empty(StatusCode::ACCEPTED),
        Outcome::Rejected(text) | Outcome::OverLimit(text) => {
            edge.refuse(call, &ApiError::Internal(text))
        }
    };
    Ok(edge.stamp(reply, position))
}
