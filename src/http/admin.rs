//! The admin API: wiping everything, and taking it home as a file.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;

use super::app::{Call, Edge, Position};
use super::error::ApiError;
use super::reply::{self, Reply};
use super::request_id;
use crate::group::{Change, Outcome};

/// Deletes all groups, and answers after that is committed; upstream only queues it.
pub(super) async fn wipe(edge: &Edge, call: Call<'_>) -> Result<Reply, ApiError> {
    let id = request_id::of_wipe(call.parts);
    let applied = edge.replica.propose(id, Change::Wipe, edge.deadline()).await?;
    match applied.outcome {
        Outcome::Applied => {
            tracing::info!(index = applied.index, "wiped all groups");
            let position = Position::after(&applied);
            Ok(edge.stamp(reply::empty(StatusCode::ACCEPTED), position))
        }
        Outcome::Rejected(text) | Outcome::OverLimit(text) => Err(ApiError::Internal(text)),
    }
}

/// Blocks of a snapshot that are made ahead of the network.
const BLOCKS_AHEAD: usize = 2;

/// The state as a snapshot file, not older than any change acknowledged before the request. What is
/// cut short has no footer, and nobody takes it for a snapshot.
pub(super) async fn snapshot(edge: &Edge) -> Result<Reply, ApiError> {
    let export = edge.replica.export(edge.read_deadline()).await?;
    let (index, term) = export.index_and_term();
    let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
    // It ends with the file, or when nobody receives any more.
    tokio::task::spawn_blocking(move || match export.write(Sender(sender)) {
        Ok(()) => tracing::info!(index, "a snapshot was sent to a client"),
        Err(err) => tracing::warn!(index, err = %err, "a snapshot was not sent to its end"),
    });
    let mut reply = reply::streamed(StatusCode::OK, blocks);
    let octets = HeaderValue::from_static("application/octet-stream");
    reply.headers_mut().insert(CONTENT_TYPE, octets);
    Ok(edge.stamp(reply, Position { index, term, age: None }))
}

/// Hands what is written to the network. Each write is a block of the file.
struct Sender(mpsc::Sender<Bytes>);

impl io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
