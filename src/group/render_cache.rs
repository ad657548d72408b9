//! What a chunk remembers of its last rendering.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::group::deflate::Deflated;

/// The encodings whose renderings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Delimited,
}

/// The cache of one chunk. It lives and dies with the chunk, so nothing in it is ever out of date.
#[derive(Debug, Default)]
pub(crate) struct RenderCache {
    facts: OnceLock<Facts>,
    text: FormCache,
    /// Few scrapers ask for protobuf, so it takes room only when one does.
    delimited: OnceLock<Box<FormCache>>,
}

/// What a scrape asks of the entries of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Whether some name is outside the legacy alphabet, so that schemes show it differently.
    pub(crate) needs_escaping: bool,
    /// The first help text that is not empty.
    pub(crate) help: Option<Arc<str>>,
}

/// Renderings in one encoding: as they are, and compressed.
#[derive(Debug, Default)]
pub(crate) struct FormCache {
    pub(crate) plain: OnceLock<Bytes>,
    pub(crate) deflated: OnceLock<Deflated>,
}

impl RenderCache {
    pub(crate) fn facts(&self, find: impl FnOnce() -> Facts) -> &Facts {
        self.facts.get_or_init(find)
    }

    pub(crate) fn form(&self, form: Form) -> &FormCache {
        match form {
            Form::Text => &self.text,
            Form::Delimited => self.delimited.get_or_init(Box::default),
        }
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        let delimited = self.delimited.get().map_or(0, |form| form.bytes());
        self.text.bytes() + delimited
    }
}

impl FormCache {
    fn bytes(&self) -> usize {
        let plain = self.plain.get().map_or(0, Bytes::len);
        plain + self.deflated.get().map_or(0, |deflated| deflated.bytes.len())
    }
}
