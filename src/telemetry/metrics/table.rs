//! The one table of our metric families: name, kind, help, and where the series come from.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::histogram::Histogram;
use super::labels::Refusal;
use super::process::Sample;
use super::summary::Summary;
use super::{Inner, PUSH_METHODS, PushSummaries, StateGauges, lock};
use crate::pb::client::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use crate::telemetry::build_info::{self, BuildInfo};

/// What the series are made from.
pub(super) struct Source<'a> {
    pub(super) inner: &'a Inner,
    pub(super) state: &'a StateGauges,
    pub(super) process: &'a Sample,
    pub(super) now: Instant,
}

struct Row {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    series: fn(&Source<'_>) -> Vec<Metric>,
}

/// Every family, sorted by name.
static TABLE: &[Row] = &[
    counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", |s| {
        one_counter(s.process.cpu_seconds_total)
    }),
    gauge("process_max_fds", "Maximum number of open file descriptors.", |s| {
        one_gauge(s.process.max_fds)
    }),
    counter(
        "process_network_receive_bytes_total",
        "Number of bytes received by the process over the network.",
        |s| one_counter(s.process.network_receive_bytes_total),
    ),
    counter(
        "process_network_transmit_bytes_total",
        "Number of bytes sent by the process over the network.",
        |s| one_counter(s.process.network_transmit_bytes_total),
    ),
    gauge("process_open_fds", "Number of open file descriptors.", |s| {
        one_gauge(s.process.open_fds)
    }),
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", |s| {
        one_gauge(s.process.resident_memory_bytes)
    }),
    gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        |s| one_gauge(s.process.start_time_seconds),
    ),
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", |s| {
        one_gauge(s.process.virtual_memory_bytes)
    }),
    gauge(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        |s| one_gauge(s.process.virtual_memory_max_bytes),
    ),
    gauge(build_info::FAMILY, build_info::HELP, |_| vec![BuildInfo::current().metric()]),
    summary(
        "pushgateway_http_push_duration_seconds",
        "HTTP request duration for pushes to the Pushgateway.",
        |s| push_summaries(s, |push| &push.duration_seconds),
    ),
    summary(
        "pushgateway_http_push_size_bytes",
        "HTTP request size for pushes to the Pushgateway.",
        |s| push_summaries(s, |push| &push.size_bytes),
    ),
    counter(
        "pushgateway_http_requests_total",
        "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
        requests,
    ),
    gauge("quorumgate_applied_index", "Index of the last Raft log entry applied.", |s| {
        one_gauge(Some(double(s.state.applied_index)))
    }),
    histogram(
        "quorumgate_apply_duration_seconds",
        "Time in seconds to apply one Raft log entry to the state.",
        |s| one_histogram(&s.inner.apply),
    ),
    gauge(
        "quorumgate_cache_bytes",
        "Bytes of rendered expositions kept for the next scrape.",
        |s| one_gauge(Some(double(s.state.cache_bytes))),
    ),
    gauge("quorumgate_cluster_members", "Members of the cluster, learners included.", |s| {
        one_gauge(Some(double(s.state.members)))
    }),
    gauge("quorumgate_cluster_voters", "Voters of the cluster.", |s| {
        one_gauge(Some(double(s.state.voters)))
    }),
    gauge(
        "quorumgate_cluster_voters_reachable",
        "Voters that this replica reaches, itself included.",
        |s| one_gauge(Some(double(s.state.voters_reachable))),
    ),
    gauge("quorumgate_disk_free_bytes", "Free bytes on the file system of the data.", |s| {
        one_gauge(s.state.disk_free_bytes.map(double))
    }),
    gauge("quorumgate_families", "Distinct metric family names stored.", |s| {
        one_gauge(Some(double(s.state.families)))
    }),
    gauge("quorumgate_groups", "Groups stored.", |s| one_gauge(Some(double(s.state.groups)))),
    gauge("quorumgate_has_leader", "Whether this replica knows a leader (1) or not (0).", |s| {
        one_gauge(Some(double(u64::from(s.state.has_leader))))
    }),
    gauge("quorumgate_http_requests_in_flight", "HTTP requests being served.", |s| {
        one_gauge(Some(load(&s.inner.in_flight)))
    }),
    gauge("quorumgate_is_leader", "Whether this replica leads (1) or not (0).", |s| {
        one_gauge(Some(double(u64::from(s.state.is_leader))))
    }),
    counter(
        "quorumgate_leader_changes_total",
        "Times that this replica has seen another leader since its start.",
        |s| one_counter(Some(double(s.state.leader_changes))),
    ),
    histogram(
        "quorumgate_log_append_entries",
        "Entries that one append brought to the Raft log, sharing one fsync.",
        |s| one_histogram(&s.inner.log_append_entries),
    ),
    gauge("quorumgate_log_bytes", "Bytes of the Raft log on disk.", |s| {
        one_gauge(Some(double(s.state.log_bytes)))
    }),
    gauge("quorumgate_log_entries", "Entries of the Raft log that are not purged.", |s| {
        one_gauge(Some(double(s.state.log_entries)))
    }),
    histogram(
        "quorumgate_log_fsync_duration_seconds",
        "Time in seconds to bring appended Raft log entries to the disk.",
        |s| one_histogram(&s.inner.log_fsync),
    ),
    histogram(
        "quorumgate_proposal_duration_seconds",
        "Time in seconds from handing in a mutation until its outcome is known.",
        |s| one_histogram(&s.inner.proposal),
    ),
    histogram("quorumgate_proposal_mutations", "Mutations that share one Raft log entry.", |s| {
        one_histogram(&s.inner.proposal_mutations)
    }),
    histogram(
        "quorumgate_read_index_duration_seconds",
        "Time in seconds until a linearizable read could be served.",
        |s| one_histogram(&s.inner.read_index),
    ),
    counter(
        "quorumgate_refused_requests_total",
        "Requests and connections refused by a limit or for lack of service, by reason.",
        refused,
    ),
    histogram(
        "quorumgate_scrape_duration_seconds",
        "Time in seconds to answer a scrape of the pushed metrics.",
        |s| one_histogram(&s.inner.scrape),
    ),
    gauge("quorumgate_series", "Series stored, those of the push times included.", |s| {
        one_gauge(Some(double(s.state.series)))
    }),
    gauge(
        "quorumgate_snapshot_age_seconds",
        "Time in seconds since the newest snapshot was finished.",
        |s| one_gauge(s.state.snapshot_age.map(|age| age.as_secs_f64())),
    ),
    gauge("quorumgate_snapshot_last_bytes", "Size of the newest snapshot in bytes.", |s| {
        one_gauge(s.state.snapshot_last_bytes.map(double))
    }),
    gauge(
        "quorumgate_staleness_seconds",
        "How many seconds old the applied state can be at most; no value when nobody can tell.",
        |s| one_gauge(s.state.staleness.map(|age| age.as_secs_f64())),
    ),
    gauge(
        "quorumgate_state_bytes",
        "Bytes of what is stored, as --limits.state-bytes counts them.",
        |s| one_gauge(Some(double(s.state.state_bytes))),
    ),
    gauge(
        "quorumgate_state_db_up",
        "Whether the state database takes writes (1) or is out of use until a restart (0).",
        |s| one_gauge(Some(f64::from(u8::from(s.state.state_db_up)))),
    ),
    gauge("quorumgate_term", "Current Raft term.", |s| one_gauge(Some(double(s.state.term)))),
];

/// Name and kind of every family that this process itself may show, sorted by name.
pub fn own_families() -> &'static [(&'static str, MetricType)] {
    static NAMES: LazyLock<Vec<(&'static str, MetricType)>> =
        LazyLock::new(|| TABLE.iter().map(|row| (row.name, row.kind)).collect());
    &NAMES
}

pub(super) fn gather(source: &Source<'_>) -> Vec<MetricFamily> {
    let families = TABLE.iter().map(|row| MetricFamily {
        name: Some(row.name.to_owned()),
        help: Some(row.help.to_owned()),
        r#type: Some(row.kind.into()),
        metric: (row.series)(source),
    });
    families.filter(|family| !family.metric.is_empty()).collect()
}

type Series = fn(&Source<'_>) -> Vec<Metric>;

const fn counter(name: &'static str, help: &'static str, series: Series) -> Row {
    Row { name, kind: MetricType::Counter, help, series }
}

const fn gauge(name: &'static str, help: &'static str, series: Series) -> Row {
    Row { name, kind: MetricType::Gauge, help, series }
}

const fn histogram(name: &'static str, help: &'static str, series: Series) -> Row {
    Row { name, kind: MetricType::Histogram, help, series }
}

const fn summary(name: &'static str, help: &'static str, series: Series) -> Row {
    Row { name, kind: MetricType::Summary, help, series }
}

fn one_counter(value: Option<f64>) -> Vec<Metric> {
    value.map(|value| counter_metric(&[], value)).into_iter().collect()
}

fn counter_metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let counter = Counter { value: Some(value), ..Counter::default() };
    Metric { label: label_pairs(labels), counter: Some(counter), ..Metric::default() }
}

fn one_gauge(value: Option<f64>) -> Vec<Metric> {
    let metric = |value| Metric { gauge: Some(Gauge { value: Some(value) }), ..Metric::default() };
    value.map(metric).into_iter().collect()
}

fn one_histogram(histogram: &Histogram) -> Vec<Metric> {
    vec![Metric { histogram: Some(histogram.sample().into()), ..Metric::default() }]
}

fn push_summaries(
    source: &Source<'_>,
    which: fn(&PushSummaries) -> &Mutex<Summary>,
) -> Vec<Metric> {
    let by_method = PUSH_METHODS.iter().zip(&source.inner.pushes);
    by_method
        .filter_map(|(method, summaries)| {
            let summary = lock(which(summaries)).sample(source.now)?;
            let label = label_pairs(&[("method", method.name())]);
            Some(Metric { label, summary: Some(summary.into()), ..Metric::default() })
        })
        .collect()
}

fn requests(source: &Source<'_>) -> Vec<Metric> {
    let requests = source.inner.requests.read().unwrap_or_else(PoisonError::into_inner);
    requests
        .iter()
        .map(|((status, handler, method), count)| {
            let status = status.to_string();
            let labels =
                [("code", &*status), ("handler", handler.name()), ("method", method.name())];
            counter_metric(&labels, load(count))
        })
        .collect()
}

fn refused(source: &Source<'_>) -> Vec<Metric> {
    Refusal::ALL
        .iter()
        .zip(&source.inner.refused)
        .map(|(reason, count)| counter_metric(&[("reason", reason.name())], load(count)))
        .collect()
}

fn label_pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    labels
        .iter()
        .map(|(name, value)| LabelPair {
            name: Some((*name).to_owned()),
            value: Some((*value).to_owned()),
        })
        .collect()
}

fn load(count: &AtomicU64) -> f64 {
    double(count.load(Ordering::Relaxed))
}

#[expect(clippy::cast_precision_loss, reason = "a double is what is shown")]
fn double(value: u64) -> f64 {
    value as f64
}
