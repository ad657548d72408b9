//! A snapshot on its way from the leader to a replica that needs it: the bytes of the file, in chunks.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use crate::limits::{SNAPSHOT_BYTES_PER_SECOND_MIN, SNAPSHOT_CHUNK_BYTES};
use crate::pb::v1;

use super::blocking;
use super::convert;
use super::disk_space::Promise;
use super::snapshot::{SnapshotData, Snapshots};
use super::transport::{CallError, Requests};
use super::types::Vote;

/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// How much longer than the smallest a snapshot of that size may take.
pub(crate) fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SNAPSHOT_BYTES_PER_SECOND_MIN)
}

/// The chunks of a snapshot file. A file that cannot be read ends the stream early, which the
/// receiver notices.
pub(crate) fn chunks(vote: Vote, file: &SnapshotData) -> Requests<v1::SnapshotChunk> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let file = SnapshotData::clone(file);
    let header = v1::SnapshotHeader { vote: Some(convert::vote_to_pb(&vote)), bytes: file.bytes };
    // The thread ends with the file, with its first error, or when nobody receives any more.
    tokio::task::spawn_blocking(move || {
        if let Err(err) = read_chunks(&file, header, &sender) {
            tracing::warn!(path = %file.path.display(), err = %err, "cannot send a snapshot");
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
    .boxed()
}

fn read_chunks(
    snapshot: &SnapshotData,
    header: v1::SnapshotHeader,
    sender: &mpsc::Sender<v1::SnapshotChunk>,
) -> io::Result<()> {
    let (mut file, mut header) = (File::open(&snapshot.path)?, Some(header));
    loop {
        let mut data = Vec::with_capacity(SNAPSHOT_CHUNK_BYTES);
        (&mut file).take(SNAPSHOT_CHUNK_BYTES as u64).read_to_end(&mut data)?;
        if data.is_empty() && header.is_none() {
            return Ok(());
        }
        let crc32 = crc32fast::hash(&data);
        let chunk = v1::SnapshotChunk { header: header.take(), data: Bytes::from(data), crc32 };
        if sender.blocking_send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// Receives a snapshot file and keeps it, once it is whole and durable.
pub(crate) async fn receive(
    snapshots: &Snapshots,
    mut chunks: impl Stream<Item = Result<v1::SnapshotChunk, CallError>> + Unpin,
    room: impl FnOnce(u64) -> Result<Promise, String>,
) -> Result<(Vote, SnapshotData), CallError> {
    let failed = |err: &dyn std::fmt::Display| CallError::Failed(format!("snapshot: {err}"));
    let mut next = chunks.next().await;
    let header = match &next {
        Some(Ok(chunk)) => chunk.header,
        _ => None,
    };
    let header = header.ok_or_else(|| failed(&"it does not begin with a header"))?;
    let vote = header.vote.as_ref().map(convert::vote_from_pb);
    let vote = vote.ok_or_else(|| failed(&"its sender has no vote"))?;
    let _promise = room(header.bytes).map_err(|err| failed(&err))?;

    let mut incoming = blocking::in_place(|| snapshots.receive()).map_err(|err| failed(&err))?;
    let mut bytes = 0;
    while let Some(chunk) = next {
        let v1::SnapshotChunk { data, crc32, .. } = chunk?;
        bytes += data.len() as u64;
        if crc32fast::hash(&data) != crc32 || bytes > header.bytes {
            return Err(failed(&format!("it was spoiled on its way, at byte {bytes}")));
        }
        blocking::in_place(|| incoming.write(&data)).map_err(|err| failed(&err))?;
        next = chunks.next().await;
    }
    if bytes != header.bytes {
        return Err(failed(&format!("{bytes} of its {} bytes arrived", header.bytes)));
    }
    let file = blocking::in_place(|| incoming.finish()).map_err(|err| failed(&err))?;
    Ok((vote, SnapshotData::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_snapshot_has_more_time() {
        let mib = SNAPSHOT_BYTES_PER_SECOND_MIN;
        for (bytes, seconds) in [(0, 0), (mib - 1, 0), (mib, 1), (4096 * mib, 4096)] {
            assert_eq!(time_for(bytes), Duration::from_secs(seconds));
        }
    }
}
