//! The compact stored form of a family's metrics, and a reader that borrows from it.
//!
//! The form: the encoded `metric` fields of an `io.prometheus.client.MetricFamily`, one after the
//! other. So a protobuf scrape copies it as it is, and text is rendered from it without allocating.
//!
//! Bytes are checked before they are stored. Where the reader nevertheless meets bytes that are not
//! well-formed it ends the iteration: it never panics and never reads outside its slice.

mod fields;

use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

pub(crate) use self::fields::{Fields, VARINT_BYTES_MAX, Wire};
use crate::pb::client::{Metric, MetricType};

/// Field number of `MetricFamily.metric`.
pub(crate) const FAMILY_METRIC: u32 = 4;
/// Field number of `Metric.timestamp_ms`.
const METRIC_TIMESTAMP: u32 = 6;
/// The encoded key of `MetricFamily.metric`: number 4, length-delimited.
const METRIC_KEY: u8 = 0x22;

/// Encodes metrics into the stored form, in the order given.
pub fn encode_metrics(metrics: &[Metric]) -> Vec<u8> {
    let lengths: Vec<usize> = metrics.iter().map(Metric::encoded_len).collect();
    let capacity = lengths.iter().map(|len| 1 + encoded_len_varint(*len as u64) + len).sum();
    let mut out = Vec::with_capacity(capacity);
    for (metric, length) in metrics.iter().zip(lengths) {
        out.push(METRIC_KEY);
        encode_varint(length as u64, &mut out);
        metric.encode_raw(&mut out);
    }
    out
}

/// Appends one metric to a stored form, given its encoded message.
pub fn write_metric(out: &mut Vec<u8>, body: &[u8]) {
    out.push(METRIC_KEY);
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// Iterates over the metrics of a stored form.
#[derive(Debug, Clone)]
pub struct MetricsIter<'a> {
    fields: Fields<'a>,
}

impl<'a> MetricsIter<'a> {
    /// Reads what [`encode_metrics`] wrote.
    pub fn new(metrics: &'a [u8]) -> Self {
        MetricsIter { fields: Fields::new(metrics) }
    }

    /// Whether every byte has been read; false after the last metric means damaged bytes.
    pub fn is_at_end(&self) -> bool {
        self.fields.is_at_end()
    }
}

impl<'a> Iterator for MetricsIter<'a> {
    type Item = MetricRef<'a>;

    fn next(&mut self) -> Option<MetricRef<'a>> {
        let before = self.fields.rest();
        let (number, value) = self.fields.next()?;
        let body = value.bytes().filter(|_| number == FAMILY_METRIC);
        let Some(body) = body else {
            self.fields = Fields::new(before);
            return None;
        };
        let encoded = before.get(..before.len() - self.fields.rest().len())?;
        Some(MetricRef { body, encoded })
    }
}

/// One stored metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricRef<'a> {
    body: &'a [u8],
    encoded: &'a [u8],
}

impl<'a> MetricRef<'a> {
    /// A metric from its encoded message, without key and length.
    pub fn from_body(body: &'a [u8]) -> Self {
        MetricRef { body, encoded: &[] }
    }

    /// The encoded `Metric` message.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The metric as it stands in the stored form: key, length and message. Stored forms are made of
    /// these by concatenation.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Names and values of the labels, in stored order.
    pub fn labels(&self) -> LabelsIter<'a> {
        LabelsIter::new(self.body)
    }

    /// The value, if the metric holds one of this kind.
    pub fn value(&self, kind: MetricType) -> Option<ValueRef<'a>> {
        self.value_and_timestamp(kind).0
    }

    /// The time stamp in milliseconds, if the metric has one.
    pub fn timestamp_ms(&self) -> Option<i64> {
        last_field(self.body, METRIC_TIMESTAMP)?.unsigned().map(u64::cast_signed)
    }

    /// Both in one go, for what shows every metric.
    pub(crate) fn value_and_timestamp(
        &self,
        kind: MetricType,
    ) -> (Option<ValueRef<'a>>, Option<i64>) {
        let wanted = match kind {
            MetricType::Gauge => 2,
            MetricType::Counter => 3,
            MetricType::Summary => 4,
            MetricType::Untyped => 5,
            MetricType::Histogram | MetricType::GaugeHistogram => 7,
        };
        let (mut message, mut timestamp) = (None, None);
        for (number, value) in Fields::new(self.body) {
            if number == wanted {
                message = value.bytes();
            } else if number == METRIC_TIMESTAMP {
                timestamp = value.unsigned();
            }
        }
        let value = message.map(|message| match kind {
            MetricType::Gauge | MetricType::Counter | MetricType::Untyped => {
                ValueRef::Number(double_field(message, 1).unwrap_or_default())
            }
            MetricType::Summary => ValueRef::Summary(SummaryRef { message }),
            MetricType::Histogram | MetricType::GaugeHistogram => {
                ValueRef::Histogram(HistogramRef { message })
            }
        });
        (value, timestamp.map(u64::cast_signed))
    }

    /// The whole metric, decoded.
    pub fn decode(&self) -> Option<Metric> {
        Metric::decode(self.body).ok()
    }
}

/// As in every protobuf decoder the last of several wins.
#[inline]
fn last_field(message: &[u8], wanted: u32) -> Option<Wire<'_>> {
    let mut found = None;
    for (number, value) in Fields::new(message) {
        if number == wanted {
            found = Some(value);
        }
    }
    found
}

fn double_field(message: &[u8], number: u32) -> Option<f64> {
    last_field(message, number)?.double()
}

/// Iterates over the labels of a metric.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a> {
    fields: Fields<'a>,
}

impl<'a> LabelsIter<'a> {
    /// Reads the labels of an encoded metric.
    pub(crate) fn new(metric: &'a [u8]) -> Self {
        LabelsIter { fields: Fields::new(metric) }
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let pair = loop {
            if let (1, value) = self.fields.next()? {
                break value.bytes()?;
            }
        };
        let (mut name, mut label_value) = ("", "");
        for (number, value) in Fields::new(pair) {
            match number {
                1 => name = value.text()?,
                2 => label_value = value.text()?,
                _ => {}
            }
        }
        Some((name, label_value))
    }
}

/// The value of a metric.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// Of a counter, gauge or untyped metric; a missing number counts as 0.
    Number(f64),
    /// Of a summary.
    Summary(SummaryRef<'a>),
    /// Of a histogram or gauge histogram.
    Histogram(HistogramRef<'a>),
}

/// A count of observations: an integer, but in float histograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Count {
    /// A whole number.
    Integer(u64),
    /// What a float histogram holds.
    Float(f64),
}

impl Count {
    /// A float that is set replaces the integer; zero says nothing, since both may be there.
    fn of(integer: Option<u64>, float: Option<f64>) -> Count {
        match float {
            Some(float) if float != 0.0 => Count::Float(float),
            _ => Count::Integer(integer.unwrap_or_default()),
        }
    }

    /// The count as the double that the text exposition shows.
    #[expect(clippy::cast_precision_loss, reason = "the exposition knows only doubles")]
    pub fn as_f64(self) -> f64 {
        match self {
            Count::Integer(count) => count as f64,
            Count::Float(count) => count,
        }
    }
}

/// A stored summary.
#[derive(Debug, Clone, Copy)]
pub struct SummaryRef<'a> {
    message: &'a [u8],
}

impl<'a> SummaryRef<'a> {
    /// Number of observations.
    pub fn count(&self) -> u64 {
        last_field(self.message, 1).and_then(Wire::unsigned).unwrap_or_default()
    }

    /// Sum of the observations.
    pub fn sum(&self) -> f64 {
        double_field(self.message, 2).unwrap_or_default()
    }

    /// Quantiles and their values, in stored order.
    pub fn quantiles(&self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        Fields::new(self.message).filter(|(number, _)| *number == 3).map_while(|(_, value)| {
            let (mut quantile, mut quantile_value) = (0.0, 0.0);
            for (number, value) in Fields::new(value.bytes()?) {
                match number {
                    1 => quantile = value.double()?,
                    2 => quantile_value = value.double()?,
                    _ => {}
                }
            }
            Some((quantile, quantile_value))
        })
    }
}

/// A stored histogram: its classic part. Native buckets take [`MetricRef::decode`].
#[derive(Debug, Clone, Copy)]
pub struct HistogramRef<'a> {
    message: &'a [u8],
}

impl<'a> HistogramRef<'a> {
    /// Number of observations.
    pub fn count(&self) -> Count {
        let integer = last_field(self.message, 1).and_then(Wire::unsigned);
        Count::of(integer, double_field(self.message, 4))
    }

    /// Sum of the observations.
    pub fn sum(&self) -> f64 {
        double_field(self.message, 2).unwrap_or_default()
    }

    /// Upper bounds and cumulative counts of the classic buckets, in stored order.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, Count)> + use<'a> {
        Fields::new(self.message).filter(|(number, _)| *number == 3).map_while(|(_, value)| {
            let (mut bound, mut integer, mut float) = (0.0, None, None);
            for (number, value) in Fields::new(value.bytes()?) {
                match number {
                    1 => integer = value.unsigned(),
                    2 => bound = value.double()?,
                    4 => float = value.double(),
                    _ => {}
                }
            }
            Some((bound, Count::of(integer, float)))
        })
    }

    /// Whether the histogram has native (sparse) buckets.
    pub fn has_spans(&self) -> bool {
        Fields::new(self.message).any(|(number, _)| matches!(number, 9 | 12))
    }
}

#[cfg(test)]
mod tests;
