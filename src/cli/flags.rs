//! The one table of flags. Parsing, help, the values that `/api/v1/status` shows and the reference in
//! the documentation are all derived from it; defaults are those of [`Settings::defaults`].

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration::GoDuration;
use super::value::Slot;
use crate::config::SelfMetrics;
use crate::limits::{Limits, MEMBERS_MAX};
use crate::telemetry::{LogConfig, LogFormat, LogLevel};

/// What the flags say, before it is checked as a whole.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub(super) struct Settings {
    pub(super) listen_addresses: Vec<String>,
    pub(super) systemd_socket: bool,
    pub(super) web_config_file: String,
    pub(super) telemetry_path: String,
    pub(super) external_url: String,
    pub(super) route_prefix: String,
    pub(super) enable_lifecycle: bool,
    pub(super) enable_admin_api: bool,
    pub(super) self_metrics: SelfMetrics,
    pub(super) persistence_file: String,
    pub(super) persistence_interval: GoDuration,
    pub(super) disable_consistency_check: bool,
    pub(super) enable_utf8_names: bool,
    pub(super) storage_path: String,
    pub(super) snapshot_entries: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) cluster_listen_address: String,
    pub(super) cluster_advertise_address: String,
    pub(super) cluster_join: Vec<String>,
    pub(super) cluster_bootstrap_expect: usize,
    pub(super) cluster_name: String,
    pub(super) cluster_heartbeat_interval: Duration,
    pub(super) cluster_election_timeout: Duration,
    pub(super) cluster_dead_member_timeout: Duration,
    pub(super) cluster_voters_min: usize,
    pub(super) cluster_shutdown_delay: Duration,
    pub(super) read_stale: bool,
    pub(super) read_max_staleness: Duration,
    pub(super) read_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) log: LogConfig,
}

/// `--persistence.interval` when it is not given: five minutes.
pub(super) const PERSISTENCE_INTERVAL: GoDuration = GoDuration(300_000_000_000);

impl Settings {
    pub(super) fn defaults() -> Self {
        Settings {
            listen_addresses: vec![":9091".to_owned()],
            systemd_socket: false,
            web_config_file: String::new(),
            telemetry_path: "/metrics".to_owned(),
            external_url: String::new(),
            route_prefix: String::new(),
            enable_lifecycle: false,
            enable_admin_api: false,
            self_metrics: SelfMetrics::Separate,
            persistence_file: String::new(),
            persistence_interval: PERSISTENCE_INTERVAL,
            disable_consistency_check: false,
            enable_utf8_names: false,
            storage_path: "data".to_owned(),
            snapshot_entries: 20_000,
            snapshot_bytes: 64 << 20,
            cluster_listen_address: String::new(),
            cluster_advertise_address: String::new(),
            cluster_join: Vec::new(),
            cluster_bootstrap_expect: 0,
            cluster_name: String::new(),
            cluster_heartbeat_interval: Duration::from_millis(50),
            cluster_election_timeout: Duration::from_millis(250),
            cluster_dead_member_timeout: Duration::ZERO,
            cluster_voters_min: 3,
            cluster_shutdown_delay: Duration::from_secs(3),
            read_stale: false,
            read_max_staleness: Duration::from_secs(10),
            read_timeout: Duration::from_secs(8),
            limits: Limits::default(),
            log: LogConfig { level: LogLevel::Info, format: LogFormat::Logfmt },
        }
    }
}

/// One flag: its name without dashes, what it does, and the setting that it moves.
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) slot: fn(&mut Settings) -> Slot<'_>,
}

/// Above zero; the ceiling keeps sums of a few such numbers far from overflow.
const ANY: RangeInclusive<u64> = 1..=1 << 48;
/// Replicas of one cluster.
const MEMBERS: RangeInclusive<u64> = 0..=MEMBERS_MAX as u64;
/// What a semaphore or a table of that many entries can still hold.
const AT_ONCE: RangeInclusive<u64> = 1..=1 << 24;
/// The HTTP library refuses to work with a header buffer of less than 8 KiB.
const HEADER_BYTES: RangeInclusive<u64> = 8 << 10..=64 << 20;

/// All flags, in the order of the help: the upstream Pushgateway's, then ours.
pub(super) static FLAGS: &[Flag] = &[
    Flag {
        name: "web.systemd-socket",
        help: "Take listening sockets from systemd. Not supported by this version.",
        slot: |s| Slot::Bool(&mut s.systemd_socket),
    },
    Flag {
        name: "web.listen-address",
        help: "Address to serve on: `:9091`, `host:9091` or `[::1]:9091`. May be repeated.",
        slot: |s| Slot::Texts(&mut s.listen_addresses),
    },
    Flag {
        name: "web.config.file",
        help: "File that sets up TLS and authentication. Not supported by this version.",
        slot: |s| Slot::Text(&mut s.web_config_file),
    },
    Flag {
        name: "web.telemetry-path",
        help: "Path to scrape the pushed metrics from.",
        slot: |s| Slot::Text(&mut s.telemetry_path),
    },
    Flag {
        name: "web.external-url",
        help: "URL under which clients reach this process. Its path becomes the prefix of all \
               routes, and the status page shows it; the links of that page are relative.",
        slot: |s| Slot::Url(&mut s.external_url),
    },
    Flag {
        name: "web.route-prefix",
        help: "Prefix of all HTTP routes. When empty, the path of --web.external-url.",
        slot: |s| Slot::Text(&mut s.route_prefix),
    },
    Flag {
        name: "web.enable-lifecycle",
        help: "Let `PUT /-/quit` stop the process.",
        slot: |s| Slot::Bool(&mut s.enable_lifecycle),
    },
    Flag {
        name: "web.enable-admin-api",
        help: "Let clients of `/api/v1/admin/` delete all groups (`PUT wipe`), change the members and \
               take snapshots (`quorumgate ctl`).",
        slot: |s| Slot::Bool(&mut s.enable_admin_api),
    },
    Flag {
        name: "web.self-metrics",
        help: "Where this process's own metrics appear: `separate` is /-/metrics only, `inline` \
               adds them to the pushed metrics. One of: [separate, inline]",
        slot: |s| Slot::SelfMetrics(&mut s.self_metrics),
    },
    Flag {
        name: "persistence.file",
        help: "Accepted for compatibility: its folder, with `quorumgate` appended, becomes the \
               default of --storage.path. The file itself is neither read nor written.",
        slot: |s| Slot::Text(&mut s.persistence_file),
    },
    Flag {
        name: "persistence.interval",
        help: "Accepted for compatibility: every push is on disk before it is answered.",
        slot: |s| Slot::GoDuration(&mut s.persistence_interval),
    },
    Flag {
        name: "push.disable-consistency-check",
        help: "Answer pushes 202, whether or not they fit what is stored. One that does not is \
               dropped all the same, never stored, and marks its group as failed.",
        slot: |s| Slot::Bool(&mut s.disable_consistency_check),
    },
    Flag {
        name: "push.enable-utf8-names",
        help: "Accept any UTF-8 in metric and label names.",
        slot: |s| Slot::Bool(&mut s.enable_utf8_names),
    },
    Flag {
        name: "storage.path",
        help: "Folder that holds all data; made when missing.",
        slot: |s| Slot::Text(&mut s.storage_path),
    },
    Flag {
        name: "storage.snapshot-entries",
        help: "Log entries after which a snapshot is taken and the log purged.",
        slot: |s| Slot::Count((&mut s.snapshot_entries).into(), ANY),
    },
    Flag {
        name: "storage.snapshot-bytes",
        help: "Bytes of log after which a snapshot is taken and the log purged.",
        slot: |s| Slot::Bytes((&mut s.snapshot_bytes).into(), ANY),
    },
    Flag {
        name: "cluster.listen-address",
        help: "Address to listen on for other replicas, such as `:9092`. When empty, there are none.",
        slot: |s| Slot::Text(&mut s.cluster_listen_address),
    },
    Flag {
        name: "cluster.advertise-address",
        help: "`host:port` at which the other replicas reach this one; a name that outlives its IP \
               address is best. When empty, made from --cluster.listen-address and the host name.",
        slot: |s| Slot::Text(&mut s.cluster_advertise_address),
    },
    Flag {
        name: "cluster.join",
        help: "`host:port` of other replicas, separated by commas; a name with several addresses \
               stands for all of them. This replica may be among them. May be repeated.",
        slot: |s| Slot::Texts(&mut s.cluster_join),
    },
    Flag {
        name: "cluster.bootstrap-expect",
        help: "How many replicas form a new cluster once all of them see each other. 0 stands for 1 \
               without --cluster.join, and otherwise for never.",
        slot: |s| Slot::Count((&mut s.cluster_bootstrap_expect).into(), MEMBERS),
    },
    Flag {
        name: "cluster.name",
        help: "Name of this replica, of its own in the cluster and kept for ever. When empty, the \
               host name at the first start.",
        slot: |s| Slot::Text(&mut s.cluster_name),
    },
    Flag {
        name: "cluster.heartbeat-interval",
        help: "How often the leader shows that it is there.",
        slot: |s| Slot::Timeout(&mut s.cluster_heartbeat_interval),
    },
    Flag {
        name: "cluster.election-timeout",
        help: "How long followers wait for a sign of the leader before they elect another; then, by \
               chance, for half to once as long again. At least three heartbeat intervals.",
        slot: |s| Slot::Timeout(&mut s.cluster_election_timeout),
    },
    Flag {
        name: "cluster.dead-member-timeout",
        help: "After what time a member that is gone is removed from the cluster; 0 is never.",
        slot: |s| Slot::Delay(&mut s.cluster_dead_member_timeout),
    },
    Flag {
        name: "cluster.voters-min",
        help: "Voters that --cluster.dead-member-timeout leaves in any case.",
        slot: |s| Slot::Count((&mut s.cluster_voters_min).into(), MEMBERS),
    },
    Flag {
        name: "cluster.shutdown-delay",
        help: "How long a replica that is to stop still takes requests while it tells the load \
               balancer, by /-/ready, to go elsewhere. Without other replicas it does not wait.",
        slot: |s| Slot::Delay(&mut s.cluster_shutdown_delay),
    },
    Flag {
        name: "read.consistency",
        help: "What a read gets that does not say: the newest state (linearizable), or what this \
               replica has (stale). One of: [linearizable, stale]",
        slot: |s| Slot::Stale(&mut s.read_stale),
    },
    Flag {
        name: "read.max-staleness",
        help: "How old the answer to a stale read may be that does not say; an older one is refused.",
        slot: |s| Slot::Timeout(&mut s.read_max_staleness),
    },
    Flag {
        name: "read.timeout",
        help: "Time for a scrape to begin; then 503 is answered. Less than a scrape may take.",
        slot: |s| Slot::Timeout(&mut s.read_timeout),
    },
    Flag {
        name: "limits.body-bytes",
        help: "Bytes of a request body as sent; more is answered 413.",
        slot: |s| Slot::Bytes((&mut s.limits.body_bytes).into(), ANY),
    },
    Flag {
        name: "limits.decoded-body-bytes",
        help: "Bytes of a request body after decompression; more is answered 413.",
        slot: |s| Slot::Bytes((&mut s.limits.decoded_body_bytes).into(), ANY),
    },
    Flag {
        name: "limits.series-per-push",
        help: "Metrics in one push; more is answered 413.",
        slot: |s| Slot::Count((&mut s.limits.series_per_push).into(), ANY),
    },
    Flag {
        name: "limits.labels-per-series",
        help: "Labels of one metric, grouping labels included; more is answered 400.",
        slot: |s| Slot::Count((&mut s.limits.labels_per_series).into(), ANY),
    },
    Flag {
        name: "limits.name-bytes",
        help: "Bytes of a metric or label name; more is answered 400.",
        slot: |s| Slot::Bytes((&mut s.limits.name_bytes).into(), ANY),
    },
    Flag {
        name: "limits.label-value-bytes",
        help: "Bytes of a label value; more is answered 400.",
        slot: |s| Slot::Bytes((&mut s.limits.label_value_bytes).into(), ANY),
    },
    Flag {
        name: "limits.groups",
        help: "Groups stored; a push that would add one more is answered 507.",
        slot: |s| Slot::Count((&mut s.limits.groups).into(), ANY),
    },
    Flag {
        name: "limits.series",
        help: "Series stored; a push that would exceed it is answered 507.",
        slot: |s| Slot::Count((&mut s.limits.series).into(), ANY),
    },
    Flag {
        name: "limits.state-bytes",
        help: "Bytes stored, as quorumgate_state_bytes counts them; a push that would exceed it is \
               answered 507.",
        slot: |s| Slot::Bytes((&mut s.limits.state_bytes).into(), ANY),
    },
    Flag {
        name: "limits.concurrent-requests",
        help: "Requests served at once; one more is answered 503.",
        slot: |s| Slot::Count((&mut s.limits.concurrent_requests).into(), AT_ONCE),
    },
    Flag {
        name: "limits.inflight-bytes",
        help: "Body bytes held by all requests at once; one more request is answered 503.",
        slot: |s| Slot::Bytes((&mut s.limits.inflight_bytes).into(), ANY),
    },
    Flag {
        name: "limits.answer-bytes",
        help: "Bytes that all answers together hold for themselves alone, beside what scrapes share; \
               one more answer is 503. A single answer may be larger.",
        slot: |s| Slot::Bytes((&mut s.limits.answer_bytes).into(), ANY),
    },
    Flag {
        name: "limits.connections",
        help: "Open client connections; one more is closed at once.",
        slot: |s| Slot::Count((&mut s.limits.connections).into(), AT_ONCE),
    },
    Flag {
        name: "limits.header-bytes",
        help: "Bytes of a request's header block; more is answered 431.",
        slot: |s| Slot::Bytes((&mut s.limits.header_bytes).into(), HEADER_BYTES),
    },
    Flag {
        name: "limits.header-timeout",
        help: "Time to send a request's header block; then the connection is closed.",
        slot: |s| Slot::Timeout(&mut s.limits.header_timeout),
    },
    Flag {
        name: "limits.body-timeout",
        help: "Longest pause while sending a body; then 408 is answered.",
        slot: |s| Slot::Timeout(&mut s.limits.body_timeout),
    },
    Flag {
        name: "limits.request-timeout",
        help: "Time for a push to be committed or a scrape to begin; then 503 is answered.",
        slot: |s| Slot::Timeout(&mut s.limits.request_timeout),
    },
    Flag {
        name: "limits.shutdown-timeout",
        help: "Time to finish accepted requests when stopping.",
        slot: |s| Slot::Timeout(&mut s.limits.shutdown_timeout),
    },
    Flag {
        name: "limits.disk-free-bytes",
        help: "Free disk space below which pushes are answered 507; 0 turns the check off.",
        slot: |s| Slot::Bytes((&mut s.limits.disk_free_bytes).into(), 0..=1 << 48),
    },
    Flag {
        name: "log.level",
        help: "Least severity that is logged. One of: [debug, info, warn, error]",
        slot: |s| Slot::Level(&mut s.log.level),
    },
    Flag {
        name: "log.format",
        help: "Form of the log lines. One of: [logfmt, json]",
        slot: |s| Slot::Format(&mut s.log.format),
    },
];
