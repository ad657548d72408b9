//! What the fuzz targets in `fuzz/` call, and what the tests replay the corpora through.
//!
//! Each function takes any bytes, and panics only where the program breaks a promise: that parsers
//! are total, that what a push was accepted for can be scraped in every format, that renderings
//! agree with each other, and that a state survives being persisted.

use std::collections::BTreeSet;
use std::io::Read as _;

use crate::clock::UnixNanos;
use crate::exposition::name::Escaping;
use crate::exposition::negotiate::{Encoding, Format};
use crate::exposition::{ParseRules, parse_protobuf, parse_text};
use crate::group::{
    Batch, Change, GroupStore, GroupingKey, Mutation, Outcome, PushMode, PushRules, RequestId,
    Restore, StateLimits, View, prepare_push,
};
use crate::pb::client::{Histogram, Metric, MetricFamily, MetricType};

const HASH_KEY: [u8; 16] = *b"sixteen byte key";
const AT: UnixNanos = UnixNanos(1_700_000_000_500_000_000);

/// Small, so that the limits are met by small inputs, too.
const PUSHED: ParseRules = ParseRules {
    utf8_names: true,
    series_max: 200,
    labels_max: 20,
    name_bytes_max: 100,
    value_bytes_max: 1000,
};
const STORED: PushRules<'_> =
    PushRules { labels_max: 20, own: &[("own_seconds", MetricType::Histogram)] };

/// What a scrape is read with: it may hold more than a push.
const SCRAPED: ParseRules = ParseRules {
    utf8_names: true,
    series_max: usize::MAX,
    labels_max: usize::MAX,
    name_bytes_max: usize::MAX,
    value_bytes_max: usize::MAX,
};

/// Parses a body in the text format and follows it to the scrape.
pub fn text(data: &[u8]) {
    if let Ok(families) = parse_text(data, &PUSHED) {
        push_and_scrape(&families);
    }
}

/// Parses a body of delimited protobuf and follows it to the scrape.
pub fn protobuf(data: &[u8]) {
    if let Ok(families) = parse_protobuf(data, &PUSHED) {
        push_and_scrape(&families);
    }
}

/// Routes a request and reads the grouping key from its path.
pub fn path(data: &[u8]) {
    crate::http::fuzzing::path(data);
}

/// Decodes a compressed body.
pub fn body(data: &[u8]) {
    crate::http::fuzzing::body(data);
}

/// Pushes families to two groups, looks at the state in every way there is, and deletes it.
fn push_and_scrape(families: &[MetricFamily]) {
    let keys = [key(&[("job", "a")]), key(&[("job", "b"), ("instance", "i")])];
    let push =
        |key: &GroupingKey, mode| prepare_push(key.clone(), mode, families.to_vec(), &STORED);
    let [first, second] = &keys;
    let mut store = GroupStore::new(HASH_KEY);
    let outcomes = apply(
        &mut store,
        [
            (1, push(first, PushMode::Replace)),
            (2, push(second, PushMode::Merge)),
            (3, push(first, PushMode::Merge)),
            (1, push(first, PushMode::Replace)),
        ],
    );
    // A repetition is told what is remembered, which of a long refusal is the beginning.
    let kind = std::mem::discriminant::<Outcome>;
    let same = matches!(
        &*outcomes,
        [first, _, again, known] if first == again && kind(first) == kind(known)
    );
    assert!(same, "the same push has the same outcome: {outcomes:?}");
    check_view(&store.view());
    apply(&mut store, (4..).zip(keys.map(|key| Change::Delete { key })));
    let view = store.view();
    assert_eq!((view.group_count(), view.series_count(), view.state_bytes()), (0, 0, 0));
    assert_eq!(view.exposition(&[], UTF8_TEXT, false).len, 0);
}

fn key(labels: &[(&str, &str)]) -> GroupingKey {
    GroupingKey::new(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Applies changes as one log entry, by way of its bytes.
fn apply(
    store: &mut GroupStore,
    changes: impl IntoIterator<Item = (usize, Change)>,
) -> Vec<Outcome> {
    let mutation = |(id, change): (usize, Change)| Mutation {
        id: RequestId((id as u128).to_be_bytes()),
        change,
    };
    let mutations = changes.into_iter().map(mutation).collect();
    let batch = Batch { at: AT, limits: StateLimits::default(), mutations };
    let bytes = batch.encode();
    let decoded = Batch::decode(bytes);
    assert_eq!(decoded.as_ref(), Ok(&batch), "an entry is what was proposed");
    store.apply(store.view().applied_index() + 1, &batch)
}

const UTF8_TEXT: Format = Format { encoding: Encoding::Text, escaping: Escaping::AllowUtf8 };

/// Checks that all renderings of a state tell the same, and that it survives being persisted.
fn check_view(view: &View) {
    let restored = restore(view);
    assert_eq!(restored.digest(), view.digest(), "the state is what was persisted");

    let text = view.exposition(&[], UTF8_TEXT, false).to_vec();
    let zipped = restored.exposition(&[], UTF8_TEXT, true).to_vec();
    assert!(gunzip(&zipped) == text, "the compressed scrape is the plain one");
    let delimited = Format { encoding: Encoding::ProtoDelimited, ..UTF8_TEXT };
    let delimited = view.exposition(&[], delimited, false).to_vec();
    let families = parse_protobuf(&delimited, &SCRAPED).expect("our own protobuf is protobuf");
    let series = series_of(&families);
    let metrics: usize = families.iter().map(|family| family.metric.len()).sum();
    assert_eq!(metrics, series.len(), "no series is there twice");
    assert_eq!(metrics as u64, view.series_count(), "no series is missing");
    if !shares_lines(&families) {
        match parse_text(&text, &SCRAPED) {
            Ok(families) => assert_eq!(series_of(&families), series, "all formats tell the same"),
            // Protobuf can carry what text can show, and our text parser refuses as upstream's does.
            Err(error) => assert!(error.to_string().contains(": negative "), "{error}"),
        }
    }
    for encoding in [Encoding::Text, Encoding::ProtoDelimited, Encoding::ProtoCompact] {
        let format = Format { encoding, escaping: Escaping::Underscores };
        let escaped = view.exposition(&[], format, false);
        assert_eq!(escaped.to_vec().len(), escaped.len);
        assert!(restored.exposition(&[], format, false) == escaped, "a state has one rendering");
    }
    crate::http::fuzzing::show(view);
}

fn restore(view: &View) -> View {
    let mut restore = Restore::new(HASH_KEY);
    for item in view.items() {
        restore.push_encoded(&item.encode()).expect("an item is what was persisted");
    }
    restore.finish().expect("the items are complete").view()
}

fn gunzip(zipped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = flate2::bufread::GzDecoder::new(zipped).read_to_end(&mut plain);
    assert!(read.is_ok(), "our own gzip is gzip: {read:?}");
    plain
}

/// Whether text shows parts of a gauge histogram with the name of another family, which upstream
/// accepts.
fn shares_lines(families: &[MetricFamily]) -> bool {
    let names: BTreeSet<&str> = families.iter().map(MetricFamily::name).collect();
    let gauge_histograms = families.iter().filter(|f| f.r#type() == MetricType::GaugeHistogram);
    let mut lines = gauge_histograms.flat_map(|family| {
        ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.name()))
    });
    lines.any(|name| names.contains(&*name))
}

/// Name, type and labels of a series, and what all formats tell of its value.
type Series<'a> = (&'a str, MetricType, Vec<(&'a str, &'a str)>, [u64; 2]);

fn series_of(families: &[MetricFamily]) -> BTreeSet<Series<'_>> {
    let mut all = BTreeSet::new();
    for family in families {
        // Text has no word for gauge histograms.
        let kind = match family.r#type() {
            MetricType::GaugeHistogram => MetricType::Histogram,
            kind => kind,
        };
        for metric in &family.metric {
            let labels = metric.label.iter().map(|label| (label.name(), label.value())).collect();
            all.insert((family.name(), kind, labels, value_of(metric, kind).map(comparable)));
        }
    }
    all
}

/// The number, or sum and count.
#[expect(clippy::cast_precision_loss, reason = "text knows only doubles")]
fn value_of(metric: &Metric, kind: MetricType) -> [f64; 2] {
    let histogram_count = |histogram: &Histogram| match histogram.sample_count_float() {
        0.0 => histogram.sample_count() as f64,
        count => count,
    };
    let value = match kind {
        MetricType::Counter => metric.counter.as_ref().map(|counter| [counter.value(), 0.0]),
        MetricType::Gauge => metric.gauge.as_ref().map(|gauge| [gauge.value(), 0.0]),
        MetricType::Untyped => metric.untyped.as_ref().map(|untyped| [untyped.value(), 0.0]),
        MetricType::Summary => {
            metric.summary.as_ref().map(|s| [s.sample_sum(), s.sample_count() as f64])
        }
        MetricType::Histogram | MetricType::GaugeHistogram => {
            metric.histogram.as_ref().map(|h| [h.sample_sum(), histogram_count(h)])
        }
    };
    value.expect("a metric has a value of its family's type")
}

/// Text has one NaN and one zero.
fn comparable(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Runs a target on every file of its corpus.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.collect();
        assert!(files.len() >= 15, "{folder} has only {} inputs", files.len());
        let breaks = |path: &PathBuf| {
            let input = std::fs::read(path).unwrap();
            std::panic::catch_unwind(|| run(&input)).is_err()
        };
        let broken: Vec<_> = files.into_iter().filter(breaks).collect();
        assert!(broken.is_empty(), "these inputs break promises: {broken:#?}");
    }

    #[test]
    fn texts() {
        replay("text", text);
    }

    #[test]
    fn protobufs() {
        replay("protobuf", protobuf);
    }

    #[test]
    fn paths() {
        replay("path", path);
    }

    #[test]
    fn bodies() {
        replay("body", body);
    }
}
