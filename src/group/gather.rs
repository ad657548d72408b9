//! The body of a scrape: all families of all groups, and the replica's own.
//!
//! Families come in the order of their names, their samples in the order of groups. What was
//! rendered or compressed once is kept with the chunk it belongs to, so that a scrape costs what
//! changed since the last one and the copying of the rest:
//!
//! * small families share a chunk of the list of families, which keeps all of them in one piece;
//! * a large family has that chunk for itself, which keeps its header, and its samples are kept with
//!   the chunks of its members.

use std::borrow::Cow;
use std::sync::Arc;

use crate::exposition::FamilyHeader;
use crate::exposition::name::Escaping;
use crate::exposition::negotiate::{Encoding, Format};
use crate::exposition::protobuf::{write_delimited, write_delimited_header};
use crate::exposition::prototext::{self, Layout};
use crate::exposition::text::render::{write_header, write_samples};
use crate::exposition::wire::{MetricsIter, encode_metrics};
use crate::group::body::{Body, Exposition};
use crate::group::chunked::Chunk;
use crate::group::family::FamilyEntry;
use crate::group::render_cache::{Facts, Form, RenderCache};
use crate::group::stored::{Member, StoredFamily};
use crate::group::view::View;
use crate::pb::client::{MetricFamily, MetricType};
use crate::trials::{self, Bug};

impl View {
    /// The body of a scrape in this format, compressed if asked for. `own` are families that the
    /// answering replica adds; where one has the name of a stored family, its header counts and its
    /// samples come first. One whose type differs from the stored family's is left out.
    pub fn exposition(&self, own: &[MetricFamily], format: Format, gzip: bool) -> Exposition {
        let wish = Wish { gzip, keep: true };
        self.exposition_within(own, format, wish, &mut |_| true).unwrap_or_default()
    }

    /// The same bytes as far as there is room: `room` is asked again and again whether the body may
    /// take so many bytes in all, beside those that it shares with the state. None if it may not.
    pub fn exposition_within(
        &self,
        own: &[MetricFamily],
        format: Format,
        wish: Wish,
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Exposition> {
        let mut own = own_families(own);
        own.sort_by(|a, b| a.name.cmp(b.name));
        let mut gatherer = Gatherer { body: Body::new(wish.gzip, wish.keep, room), format };
        let mut own = &*own;
        for chunk in self.families().list().chunks() {
            if !gatherer.body.claim(0) {
                return None;
            }
            let last = chunk.entries().last().map_or("", |entry| &*entry.name);
            let first = chunk.entries().first().map_or("", |entry| &*entry.name);
            let (before, rest) = split_at_name(own, |name| name < first);
            let (amid, after) = split_at_name(rest, |name| name <= last);
            gatherer.write_own(before);
            if amid.is_empty() {
                gatherer.chunk(chunk);
            } else {
                gatherer.mixed(chunk.entries(), amid);
            }
            own = after;
        }
        gatherer.write_own(own);
        gatherer.body.finish()
    }

    /// Bytes that renderings kept for the next scrape take. Looks at every chunk.
    pub fn cache_bytes(&self) -> u64 {
        let of_families = self.families().list().chunks().map(|chunk| {
            let large = chunk.entries().iter().filter(|family| family.is_large());
            let members = large.flat_map(|family| family.members.chunks());
            chunk.cache().bytes() + members.map(|members| members.cache().bytes()).sum::<usize>()
        });
        of_families.sum::<usize>() as u64
    }
}

/// How a body is wanted, beside its format.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Compressed.
    pub gzip: bool,
    /// Whether what is rendered is kept for the next scrape. If not, what was kept before is used,
    /// but nothing more is kept.
    pub keep: bool,
}

/// A family that the answering replica adds.
struct OwnFamily<'a> {
    name: &'a str,
    help: &'a str,
    kind: MetricType,
    metrics: Vec<u8>,
}

fn own_families(families: &[MetricFamily]) -> Vec<OwnFamily<'_>> {
    let with_metrics = families.iter().filter(|family| !family.metric.is_empty());
    let own = with_metrics.map(|family| OwnFamily {
        name: family.name(),
        help: family.help(),
        kind: family.r#type(),
        metrics: encode_metrics(&family.metric),
    });
    own.collect()
}

fn split_at_name<'a, 'b>(
    own: &'a [OwnFamily<'b>],
    is_first: impl Fn(&str) -> bool,
) -> (&'a [OwnFamily<'b>], &'a [OwnFamily<'b>]) {
    own.split_at_checked(own.partition_point(|own| is_first(own.name))).unwrap_or_default()
}

struct Gatherer<'r> {
    body: Body<'r>,
    format: Format,
}

impl Gatherer<'_> {
    /// The encoding as far as renderings in it are kept.
    fn form(&self) -> Option<Form> {
        match self.format.encoding {
            Encoding::Text => Some(Form::Text),
            Encoding::ProtoDelimited => Some(Form::Delimited),
            Encoding::ProtoText | Encoding::ProtoCompact => None,
        }
    }

    /// The form to keep what has these facts in: the same for all who may ask for it.
    fn kept_form(&self, facts: &Facts) -> Option<Form> {
        let form = self.form()?;
        let as_stored = form == Form::Delimited && self.format.escaping == Escaping::AllowUtf8;
        (as_stored || !facts.needs_escaping).then_some(form)
    }

    fn chunk(&mut self, chunk: &Chunk<Arc<FamilyEntry>>) {
        match chunk.entries() {
            [family] if family.is_large() => self.large(family, Some(chunk.cache()), None),
            families => self.small(families, chunk.cache()),
        }
    }

    /// Small families that share a chunk.
    fn small(&mut self, families: &[Arc<FamilyEntry>], cache: &RenderCache) {
        let facts = cache.facts(|| Facts {
            needs_escaping: families
                .iter()
                .flat_map(|f| f.members.iter())
                .any(|m| m.family.needs_escaping),
            help: None,
        });
        if let Some(form) = self.kept_form(facts) {
            let format = self.format;
            self.body.kept(cache.form(form), |out| {
                for family in families {
                    write_family(out, format, Some(family), None);
                }
            });
        } else {
            for family in families {
                self.write_family(Some(family), None);
            }
        }
    }

    /// Families of a chunk with own families amid them, for which nothing is kept but what large
    /// families keep.
    fn mixed(&mut self, families: &[Arc<FamilyEntry>], own: &[OwnFamily<'_>]) {
        let mut own = own;
        for family in families {
            let (before, rest) = split_at_name(own, |name| name < &*family.name);
            let (same, after) = split_at_name(rest, |name| name <= &*family.name);
            self.write_own(before);
            let same = same.first().filter(|own| own.kind == family.kind);
            if family.is_large() {
                self.large(family, None, same);
            } else {
                self.write_family(Some(family), same);
            }
            own = after;
        }
        self.write_own(own);
    }

    /// A family whose samples are kept in chunks; `cache` is where its header is kept.
    fn large(
        &mut self,
        family: &FamilyEntry,
        cache: Option<&RenderCache>,
        own: Option<&OwnFamily<'_>>,
    ) {
        let needs_escaping =
            family.members.chunks().any(|chunk| member_facts(chunk).needs_escaping);
        let whole = Facts { needs_escaping, help: None };
        let Some(form) = self.form() else { return self.write_family(Some(family), own) };
        if form == Form::Delimited && self.kept_form(&whole).is_none() {
            // The length in front of the family counts the names as they are shown.
            return self.write_family(Some(family), own);
        }
        let format = self.format;
        match cache.filter(|_| own.is_none() && self.kept_form(&whole).is_some()) {
            Some(cache) => self.body.kept(cache.form(form), |out| {
                write_front(out, format, Some(family), None);
            }),
            None => write_front(self.body.write(), format, Some(family), own),
        }
        for chunk in family.members.chunks() {
            let render = |out: &mut Vec<u8>| {
                for member in chunk.entries() {
                    write_member(out, format, &member.family);
                }
            };
            // To render these is to copy them, which takes no longer than to copy what was kept.
            let is_copy = form == Form::Delimited && !self.body.is_compressed();
            let kept_form = self.kept_form(member_facts(chunk)).filter(|_| !is_copy);
            // What is rendered for this body alone, before its length is known.
            let alone = kept_form.is_none() || !self.body.keeps();
            if !self.body.claim(if alone { rendered_bytes_about(chunk) } else { 0 }) {
                return;
            }
            match kept_form {
                Some(form) => self.body.kept(chunk.cache().form(form), render),
                None => render(self.body.write()),
            }
        }
    }

    fn write_own(&mut self, own: &[OwnFamily<'_>]) {
        for own in own {
            self.write_family(None, Some(own));
        }
    }

    fn write_family(&mut self, family: Option<&FamilyEntry>, own: Option<&OwnFamily<'_>>) {
        match self.format.encoding {
            Encoding::ProtoText => self.write_prototext(Layout::Multiline, family, own),
            Encoding::ProtoCompact => self.write_prototext(Layout::Compact, family, own),
            Encoding::Text | Encoding::ProtoDelimited => {
                // It is written in one piece, which is put together before if names are escaped.
                let bytes = family.map_or(0, |family| len(family.bytes));
                if self.body.claim(bytes.saturating_mul(3)) {
                    write_family(self.body.write(), self.format, family, own);
                }
            }
        }
    }

    /// Metric by metric: this form is several times as long as what is stored.
    fn write_prototext(
        &mut self,
        layout: Layout,
        family: Option<&FamilyEntry>,
        own: Option<&OwnFamily<'_>>,
    ) {
        let Some(header) = header(family, own) else { return };
        let escaping = self.format.escaping;
        prototext::write_header(self.body.write(), layout, header, escaping);
        let own = own.map(|own| Cow::Borrowed(&*own.metrics));
        for metrics in own.into_iter().chain(members(family).map(|member| member.family.metrics()))
        {
            for metric in MetricsIter::new(&metrics).map_while(|metric| metric.decode()) {
                if !self.body.claim(0) {
                    return;
                }
                prototext::write_metric(self.body.write(), layout, &metric, escaping);
            }
        }
        self.body.write().push(b'\n');
    }
}

fn member_facts(chunk: &Chunk<Member>) -> &Facts {
    let mut helps = chunk.entries().iter().map(|member| &member.family.help);
    chunk.cache().facts(|| Facts {
        needs_escaping: chunk.entries().iter().any(|member| member.family.needs_escaping),
        help: helps.find(|help| !help.is_empty()).map(Arc::clone),
    })
}

/// About how long the samples of a chunk become.
fn rendered_bytes_about(chunk: &Chunk<Member>) -> usize {
    let stored: usize = chunk.entries().iter().map(|member| member.family.metrics.len()).sum();
    stored.saturating_mul(2)
}

fn len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Who has samples of a family, in the order in which they are exposed.
fn members(family: Option<&FamilyEntry>) -> impl Iterator<Item = &Member> {
    let members = family.into_iter().flat_map(|family| family.members.iter());
    trials::ordered(Bug::HashOrder, members, |member| member.family.mark.into())
}

/// Writes a family, stored or own or both in one, as text or delimited, without keeping anything.
fn write_family(
    out: &mut Vec<u8>,
    format: Format,
    family: Option<&FamilyEntry>,
    own: Option<&OwnFamily<'_>>,
) {
    let escaped = members(family).any(|member| member.family.needs_escaping);
    let escaped = format.escaping != Escaping::AllowUtf8 && (escaped || own.is_some());
    if format.encoding == Encoding::Text || !escaped {
        write_front(out, format, family, own);
        for member in members(family) {
            write_member(out, format, &member.family);
        }
        return;
    }
    let Some(header) = header(family, own) else { return };
    let mut metrics = own.map_or_else(Vec::new, |own| own.metrics.clone());
    for member in members(family) {
        metrics.extend_from_slice(&member.family.metrics());
    }
    write_delimited(out, header, &metrics, format.escaping);
}

/// Writes what comes before the stored samples of a family: its header and the own samples.
fn write_front(
    out: &mut Vec<u8>,
    format: Format,
    family: Option<&FamilyEntry>,
    own: Option<&OwnFamily<'_>>,
) {
    let Some(FamilyHeader { name, help, kind }) = header(family, own) else { return };
    let own_metrics = own.map_or(&[][..], |own| &own.metrics);
    if format.encoding == Encoding::Text {
        write_header(out, name, help, kind, format.escaping);
        write_samples(out, name, kind, own_metrics, format.escaping);
        return;
    }
    let stored_bytes = family.map_or(0, |family| len(family.bytes));
    let header = FamilyHeader { name, help, kind };
    write_delimited_header(out, header, own_metrics.len() + stored_bytes, format.escaping);
    out.extend_from_slice(own_metrics);
}

/// Writes the samples of one group.
fn write_member(out: &mut Vec<u8>, format: Format, member: &StoredFamily) {
    if format.encoding == Encoding::Text {
        write_samples(out, &member.name, member.kind, &member.metrics(), format.escaping);
    } else {
        out.extend_from_slice(&member.metrics());
    }
}

/// The header of a family. None if there are no samples to come after it.
fn header<'a>(
    family: Option<&'a FamilyEntry>,
    own: Option<&'a OwnFamily<'_>>,
) -> Option<FamilyHeader<'a>> {
    if let Some(own) = own {
        return Some(FamilyHeader { name: own.name, help: own.help, kind: own.kind });
    }
    let family = family.filter(|family| family.series > 0)?;
    let help = family.members.chunks().find_map(|chunk| member_facts(chunk).help.as_deref());
    Some(FamilyHeader { name: &family.name, help: help.unwrap_or(""), kind: family.kind })
}
