//! Looks through encoded metrics once before they are stored.

use prost::encoding::encoded_len_varint;

use crate::exposition::name::{is_legacy_label_name, is_legacy_metric_name};
use crate::exposition::wire::{Fields, MetricRef, MetricsIter};
use crate::group::hash::{Fingerprint, SeriesHasher};
use crate::group::stored::StoredFamily;
use crate::pb::client::MetricType;

/// Field number of `Metric.label`.
const METRIC_LABEL: u32 = 1;

/// What there is to know about encoded metrics.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Examined {
    /// Number of metrics.
    pub(crate) series: u32,
    /// Whether a scrape may have to change a name.
    pub(crate) needs_escaping: bool,
    /// The series in stored order, or None if they are those of the family that is replaced.
    pub(crate) fingerprints: Option<Vec<Fingerprint>>,
}

/// Examines the metrics of one family, of which `replaced` is the present version in its group.
///
/// None: the bytes are not what [`crate::group::sanitize`] makes. They must not be stored.
pub(crate) fn examine(
    name: &str,
    kind: MetricType,
    metrics: &[u8],
    hasher: &SeriesHasher,
    replaced: Option<&StoredFamily>,
) -> Option<Examined> {
    if let Some(old) =
        replaced.filter(|old| old.kind == kind && same_series(&old.metrics(), metrics))
    {
        let (series, needs_escaping) = (old.series, old.needs_escaping);
        return Some(Examined { series, needs_escaping, fingerprints: None });
    }
    let mut needs_escaping = !is_legacy_metric_name(name);
    let mut fingerprints = Vec::new();
    let mut iter = MetricsIter::new(metrics);
    for metric in iter.by_ref() {
        needs_escaping |= !check_labels(metric)?;
        metric.value(kind)?;
        fingerprints.push(hasher.fingerprint(label_bytes(metric)));
    }
    if !iter.is_at_end() || has_repetition(&fingerprints) {
        return None;
    }
    let series = u32::try_from(fingerprints.len()).ok()?;
    Some(Examined { series, needs_escaping, fingerprints: Some(fingerprints) })
}

/// The fingerprints of metrics that were examined before.
pub(crate) fn fingerprints(
    metrics: &[u8],
    hasher: &SeriesHasher,
) -> impl Iterator<Item = Fingerprint> {
    MetricsIter::new(metrics).map(|metric| hasher.fingerprint(label_bytes(metric)))
}

/// The encoded labels of a metric, which are its leading fields. The encoding is canonical: equal
/// label sets have equal bytes.
pub(crate) fn label_bytes(metric: MetricRef<'_>) -> &[u8] {
    let mut end = 0;
    for (number, value) in Fields::new(metric.body()) {
        let Some(pair) = value.bytes().filter(|_| number == METRIC_LABEL) else { break };
        end += 1 + encoded_len_varint(pair.len() as u64) + pair.len();
    }
    metric.body().get(..end).unwrap_or_default()
}

/// Whether both hold metrics with the same labels in the same order. The commonest push by far
/// brings new values for the series that it brought the last time.
fn same_series(old: &[u8], new: &[u8]) -> bool {
    let (mut old, mut new) = (MetricsIter::new(old), MetricsIter::new(new));
    loop {
        match (old.next(), new.next()) {
            (Some(a), Some(b)) if label_bytes(a) == label_bytes(b) => {}
            (None, None) => return old.is_at_end() && new.is_at_end(),
            _ => return false,
        }
    }
}

/// Checks that the labels are well-formed, sorted and in front. Tells whether all names are legacy.
fn check_labels(metric: MetricRef<'_>) -> Option<bool> {
    let mut legacy = true;
    let mut before: Option<&str> = None;
    let mut in_front = true;
    let mut fields = Fields::new(metric.body());
    for (number, value) in fields.by_ref() {
        if number != METRIC_LABEL {
            in_front = false;
            continue;
        }
        let mut pair = Fields::new(value.bytes().filter(|_| in_front)?);
        let (Some((1, name)), Some((2, text))) = (pair.next(), pair.next()) else { return None };
        let name = std::str::from_utf8(name.bytes()?).ok()?;
        std::str::from_utf8(text.bytes()?).ok()?;
        if !pair.is_at_end() || before.is_some_and(|before| before >= name) {
            return None;
        }
        legacy = legacy && is_legacy_label_name(name);
        before = Some(name);
    }
    fields.is_at_end().then_some(legacy)
}

fn has_repetition(fingerprints: &[Fingerprint]) -> bool {
    let mut sorted = fingerprints.to_vec();
    sorted.sort_unstable();
    !sorted.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::wire::encode_metrics;
    use crate::group::hash::Hashes;
    use crate::pb::client::{LabelPair, Metric, Untyped};

    fn metric(labels: &[(&str, &str)]) -> Metric {
        let label = labels
            .iter()
            .map(|(n, v)| LabelPair { name: Some((*n).into()), value: Some((*v).into()) })
            .collect();
        Metric { label, untyped: Some(Untyped { value: Some(1.0) }), ..Metric::default() }
    }

    fn examined(metrics: &[u8]) -> Option<Examined> {
        let hasher = Hashes::new(&[7; 16]).series("a");
        examine("a", MetricType::Untyped, metrics, &hasher, None)
    }

    #[test]
    fn well_formed_metrics_are_counted() {
        let cases = [
            (vec![], Some((0, false))),
            (vec![metric(&[])], Some((1, false))),
            (vec![metric(&[("a", "1")]), metric(&[("a", "2")])], Some((2, false))),
            (vec![metric(&[("a-b", "1")])], Some((1, true))),
            // Repeated, unsorted, without a value.
            (vec![metric(&[("a", "1")]), metric(&[("b", "")]), metric(&[("a", "1")])], None),
            (vec![metric(&[("b", "1"), ("a", "1")])], None),
            (vec![metric(&[("a", "1"), ("a", "2")])], None),
            (vec![Metric { untyped: None, ..metric(&[]) }], None),
        ];
        for (metrics, expected) in cases {
            let found = examined(&encode_metrics(&metrics));
            assert_eq!(found.map(|e| (e.series, e.needs_escaping)), expected, "{metrics:?}");
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = encode_metrics(&[metric(&[("a", "1"), ("b", "2")]), metric(&[])]);
        let whole = examined(&bytes).unwrap();
        for cut in 1..bytes.len() {
            let found = examined(&bytes[..cut]);
            assert!(found.is_none_or(|f| f.series < whole.series), "cut at {cut}");
        }
        assert_eq!(examined(b"\x0a\x00"), None);
    }

    #[test]
    fn fingerprints_depend_on_family_and_labels_only() {
        let (a, b) = (metric(&[("x", "1")]), metric(&[("x", "2")]));
        let hashes = Hashes::new(&[7; 16]);
        let all: Vec<Fingerprint> = [("f", &a), ("f", &b), ("g", &a)]
            .iter()
            .flat_map(|(name, m)| {
                let bytes = encode_metrics(&[(*m).clone()]);
                fingerprints(&bytes, &hashes.series(name)).collect::<Vec<_>>()
            })
            .collect();
        assert!(!has_repetition(&all));
        let other_value = Metric { untyped: Some(Untyped { value: Some(2.0) }), ..a.clone() };
        assert!(same_series(
            &encode_metrics(std::slice::from_ref(&a)),
            &encode_metrics(&[other_value])
        ));
        assert!(!same_series(&encode_metrics(&[a]), &encode_metrics(&[b])));
    }
}
