//! Reading request bodies: bounded in size, in memory held by all of them, and in time.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, EXPECT};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::budget::{Budget, Lease};
use super::decode::gzip::Header;
use super::decode::{DecodeError, gzip, snappy};
use super::error::ApiError;
use crate::limits::{BODY_BYTES_PER_SECOND_MIN, BODY_LINGER, Limits};

/// A request body of any origin.
pub(super) type RequestBody = axum::body::Body;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    /// As it is; also for every encoding that upstream does not know and therefore ignores.
    Identity,
    Gzip,
    Snappy,
}

impl ContentEncoding {
    pub(super) fn of(headers: &HeaderMap) -> ContentEncoding {
        let name = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"gzip" => ContentEncoding::Gzip,
            b"snappy" => ContentEncoding::Snappy,
            _ => ContentEncoding::Identity,
        }
    }
}

/// A whole body as sent, and the share of memory that it holds.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) encoding: ContentEncoding,
    lease: Lease,
}

/// A whole body ready to be parsed, and the share of memory that it holds.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Bytes,
    /// What the body takes of the budget.
    pub(super) lease: Lease,
}

impl Encoded {
    /// Undoes the encoding.
    pub(super) fn decode(mut self, limits: &Limits) -> Result<Decoded, ApiError> {
        let max = limits.decoded_body_bytes;
        let decoded = match self.encoding {
            ContentEncoding::Identity => Ok(None),
            ContentEncoding::Gzip => gzip::decode(&self.bytes, max, &mut self.lease).map(Some),
            ContentEncoding::Snappy => snappy::decode(&self.bytes, max, &mut self.lease).map(Some),
        };
        let decoded = decoded.map_err(|error| match error {
            DecodeError::Corrupt(text) => ApiError::Encoding(text),
            DecodeError::TooLarge => ApiError::BodyTooLarge(format!(
                "decoded body exceeds {max} bytes (--limits.decoded-body-bytes)"
            )),
            DecodeError::Exhausted => ApiError::OutOfBodyMemory,
        })?;
        Ok(Decoded { bytes: decoded.map_or(self.bytes, Bytes::from), lease: self.lease })
    }
}

/// Reads one body.
pub(super) struct BodyReader<'a> {
    limits: &'a Limits,
    body: RequestBody,
    encoding: ContentEncoding,
    /// Whether the client waits for a sign before it sends.
    expects_continue: bool,
    started: Instant,
    received: Received,
    lease: Lease,
    /// Whether the sender has broken off or is too slow, so that nothing more is worth waiting for.
    given_up: bool,
}

/// What has been received. One frame, the usual case, is kept as it came.
#[derive(Debug)]
enum Received {
    One(Bytes),
    Many(Vec<u8>),
}

impl Received {
    fn bytes(&self) -> &[u8] {
        match self {
            Received::One(bytes) => bytes,
            Received::Many(bytes) => bytes,
        }
    }

    fn add(&mut self, more: Bytes) {
        match self {
            Received::One(first) if first.is_empty() => *first = more,
            Received::One(first) => *self = Received::Many([&first[..], &more[..]].concat()),
            Received::Many(bytes) => bytes.extend_from_slice(&more),
        }
    }
}

impl<'a> BodyReader<'a> {
    pub(super) fn new(
        body: RequestBody,
        headers: &HeaderMap,
        limits: &'a Limits,
        budget: &Budget,
    ) -> BodyReader<'a> {
        BodyReader {
            limits,
            body,
            encoding: ContentEncoding::of(headers),
            expects_continue: headers.contains_key(EXPECT),
            started: Instant::now(),
            received: Received::One(Bytes::new()),
            lease: budget.lease(),
            given_up: false,
        }
    }

    /// Whether the body claims to be gzip, so that [`BodyReader::check_gzip_header`] reads from it.
    pub(super) fn is_gzip(&self) -> bool {
        self.encoding == ContentEncoding::Gzip
    }

    /// Reads as far as it takes to tell whether a gzip body begins like one, and refuses it if not.
    ///
    /// Upstream does so before it looks at method and path.
    pub(super) async fn check_gzip_header(&mut self) -> Result<(), ApiError> {
        if !self.is_gzip() {
            return Ok(());
        }
        let verdict = loop {
            let header = Header::read(self.received.bytes());
            if header != Header::Incomplete || !self.read_frame().await? {
                break header;
            }
        };
        match verdict.error(self.received.bytes()) {
            Some(text) => Err(ApiError::Encoding(text.to_owned())),
            None => Ok(()),
        }
    }

    /// Reads the rest.
    pub(super) async fn read_all(&mut self) -> Result<Encoded, ApiError> {
        let max = self.limits.body_bytes;
        let announced = self.body.size_hint().lower();
        if announced > max as u64 {
            return Err(body_too_large(max));
        }
        while self.read_frame().await? {}
        let received = std::mem::replace(&mut self.received, Received::One(Bytes::new()));
        let bytes = match received {
            Received::One(bytes) => bytes,
            Received::Many(bytes) => Bytes::from(bytes),
        };
        let empty = self.lease.sibling();
        let lease = std::mem::replace(&mut self.lease, empty);
        Ok(Encoded { bytes, encoding: self.encoding, lease })
    }

    /// Adds one frame to what was received; false at the end.
    async fn read_frame(&mut self) -> Result<bool, ApiError> {
        if self.body.is_end_stream() {
            return Ok(false);
        }
        let frame = self.next_frame().await.inspect_err(|_| self.given_up = true)?;
        let Some(frame) = frame else { return Ok(false) };
        let Ok(data) = frame.into_data() else { return Ok(true) };
        let len = self.received.bytes().len().saturating_add(data.len());
        if len > self.limits.body_bytes {
            return Err(body_too_large(self.limits.body_bytes));
        }
        // Half as much again for the room that growing leaves.
        let held = len.saturating_add(len / 2);
        self.lease.grow_to(held).map_err(|_| ApiError::OutOfBodyMemory)?;
        self.received.add(data);
        Ok(true)
    }

    async fn next_frame(&mut self) -> Result<Option<Frame<Bytes>>, ApiError> {
        self.expects_continue = false;
        let received_len = self.received.bytes().len();
        let pause_end = Instant::now() + self.limits.body_timeout;
        let pace = Duration::from_secs(1) / BODY_BYTES_PER_SECOND_MIN * clamped_u32(received_len);
        let pace_end = self.started + self.limits.body_timeout + pace;
        let frame = tokio::time::timeout_at(pause_end.min(pace_end), self.body.frame()).await;
        let frame = frame.map_err(|_| ApiError::BodyTooSlow)?;
        frame.transpose().map_err(|_| ApiError::BodyBroken)
    }

    /// Gives up what was not read, without cutting the client off before it can see the answer.
    pub(super) fn dismiss(self) {
        // A client that still waits for a sign to send will not send.
        if self.body.is_end_stream() || self.expects_continue || self.given_up {
            return;
        }
        let (mut body, bytes_max) = (self.body, self.limits.body_bytes);
        let discard = async move {
            let mut discarded = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                discarded += frame.data_ref().map_or(0, Bytes::len);
                if discarded > bytes_max {
                    break;
                }
            }
        };
        drop(tokio::spawn(tokio::time::timeout(BODY_LINGER, discard)));
    }
}

fn clamped_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn body_too_large(max: usize) -> ApiError {
    ApiError::BodyTooLarge(format!("body exceeds {max} bytes (--limits.body-bytes)"))
}

#[cfg(test)]
mod tests;
