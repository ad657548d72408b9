//! A sorted list that is cheap to copy, cheap to change, and cut in the same places everywhere.
//!
//! * A copy shares everything: it costs one reference count.
//! * A change copies only the chunk it touches (and the short list of chunks around it), and only
//!   where a copy still shares it. The cache of a touched chunk is emptied, all others stay.
//! * Where a chunk begins depends on the entries alone, never on the order in which they came: two
//!   replicas with different histories have the same chunks, hence the same compressed bytes.
//!
//! Pages group chunks so that the lists that a change copies stay short. They hold no cache, so
//! where they are cut is nobody's business and may differ between replicas.

use std::fmt;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Chunks that a page may always have. Beyond that it has at most as many chunks as there are pages:
/// a change copies one page and the list of pages, so both should grow alike.
const PAGE_CHUNKS: usize = 8;

/// What a [`Chunked`] list holds.
pub(crate) trait Entry: Clone {
    /// What entries are sorted by.
    type Key: Ord + ?Sized;
    /// What each chunk remembers about its entries until one changes.
    type Cache: Default;

    /// What this entry is sorted by.
    fn key(&self) -> &Self::Key;
    /// Whether a chunk begins at this entry: true for one in a few, by its hash and its size.
    fn opens_chunk(&self) -> bool;
    /// Whether this entry is so large that it has a chunk of its own.
    fn fills_chunk(&self) -> bool;
}

/// Adjacent entries and what is remembered about them.
pub(crate) struct Chunk<E: Entry> {
    entries: Vec<E>,
    cache: E::Cache,
}

impl<E: Entry> Chunk<E> {
    /// At least one entry, sorted.
    pub(crate) fn entries(&self) -> &[E] {
        &self.entries
    }

    /// What is remembered about exactly these entries.
    pub(crate) fn cache(&self) -> &E::Cache {
        &self.cache
    }

    fn first_key(&self) -> Option<&E::Key> {
        self.entries.first().map(E::key)
    }
}

impl<E: Entry> Clone for Chunk<E> {
    /// The copy exists to be changed, so it starts with an empty cache.
    fn clone(&self) -> Self {
        Chunk { entries: self.entries.clone(), cache: E::Cache::default() }
    }
}

type Page<E> = Vec<Arc<Chunk<E>>>;

/// The list. See the module's text.
pub(crate) struct Chunked<E: Entry> {
    pages: Arc<Vec<Arc<Page<E>>>>,
    len: usize,
}

impl<E: Entry> Clone for Chunked<E> {
    fn clone(&self) -> Self {
        Chunked { pages: Arc::clone(&self.pages), len: self.len }
    }
}

impl<E: Entry + fmt::Debug> fmt::Debug for Chunked<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<E: Entry> Default for Chunked<E> {
    fn default() -> Self {
        Chunked { pages: Arc::new(Vec::new()), len: 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Position {
    page: usize,
    chunk: usize,
}

/// Whether a chunk begins at `entry` when `before` stands in front of it.
fn starts<E: Entry>(before: &E, entry: &E) -> bool {
    entry.opens_chunk() || entry.fills_chunk() || before.fills_chunk()
}

fn split<E: Entry>(run: Vec<E>) -> Vec<Arc<Chunk<E>>> {
    let mut chunks = Vec::new();
    let mut entries: Vec<E> = Vec::new();
    let mut close = |entries: Vec<E>| {
        if !entries.is_empty() {
            chunks.push(Arc::new(Chunk { entries, cache: E::Cache::default() }));
        }
    };
    for entry in run {
        if entries.last().is_some_and(|before| starts(before, &entry)) {
            close(std::mem::take(&mut entries));
        }
        entries.push(entry);
    }
    close(entries);
    chunks
}

fn into_pages<E: Entry>(chunks: Vec<Arc<Chunk<E>>>) -> Vec<Arc<Page<E>>> {
    let page_chunks = PAGE_CHUNKS.max(chunks.len().isqrt());
    let mut pages = Vec::with_capacity(chunks.len().div_ceil(page_chunks));
    let mut chunks = chunks.into_iter().peekable();
    while chunks.peek().is_some() {
        pages.push(Arc::new(chunks.by_ref().take(page_chunks).collect()));
    }
    pages
}

impl<E: Entry> Chunked<E> {
    /// A list of entries that are sorted already, each key once.
    pub(crate) fn from_sorted(entries: Vec<E>) -> Self {
        let len = entries.len();
        Chunked { pages: Arc::new(into_pages(split(entries))), len }
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All chunks in order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk<E>> {
        self.pages.iter().flat_map(|page| page.iter()).map(|chunk| &**chunk)
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.chunks().flat_map(Chunk::entries)
    }

    /// The entry with this key.
    pub(crate) fn get(&self, key: &E::Key) -> Option<&E> {
        let at = self.locate(key)?;
        let entries = self.chunk(at)?.entries();
        let index = entries.binary_search_by(|entry| entry.key().cmp(key)).ok()?;
        entries.get(index)
    }

    /// Adds an entry, or replaces the one with its key and returns that.
    pub(crate) fn insert(&mut self, entry: E) -> Option<E> {
        let Some(at) = self.locate(entry.key()) else {
            self.len = 1;
            self.insert_run(vec![entry]);
            return None;
        };
        match self.search(at, entry.key()) {
            Ok(index) => self.change_at(at, index, |old| std::mem::replace(old, entry)),
            Err(index) => {
                self.len += 1;
                let entries = &mut self.chunk_mut(at)?.entries;
                // Amid a chunk, an entry that does not begin one and does not fill one leaves the
                // cuts around it where they are.
                let before = index.checked_sub(1).and_then(|i| entries.get(i));
                let cuts_stay = before.is_some_and(|b| !starts(b, &entry)) && !entry.fills_chunk();
                entries.insert(index, entry);
                if !cuts_stay {
                    self.cut_again(at);
                }
                None
            }
        }
    }

    /// Changes the entry with this key in place; the key itself must stay as it is.
    pub(crate) fn modify<R>(
        &mut self,
        key: &E::Key,
        change: impl FnOnce(&mut E) -> R,
    ) -> Option<R> {
        let at = self.locate(key)?;
        let index = self.search(at, key).ok()?;
        self.change_at(at, index, change)
    }

    /// Removes the entry with this key and returns it.
    pub(crate) fn remove(&mut self, key: &E::Key) -> Option<E> {
        let at = self.locate(key)?;
        let index = self.search(at, key).ok()?;
        let removed = self.chunk_mut(at)?.entries.remove(index);
        self.len -= 1;
        if index == 0 || removed.fills_chunk() {
            self.cut_again(at);
        }
        Some(removed)
    }

    fn change_at<R>(
        &mut self,
        at: Position,
        index: usize,
        change: impl FnOnce(&mut E) -> R,
    ) -> Option<R> {
        let entry = self.chunk_mut(at)?.entries.get_mut(index)?;
        let before = (entry.opens_chunk(), entry.fills_chunk());
        let result = change(entry);
        if before != (entry.opens_chunk(), entry.fills_chunk()) {
            self.cut_again(at);
        }
        Some(result)
    }

    /// The chunk where this key is or would be. None only if the list is empty.
    fn locate(&self, key: &E::Key) -> Option<Position> {
        let before = |chunk: &Arc<Chunk<E>>| chunk.first_key().is_some_and(|first| first <= key);
        let page =
            self.pages.partition_point(|page| page.first().is_some_and(before)).saturating_sub(1);
        let chunk = self.pages.get(page)?.partition_point(before).saturating_sub(1);
        Some(Position { page, chunk })
    }

    fn search(&self, at: Position, key: &E::Key) -> Result<usize, usize> {
        let entries = self.chunk(at).map_or(&[][..], Chunk::entries);
        entries.binary_search_by(|entry| entry.key().cmp(key))
    }

    fn chunk(&self, at: Position) -> Option<&Chunk<E>> {
        self.pages.get(at.page)?.get(at.chunk).map(|chunk| &**chunk)
    }

    /// The chunk to be changed: no longer shared, its cache empty.
    fn chunk_mut(&mut self, at: Position) -> Option<&mut Chunk<E>> {
        let page = Arc::make_mut(Arc::make_mut(&mut self.pages).get_mut(at.page)?);
        let chunk = Arc::make_mut(page.get_mut(at.chunk)?);
        chunk.cache = E::Cache::default();
        Some(chunk)
    }

    fn next(&self, at: Position) -> Option<Position> {
        if at.chunk + 1 < self.pages.get(at.page)?.len() {
            return Some(Position { chunk: at.chunk + 1, ..at });
        }
        let page = at.page + 1;
        (page < self.pages.len()).then_some(Position { page, chunk: 0 })
    }

    fn previous(&self, at: Position) -> Option<Position> {
        if let Some(chunk) = at.chunk.checked_sub(1) {
            return Some(Position { chunk, ..at });
        }
        let page = at.page.checked_sub(1)?;
        Some(Position { page, chunk: self.pages.get(page)?.len().checked_sub(1)? })
    }

    /// Cuts a changed chunk (which may have become empty) and, where the change moved a boundary,
    /// its neighbours anew.
    fn cut_again(&mut self, at: Position) {
        let (previous, next) = (self.previous(at), self.next(at));
        let mut run = self.chunk_mut(at).map_or_else(Vec::new, |c| std::mem::take(&mut c.entries));

        if let Some(next) = next {
            let before = run.last().or_else(|| self.chunk(previous?)?.entries.last());
            let first = self.chunk(next).and_then(|c| c.entries.first());
            let joined = matches!((before, first), (Some(b), Some(f)) if !starts(b, f));
            if joined {
                run.append(&mut self.remove_chunk(next));
            }
        }
        self.remove_chunk(at);
        if let Some(previous) = previous {
            let before = self.chunk(previous).and_then(|c| c.entries.last());
            let joined = matches!((before, run.first()), (Some(b), Some(f)) if !starts(b, f));
            if joined {
                let mut longer = self.remove_chunk(previous);
                longer.append(&mut run);
                run = longer;
            }
        }
        self.insert_run(run);
    }

    /// Removes a chunk. Positions in front of it stay valid.
    fn remove_chunk(&mut self, at: Position) -> Vec<E> {
        let pages = Arc::make_mut(&mut self.pages);
        let Some(page) = pages.get_mut(at.page).map(Arc::make_mut) else { return Vec::new() };
        if at.chunk >= page.len() {
            return Vec::new();
        }
        let removed = Arc::unwrap_or_clone(page.remove(at.chunk));
        let len = page.len();
        let next_len = pages.get(at.page + 1).map(|next| next.len());
        if len == 0 {
            pages.remove(at.page);
        } else if next_len.is_some_and(|next_len| len + next_len <= PAGE_CHUNKS) {
            let mut tail = Arc::unwrap_or_clone(pages.remove(at.page + 1));
            if let Some(page) = pages.get_mut(at.page) {
                Arc::make_mut(page).append(&mut tail);
            }
        }
        removed.entries
    }

    /// Inserts adjacent entries, none of which any chunk holds, as chunks of their own.
    fn insert_run(&mut self, run: Vec<E>) {
        let Some(first) = run.first() else { return };
        let place = self.locate(first.key()).map(|at| {
            let behind = self.chunk(at).and_then(Chunk::first_key) < Some(first.key());
            Position { chunk: at.chunk + usize::from(behind), ..at }
        });
        let chunks = split(run);
        let pages = Arc::make_mut(&mut self.pages);
        let Some(at) = place else {
            *pages = into_pages(chunks);
            return;
        };
        let Some(page) = pages.get_mut(at.page).map(Arc::make_mut) else { return };
        page.splice(at.chunk..at.chunk, chunks);
        let len = page.len();
        if len > PAGE_CHUNKS.max(pages.len())
            && let Some(page) = pages.get_mut(at.page).map(Arc::make_mut)
        {
            let tail = page.split_off(len / 2);
            pages.insert(at.page + 1, Arc::new(tail));
        }
    }
}
