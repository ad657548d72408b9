//! The generated protobuf modules, nothing else.

#![expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated code; the .proto files are the documentation"
)]

/// `io.prometheus.client`: the data model that protobuf pushes and scrapes carry.
pub mod client {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.client.rs"));
}

/// `quorumgate.v1`: what is written to disk.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/quorumgate.v1.rs"));
}
