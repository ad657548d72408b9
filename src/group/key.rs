//! What identifies a group: its labels.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// The label that every group is expected to have, and by which groups are ordered first.
pub(crate) const JOB: &str = "job";
/// The label that every stored series has, empty unless pushed or part of the grouping key.
pub(crate) const INSTANCE: &str = "instance";

/// The labels of a group, sorted by name, each name once; `job` is one of them.
///
/// Keys are ordered by job, then by all labels. That order is the order of groups everywhere:
/// in a scrape, in the API and in snapshots.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct GroupingKey {
    labels: Box<[(Box<str>, Box<str>)]>,
    job: u32,
    /// Compares like the key itself: keys are compared far more often than they are made.
    order: Box<[u8]>,
}

impl GroupingKey {
    /// The key with these labels. Of labels with the same name the last one counts.
    ///
    /// A key without `job` is kept as if its job were empty: refusing it is the edge's task.
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted: BTreeMap<String, String> = labels.into_iter().collect();
        Self::from_sorted(sorted.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }

    /// The key with these labels if they are sorted by name with each name once.
    pub(crate) fn try_from_sorted(labels: Vec<(String, String)>) -> Option<Self> {
        let sorted = labels.is_sorted_by(|(a, _), (b, _)| a < b);
        sorted.then(|| {
            Self::from_sorted(labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
        })
    }

    fn from_sorted(labels: Box<[(Box<str>, Box<str>)]>) -> Self {
        let job = labels.iter().position(|(name, _)| &**name == JOB);
        let job = job.and_then(|i| u32::try_from(i).ok()).unwrap_or(u32::MAX);
        let mut key = GroupingKey { labels, job, order: Box::default() };
        let mut order = Vec::with_capacity(2 * key.text_bytes() + 16);
        write_ordered(&mut order, key.job());
        for (name, value) in key.labels() {
            write_ordered(&mut order, name);
            write_ordered(&mut order, value);
        }
        order.extend_from_slice(&LIST_END);
        key.order = order.into_boxed_slice();
        key
    }

    /// The value of the label `job`.
    pub fn job(&self) -> &str {
        self.labels.get(self.job as usize).map_or("", |(_, value)| value)
    }

    /// All labels as (name, value), sorted by name.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        self.labels.get(at).map(|(_, value)| &**value)
    }

    /// Appends the bytes that stand for this key in persistent keys and hashes: no two keys share
    /// them, and none are a prefix of another's.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&len_u32(self.labels.len()).to_be_bytes());
        for (name, value) in &self.labels {
            for text in [name, value] {
                out.extend_from_slice(&len_u32(text.len()).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Reads what [`Self::write_canonical`] wrote and returns what follows it.
    pub(crate) fn read_canonical(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, mut rest) = read_u32(bytes)?;
        let mut labels = Vec::new();
        for _ in 0..count {
            let (name, after) = read_text(rest)?;
            let (value, after) = read_text(after)?;
            labels.push((name, value));
            rest = after;
        }
        Some((Self::try_from_sorted(labels)?, rest))
    }

    /// Whether series may carry these labels: Prometheus keeps names that begin with `__` to itself.
    pub(crate) fn is_exposable(&self) -> bool {
        self.labels.iter().all(|(name, _)| !name.is_empty() && !name.starts_with("__"))
    }

    /// Bytes of text in the labels.
    pub(crate) fn text_bytes(&self) -> usize {
        self.labels.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Ends a text in the bytes by which keys are compared: less than any byte of a longer text.
const TEXT_END: [u8; 2] = [0, 1];
/// Stands for the character NUL in them: more than the end of a text, less than other characters.
const TEXT_NUL: [u8; 2] = [0, 0xff];
/// Ends the labels in them: less than one more label.
const LIST_END: [u8; 2] = [0, 0];

fn write_ordered(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte == 0 {
            out.extend_from_slice(&TEXT_NUL);
        } else {
            out.push(byte);
        }
    }
    out.extend_from_slice(&TEXT_END);
}

/// The limits keep every text and count far below 4 GiB; a longer one would only read back as
/// damaged.
fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

fn read_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = read_u32(bytes)?;
    let (text, rest) = rest.split_at_checked(len as usize)?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), rest))
}

impl Ord for GroupingKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order)
    }
}

impl PartialOrd for GroupingKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for GroupingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.labels()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(labels: &[(&str, &str)]) -> GroupingKey {
        GroupingKey::new(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn labels_are_sorted_and_the_last_of_a_name_counts() {
        let k = key(&[("x", "1"), ("job", "j"), ("a", "2"), ("x", "3")]);
        assert_eq!(k.labels().collect::<Vec<_>>(), [("a", "2"), ("job", "j"), ("x", "3")]);
        assert_eq!(k.job(), "j");
        assert_eq!(k.get("x"), Some("3"));
        assert_eq!(k.get("y"), None);
        assert_eq!(key(&[("a", "1")]).job(), "");
    }

    #[test]
    fn keys_are_ordered_by_job_then_labels() {
        let sorted = [
            key(&[("zone", "b"), ("job", "a")]),
            key(&[("job", "b")]),
            key(&[("job", "b"), ("z", "")]),
            key(&[("job", "b"), ("z", "1")]),
            key(&[("job", "b"), ("z", "1\0")]),
            key(&[("job", "b"), ("z", "1\0a")]),
            key(&[("job", "b"), ("z", "1\u{1}")]),
            key(&[("job", "b"), ("z", "12")]),
            key(&[("", ""), ("job", "b\0")]),
            key(&[("job", "b\0")]),
            key(&[("job", "b\0\u{1}")]),
            key(&[("a", "9"), ("job", "c")]),
            key(&[("job", "c")]),
        ];
        assert!(sorted.is_sorted_by(|a, b| a < b), "{sorted:?}");
    }

    #[test]
    fn canonical_bytes_are_read_back_and_no_prefix_of_each_other() {
        let keys = [
            key(&[]),
            key(&[("job", "")]),
            key(&[("job", "j")]),
            key(&[("job", "j"), ("x", "")]),
            key(&[("job", "j"), ("x", "é\0/")]),
        ];
        let bytes: Vec<Vec<u8>> = keys
            .iter()
            .map(|k| {
                let mut out = Vec::new();
                k.write_canonical(&mut out);
                out
            })
            .collect();
        for (k, b) in keys.iter().zip(&bytes) {
            let mut with_tail = b.clone();
            with_tail.extend_from_slice(b"tail");
            assert_eq!(GroupingKey::read_canonical(&with_tail), Some((k.clone(), &b"tail"[..])));
            for cut in 0..b.len() {
                assert_eq!(GroupingKey::read_canonical(&b[..cut]), None);
            }
            assert_eq!(bytes.iter().filter(|other| other.starts_with(b)).count(), 1);
        }
    }

    #[test]
    fn canonical_bytes_out_of_order_are_refused() {
        let out = GroupingKey::try_from_sorted(vec![
            ("b".to_owned(), String::new()),
            ("a".to_owned(), String::new()),
        ]);
        assert_eq!(out, None);
    }
}
