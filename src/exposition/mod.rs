//! The exposition formats: bytes that clients send or fetch, and the metric families they mean.
//!
//! What it is: parsers for pushed bodies (text and delimited protobuf), renderers for scrapes (text
//! and three protobuf encodings), content negotiation, and the borrowing reader over the compact
//! stored form of a family.
//!
//! What it promises: parsing is total, on any bytes, and its memory is bounded by the body and the
//! limits; the same families always render to the same bytes; refusals carry the texts that clients
//! of the upstream Pushgateway know.
//!
//! What it must never do: read a clock, a file, a random number or the environment, spawn, log, or
//! let the order of a hash map reach its output.

pub mod float;
pub mod goquote;
pub mod media;
pub mod name;
pub mod negotiate;
pub mod protobuf;
pub mod prototext;
mod rules;
pub mod text;
pub mod wire;

pub use protobuf::parse_protobuf;
pub use prototext::FamilyHeader;
pub use rules::{ParseError, ParseRules};
pub use text::parse::parse_text;

use crate::pb::client::MetricFamily;
use media::BodyFormat;

/// Parses a pushed body.
pub fn parse_body(
    format: BodyFormat,
    body: &[u8],
    rules: &ParseRules,
) -> Result<Vec<MetricFamily>, ParseError> {
    match format {
        BodyFormat::Text => parse_text(body, rules),
        BodyFormat::Protobuf => parse_protobuf(body, rules),
    }
}

#[cfg(test)]
pub(crate) mod testing;
