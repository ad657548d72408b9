//! Puts the body of a scrape together from pieces, most of which are kept from the last time.

use bytes::Bytes;

use crate::group::deflate::{Deflated, Deflater, Gzip};
use crate::group::render_cache::FormCache;

/// Bytes up to which what is not kept is gathered into one piece.
const FRAME_BYTES: usize = 64 << 10;
/// Bytes from which a kept piece is shared instead of being copied.
const SHARED_FRAME_MIN: usize = 512;

/// The body of a scrape, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exposition {
    /// The body in pieces; most share their bytes with the state's caches.
    pub frames: Vec<Bytes>,
    /// Bytes of all frames.
    pub len: usize,
}

impl Exposition {
    /// The whole body in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.frames.concat()
    }
}

/// A body under construction.
pub(crate) struct Body<'r> {
    done: Exposition,
    /// Bytes for the next frame.
    open: Vec<u8>,
    /// What is rendered, not kept, and not compressed yet; gathered so that it compresses well.
    pending: Vec<u8>,
    gzip: Option<Gzip>,
    /// Whether new renderings are kept for the next scrape.
    keep: bool,
    /// Made when the first piece has to be compressed: it takes a quarter of a megabyte.
    deflater: Option<Box<Deflater>>,
    /// Bytes of `done` and `open` that no cache shares.
    own_bytes: usize,
    /// Whether the body may take so many bytes of its own in all.
    room: &'r mut dyn FnMut(usize) -> bool,
    /// Whether it may not; then nothing more is gathered.
    out_of_room: bool,
}

impl<'r> Body<'r> {
    pub(crate) fn new(gzip: bool, keep: bool, room: &'r mut dyn FnMut(usize) -> bool) -> Self {
        let begun = gzip.then(Gzip::begin);
        let open = begun.as_ref().map_or_else(Vec::new, |(_, header)| header.to_vec());
        let gzip = begun.map(|(gzip, _)| gzip);
        Body {
            done: Exposition::default(),
            open,
            pending: Vec::new(),
            gzip,
            keep,
            deflater: None,
            own_bytes: 0,
            room,
            out_of_room: false,
        }
    }

    /// Adds a piece that is kept; `render` makes it if it is not there yet.
    pub(crate) fn kept(&mut self, cache: &FormCache, render: impl FnOnce(&mut Vec<u8>)) {
        if !self.keep {
            return self.passing(cache, render);
        }
        self.flush_pending();
        let rendered = || {
            let mut out = Vec::new();
            render(&mut out);
            Bytes::from(out.into_boxed_slice())
        };
        let Body { gzip, deflater, .. } = self;
        let piece = match gzip {
            None => cache.plain.get_or_init(rendered),
            Some(gzip) => {
                let deflated = cache.deflated.get_or_init(|| {
                    let plain = cache.plain.get().cloned().unwrap_or_else(rendered);
                    deflater.get_or_insert_default().deflate(&plain)
                });
                gzip.add(deflated);
                &deflated.bytes
            }
        };
        self.push(piece, Share::Kept);
    }

    /// As [`Body::kept`], but what is not there yet is not kept either.
    fn passing(&mut self, cache: &FormCache, render: impl FnOnce(&mut Vec<u8>)) {
        if self.gzip.is_none() && cache.plain.get().is_none() {
            return render(self.write());
        }
        self.flush_pending();
        let Body { gzip, deflater, .. } = self;
        let Some(gzip) = gzip else {
            if let Some(piece) = cache.plain.get() {
                self.push(piece, Share::Kept);
            }
            return;
        };
        let made;
        let (piece, share) = if let Some(piece) = cache.deflated.get() {
            (piece, Share::Kept)
        } else {
            let mut rendered = Vec::new();
            let plain: &[u8] = if let Some(plain) = cache.plain.get() {
                plain
            } else {
                render(&mut rendered);
                &rendered
            };
            made = deflater.get_or_insert_default().deflate(plain);
            (&made, Share::Own)
        };
        gzip.add(piece);
        self.push(&piece.bytes, share);
    }

    /// Whether what is rendered is kept for the next scrape.
    pub(crate) fn keeps(&self) -> bool {
        self.keep
    }

    /// Whether the body is compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.gzip.is_some()
    }

    /// Where to write what is not kept.
    pub(crate) fn write(&mut self) -> &mut Vec<u8> {
        if self.pending.len() >= FRAME_BYTES {
            self.flush_pending();
        }
        if self.out_of_room {
            self.pending.clear();
        }
        &mut self.pending
    }

    /// Asks for room for so many bytes more, before they are made. Whether there is some.
    pub(crate) fn claim(&mut self, bytes: usize) -> bool {
        let bytes = self.own_bytes.saturating_add(self.pending.len()).saturating_add(bytes);
        self.out_of_room = self.out_of_room || !(self.room)(bytes);
        !self.out_of_room
    }

    /// The body, if there was room for it.
    pub(crate) fn finish(mut self) -> Option<Exposition> {
        self.flush_pending();
        if let Some(gzip) = self.gzip.take() {
            self.open.extend_from_slice(&gzip.finish());
        }
        self.close_frame();
        self.claim(0).then_some(self.done)
    }

    fn flush_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let plain = std::mem::take(&mut self.pending);
        if let Some(gzip) = &mut self.gzip {
            let deflated: Deflated = self.deflater.get_or_insert_default().deflate(&plain);
            gzip.add(&deflated);
            self.push(&deflated.bytes, Share::Own);
        } else {
            // Without the room that growing has left.
            self.push(&Bytes::from(plain.into_boxed_slice()), Share::Own);
        }
    }

    fn push(&mut self, piece: &Bytes, share: Share) {
        let is_small = piece.len() < SHARED_FRAME_MIN;
        self.own_bytes += if is_small || share == Share::Own { piece.len() } else { 0 };
        if !self.claim(0) {
            return;
        }
        if !is_small {
            self.close_frame();
            self.add_frame(piece.clone());
            return;
        }
        if self.open.len() + piece.len() > FRAME_BYTES {
            self.close_frame();
        }
        self.open.extend_from_slice(piece);
    }

    fn close_frame(&mut self) {
        if !self.open.is_empty() {
            let frame = Bytes::from(std::mem::take(&mut self.open));
            self.add_frame(frame);
        }
    }

    fn add_frame(&mut self, frame: Bytes) {
        self.done.len += frame.len();
        self.own_bytes += size_of::<Bytes>();
        self.done.frames.push(frame);
    }
}

/// Who holds the bytes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// A cache of the state, too.
    Kept,
    /// The body alone.
    Own,
}
