//! The closed sets of label values. Variants stand in the order of their names, which is the order of
//! series in an exposition.

/// Which handler answered, by upstream's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Handler {
    /// `GET /api/v1/metrics`.
    ApiMetrics,
    /// `OPTIONS /api/v1/…`.
    ApiOptions,
    /// `GET /api/v1/status`.
    ApiStatus,
    /// `DELETE /metrics/job/…`.
    Delete,
    /// `GET /-/healthy`.
    Healthy,
    /// `PUT` and `POST /metrics/job/…`.
    Push,
    /// `GET /-/ready`.
    Ready,
    /// `GET /static/…`.
    Static,
    /// `GET /` and `/status`.
    Status,
    /// `PUT /api/v1/admin/wipe`.
    Wipe,
}

impl Handler {
    #[cfg(test)]
    pub(super) const ALL: [Handler; 10] = [
        Handler::ApiMetrics,
        Handler::ApiOptions,
        Handler::ApiStatus,
        Handler::Delete,
        Handler::Healthy,
        Handler::Push,
        Handler::Ready,
        Handler::Static,
        Handler::Status,
        Handler::Wipe,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Handler::ApiMetrics => "api/v1/metrics",
            Handler::ApiOptions => "api/v1/options",
            Handler::ApiStatus => "api/v1/status",
            Handler::Delete => "delete",
            Handler::Healthy => "healthy",
            Handler::Push => "push",
            Handler::Ready => "ready",
            Handler::Static => "static",
            Handler::Status => "status",
            Handler::Wipe => "wipe",
        }
    }
}

/// The methods that have a route; any other word is one label value, since clients make them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Delete,
    Get,
    Options,
    Post,
    Put,
    Unknown,
}

impl Method {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "DELETE" => Method::Delete,
            "GET" => Method::Get,
            "OPTIONS" => Method::Options,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            _ => Method::Unknown,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Delete => "delete",
            Method::Get => "get",
            Method::Options => "options",
            Method::Post => "post",
            Method::Put => "put",
            Method::Unknown => "unknown",
        }
    }
}

/// Why a request or connection was refused although there was nothing wrong with its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// A body or what it decodes to exceeds its limit: 413.
    BodyTooLarge,
    /// The body came too slowly: 408.
    BodyTooSlow,
    /// Too many open connections: closed at once.
    Connections,
    /// The disk is nearly full: 507.
    DiskFull,
    /// Groups or series stored have reached their limit: 507.
    Full,
    /// A header block exceeds its limit or came too slowly.
    Header,
    /// Too many or too long labels or names: 400.
    Labels,
    /// No quorum: 503.
    NoQuorum,
    /// Too many requests at once: 503.
    Overload,
    /// More series in one push than allowed: 413.
    Series,
    /// The process is stopping: 503.
    ShuttingDown,
    /// The state database or the log has failed: 503.
    StorageFailed,
    /// Not done before the deadline: 503.
    Timeout,
}

impl Refusal {
    pub(super) const ALL: [Refusal; 13] = [
        Refusal::BodyTooLarge,
        Refusal::BodyTooSlow,
        Refusal::Connections,
        Refusal::DiskFull,
        Refusal::Full,
        Refusal::Header,
        Refusal::Labels,
        Refusal::NoQuorum,
        Refusal::Overload,
        Refusal::Series,
        Refusal::ShuttingDown,
        Refusal::StorageFailed,
        Refusal::Timeout,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Refusal::BodyTooLarge => "body_too_large",
            Refusal::BodyTooSlow => "body_too_slow",
            Refusal::Connections => "connections",
            Refusal::DiskFull => "disk_full",
            Refusal::Full => "full",
            Refusal::Header => "header",
            Refusal::Labels => "labels",
            Refusal::NoQuorum => "no_quorum",
            Refusal::Overload => "overload",
            Refusal::Series => "series",
            Refusal::ShuttingDown => "shutting_down",
            Refusal::StorageFailed => "storage_failed",
            Refusal::Timeout => "timeout",
        }
    }
}
