//! openraft's types in our own protobuf form: openraft promises no stable encoding of its own.

mod disk;
mod wire;

pub(crate) use disk::{
    decode_entry, decode_log_id, decode_vote, encode_entry, encode_log_id, encode_vote,
    log_id_from_pb, log_id_to_pb, membership_to_pb, stored_membership_from_pb,
    stored_membership_to_pb,
};
pub(crate) use wire::{
    append_from_pb, append_result_from_pb, append_result_to_pb, append_to_pb, applied_from_pb,
    applied_to_pb, transfer_from_pb, transfer_reply_from_pb, transfer_reply_to_pb, transfer_to_pb,
    vote_from_pb, vote_reply_from_pb, vote_reply_to_pb, vote_request_from_pb, vote_request_to_pb,
    vote_to_pb,
};

use std::io;

fn damaged(what: &str, err: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {err}"))
}
