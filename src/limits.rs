//! Every bound in one place, with its default and the flag that moves it.
//!
//! The defaults are far above what users of the upstream Pushgateway push, and far below what would
//! exhaust a machine: their job is to stop mistakes and abuse, not work.
//!
//! What clients can make the process hold beside the state is bounded by four of them together:
//! header blocks and what is read ahead of a body take at most `header_bytes` for each of
//! `connections`, read bodies and what is parsed from them at most `inflight_bytes`, answers at most
//! `answer_bytes` and one more answer, and the header blocks and the beginnings of the answers of
//! requests being served at most `header_bytes` and [`ANSWER_BYTES_FREE`] for each of
//! `concurrent_requests`. With the defaults the first product is 8 GiB; it takes as many clients as
//! that to hold it, each for `header_timeout` only.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The bounds that an operator can move. One field is one `--limits.*` flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `--limits.body-bytes`: bytes of a request body as sent; more is answered 413.
    pub body_bytes: usize,
    /// `--limits.decoded-body-bytes`: bytes of a request body after decompression; more is 413.
    pub decoded_body_bytes: usize,
    /// `--limits.series-per-push`: metrics in one push; more is 413.
    pub series_per_push: usize,
    /// `--limits.labels-per-series`: labels of one metric, grouping labels included; more is 400.
    pub labels_per_series: usize,
    /// `--limits.name-bytes`: bytes of a metric or label name; more is 400.
    pub name_bytes: usize,
    /// `--limits.label-value-bytes`: bytes of a label value; more is 400.
    pub label_value_bytes: usize,
    /// `--limits.groups`: groups stored; a push that would add one more is answered 507.
    pub groups: usize,
    /// `--limits.series`: series stored; a push that would exceed it is answered 507.
    pub series: usize,
    /// `--limits.state-bytes`: bytes stored; a push that would exceed it is answered 507.
    pub state_bytes: u64,
    /// `--limits.concurrent-requests`: requests served at once; one more is answered 503.
    pub concurrent_requests: usize,
    /// `--limits.inflight-bytes`: body bytes held by all requests at once; more is answered 503.
    pub inflight_bytes: usize,
    /// `--limits.answer-bytes`: bytes that all answers hold at once for themselves alone; more is
    /// answered 503.
    pub answer_bytes: usize,
    /// `--limits.connections`: open client connections; one more is closed at once.
    pub connections: usize,
    /// `--limits.header-bytes`: bytes of a request's header block; more is answered 431.
    pub header_bytes: usize,
    /// `--limits.header-timeout`: time to send a request's header block; then the connection closes.
    pub header_timeout: Duration,
    /// `--limits.body-timeout`: longest pause while sending a body; then 408.
    pub body_timeout: Duration,
    /// `--limits.request-timeout`: time for a push to be committed or a scrape to begin; then 503.
    pub request_timeout: Duration,
    /// `--limits.shutdown-timeout`: time to finish accepted requests when stopping.
    pub shutdown_timeout: Duration,
    /// `--limits.disk-free-bytes`: free disk space below which pushes are answered 507.
    pub disk_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 * MIB,
            decoded_body_bytes: 256 * MIB,
            series_per_push: 1_000_000,
            labels_per_series: 128,
            name_bytes: 64 * KIB,
            label_value_bytes: MIB,
            groups: 1_000_000,
            series: 10_000_000,
            state_bytes: 4096 * MIB as u64,
            concurrent_requests: 1024,
            inflight_bytes: 1024 * MIB,
            answer_bytes: 1024 * MIB,
            connections: 8192,
            header_bytes: MIB,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(20),
            disk_free_bytes: 64 * MIB as u64,
        }
    }
}

/// Pushes waiting to be proposed; a push that finds the queue full waits its turn until its deadline.
pub const PROPOSE_QUEUE_LEN: usize = 4096;
/// Mutations in one log entry.
pub const BATCH_MUTATIONS_MAX: usize = 512;
/// Bytes of encoded mutations after which a log entry is closed; a larger single push stands alone.
pub const BATCH_BYTES_MAX: usize = MIB;
/// Log entries of one proposer under way at once.
pub const BATCHES_IN_FLIGHT: usize = 4;
/// Reads waiting for a read index; one that finds the queue full waits its turn until its deadline.
pub const READ_QUEUE_LEN: usize = 4096;
/// Connections to other replicas that are kept: three to each member, and some to those that join.
pub const PEER_CONNECTIONS_MAX: usize = 64;
/// Bytes of a snapshot in one message to another replica.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * KIB;
/// How long a snapshot may take to be sent, received, checked and installed, however small it is.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(1);
/// A larger one may take longer, as long as it gets on at this rate.
pub const SNAPSHOT_BYTES_PER_SECOND_MIN: u64 = MIB as u64;
/// Bytes of one message between replicas: a log entry with the largest push, and what shares it.
pub const PEER_MESSAGE_BYTES_MAX: usize = 1024 * MIB;
/// How long a connection to another replica may take to be made.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A replica that is silent this long is asked for a sign of life.
pub const PEER_PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to give one; then the connection is made anew.
pub const PEER_PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls at once on one connection of another replica.
pub const PEER_STREAMS_MAX: u32 = 256;
/// Bytes on their way to another replica that it has not made room for yet.
pub const PEER_WINDOW_BYTES: u32 = 4 << 20;
/// Replicas of one cluster, learners included.
pub const MEMBERS_MAX: usize = 15;
/// Request ids remembered for deduplication, however old.
pub const RECENT_REQUESTS_MIN: usize = 65_536;
/// How long more of them are remembered, oldest forgotten first: long enough for a retry until its
/// deadline, through a change of leaders, and for a client's own retry after that.
pub const RECENT_SPAN: Duration = Duration::from_secs(30);
/// Request ids remembered at most: 15 s of 25,000 pushes a second.
pub const RECENT_REQUESTS_MAX: usize = 6 * 65_536;
/// Reasons listed in one refusal; the rest is counted.
pub const REFUSAL_REASONS_MAX: usize = 100;

// Of the HTTP edge. No operator has a reason to move these, so they are not flags.

/// How long an HTTP/1 connection may rest between requests. Longer than the proxies that keep
/// connections open for reuse usually wait, so that they close them and not we, in the middle of a
/// request.
pub const CONNECTION_IDLE: Duration = Duration::from_mins(5);
/// A sender of a body that is slower on average, `body_timeout` aside, does not get to finish.
pub const BODY_BYTES_PER_SECOND_MIN: u32 = 1024;
/// A reader of an answer that is slower on average, `body_timeout` aside, does not get the rest.
pub const ANSWER_BYTES_PER_SECOND_MIN: u32 = 32 * 1024;
/// Bytes of each answer that do not count against `answer_bytes`: a plain scrape of what is kept
/// anyway takes little more, and must be possible when others have used up the budget.
pub const ANSWER_BYTES_FREE: usize = 256 * KIB;
/// Bytes of an answer that the kernel takes ahead of what it can send. Were it more, a slow reader
/// would free room for the next bytes so rarely that it looked like one that stands still.
pub const ANSWER_BYTES_UNSENT_MAX: u32 = 128 * 1024;
/// How long the rest of a body is read and thrown away after its answer: many clients send all of
/// a body before they look at the answer, and would find a closed connection instead.
pub const BODY_LINGER: Duration = Duration::from_secs(5);
/// Requests at once on one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 256;
/// An HTTP/2 client that is silent this long is asked for a sign of life.
pub const HTTP2_PING_INTERVAL: Duration = Duration::from_mins(1);
/// How long it may take to give one; then the connection closes.
pub const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A kind of scrape that was not asked for within this time is answered without keeping what was
/// rendered for it: who comes by once leaves no cache behind. Longer than any scrape interval in
/// use.
pub const SCRAPER_RETURNS: Duration = Duration::from_mins(10);
/// Groups on one status page; the rest is counted.
pub const PAGE_GROUPS_MAX: usize = 500;
/// Series on one status page; the rest is counted.
pub const PAGE_SERIES_MAX: usize = 5000;

const _: () = assert!(BATCH_MUTATIONS_MAX <= PROPOSE_QUEUE_LEN);
const _: () = assert!(RECENT_REQUESTS_MIN >= BATCH_MUTATIONS_MAX * BATCHES_IN_FLIGHT);
const _: () = assert!(RECENT_REQUESTS_MAX >= 15 * 25_000);
