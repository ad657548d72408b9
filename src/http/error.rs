//! The one mapping from what can go wrong to what the client reads.

use http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::reply::{self, Reply};
use crate::raft::Unavailable;
use crate::telemetry::Refusal;

/// A request that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiError {
    /// The path does not name a group.
    GroupingKey(String),
    /// A parameter of the query makes no sense.
    Query(String),
    /// The body is not encoded the way it claims.
    Encoding(String),
    /// The body ended early or broke the rules of its transfer.
    BodyBroken,
    /// The body was sent too slowly.
    BodyTooSlow,
    /// The body is too long, encoded or decoded.
    BodyTooLarge(String),
    /// All request bodies together hold as much memory as they may.
    OutOfBodyMemory,
    /// All answers together hold as much memory as they may.
    OutOfAnswerMemory,
    /// The body is not in its format.
    Parse(String),
    /// The push carries too many series.
    TooManySeries(String),
    /// A name, a value or the number of labels exceeds its limit.
    Labels(String),
    /// The push contradicts itself or what is stored.
    Rejected(String),
    /// The push would exceed a limit on everything stored.
    OverLimit(String),
    /// Too many requests are being served; the number is the limit.
    Overload(usize),
    /// The replica cannot serve the request now.
    Unavailable(Unavailable),
    /// A failure of this program.
    Internal(String),
}

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> ApiError {
        ApiError::Unavailable(unavailable)
    }
}

impl ApiError {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            ApiError::GroupingKey(_)
            | ApiError::Query(_)
            | ApiError::Encoding(_)
            | ApiError::BodyBroken
            | ApiError::Parse(_)
            | ApiError::Labels(_)
            | ApiError::Rejected(_) => StatusCode::BAD_REQUEST,
            ApiError::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            ApiError::BodyTooLarge(_) | ApiError::TooManySeries(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::OverLimit(_) | ApiError::Unavailable(Unavailable::DiskFull { .. }) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            ApiError::OutOfBodyMemory
            | ApiError::OutOfAnswerMemory
            | ApiError::Overload(_)
            | ApiError::Unavailable(
                Unavailable::Timeout(_)
                | Unavailable::NoQuorum(_)
                | Unavailable::ShuttingDown
                | Unavailable::Starting(_)
                | Unavailable::TooStale { .. }
                | Unavailable::Fatal(_),
            ) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text of the answer, without its line break.
    pub(super) fn text(&self) -> String {
        match self {
            ApiError::GroupingKey(text)
            | ApiError::Query(text)
            | ApiError::Encoding(text)
            | ApiError::BodyTooLarge(text)
            | ApiError::Parse(text)
            | ApiError::TooManySeries(text)
            | ApiError::Labels(text)
            | ApiError::OverLimit(text) => text.clone(),
            ApiError::BodyBroken => "unexpected EOF".to_owned(),
            ApiError::BodyTooSlow => {
                "the body was sent too slowly (--limits.body-timeout)".to_owned()
            }
            ApiError::OutOfBodyMemory => {
                "the bodies of all current requests together are too large \
                 (--limits.inflight-bytes); try again"
                    .to_owned()
            }
            ApiError::OutOfAnswerMemory => {
                "the answers that are being sent together are too large \
                 (--limits.answer-bytes); try again"
                    .to_owned()
            }
            ApiError::Rejected(reason) => format!(
                "pushed metrics are invalid or inconsistent with existing metrics: {reason}"
            ),
            ApiError::Overload(max) => format!(
                "{max} requests are being served already (--limits.concurrent-requests); try again"
            ),
            ApiError::Unavailable(unavailable) => unavailable.to_string(),
            ApiError::Internal(text) => format!("internal error: {text}"),
        }
    }

    /// What the refusal counts as, unless it is the client's mistake.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            ApiError::GroupingKey(_)
            | ApiError::Query(_)
            | ApiError::Encoding(_)
            | ApiError::BodyBroken
            | ApiError::Parse(_)
            | ApiError::Rejected(_)
            | ApiError::Internal(_) => None,
            ApiError::BodyTooSlow => Some(Refusal::BodyTooSlow),
            ApiError::BodyTooLarge(_) => Some(Refusal::BodyTooLarge),
            ApiError::TooManySeries(_) => Some(Refusal::Series),
            ApiError::Labels(_) => Some(Refusal::Labels),
            ApiError::OverLimit(_) => Some(Refusal::Full),
            ApiError::OutOfBodyMemory | ApiError::OutOfAnswerMemory | ApiError::Overload(_) => {
                Some(Refusal::Overload)
            }
            ApiError::Unavailable(Unavailable::Timeout(_)) => Some(Refusal::Timeout),
            ApiError::Unavailable(
                Unavailable::NoQuorum(_) | Unavailable::Starting(_) | Unavailable::TooStale { .. },
            ) => Some(Refusal::NoQuorum),
            ApiError::Unavailable(Unavailable::ShuttingDown) => Some(Refusal::ShuttingDown),
            ApiError::Unavailable(Unavailable::DiskFull { .. }) => Some(Refusal::DiskFull),
            ApiError::Unavailable(Unavailable::Fatal(_)) => Some(Refusal::StorageFailed),
        }
    }

    /// The whole answer.
    pub(super) fn reply(&self) -> Reply {
        let mut reply: Response<_> = reply::line(self.status(), &self.text());
        let headers = reply.headers_mut();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rest of the body may still be on its way.
        let out_of_step = matches!(
            self,
            ApiError::BodyTooSlow | ApiError::BodyBroken | ApiError::BodyTooLarge(_)
        );
        if out_of_step {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &ApiError, status: u16, text: &str) {
        let reply = error.reply();
        assert_eq!(reply.status().as_u16(), status, "{error:?}");
        assert_eq!(reply.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        let retry_after = reply.headers().get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(retry_after, (status == 503).then_some("1"), "{error:?}");
        assert_eq!(error.refusal().is_none(), status == 400 || status == 500, "{error:?}");
        assert_eq!(reply::testing::body(reply), format!("{text}\n"));
    }

    #[test]
    fn maps_every_error() {
        let text = || "text".to_owned();
        check(&ApiError::GroupingKey(text()), 400, "text");
        check(&ApiError::Encoding(text()), 400, "text");
        check(&ApiError::BodyBroken, 400, "unexpected EOF");
        check(&ApiError::Parse(text()), 400, "text");
        check(
            &ApiError::Rejected(text()),
            400,
            "pushed metrics are invalid or inconsistent with existing metrics: text",
        );
        check(&ApiError::BodyTooSlow, 408, "the body was sent too slowly (--limits.body-timeout)");
        check(&ApiError::BodyTooLarge(text()), 413, "text");
        check(&ApiError::TooManySeries(text()), 413, "text");
        check(&ApiError::OverLimit(text()), 507, "text");
        check(
            &ApiError::OutOfBodyMemory,
            503,
            "the bodies of all current requests together are too large \
             (--limits.inflight-bytes); try again",
        );
        check(
            &ApiError::OutOfAnswerMemory,
            503,
            "the answers that are being sent together are too large \
             (--limits.answer-bytes); try again",
        );
        check(
            &ApiError::Overload(7),
            503,
            "7 requests are being served already (--limits.concurrent-requests); try again",
        );
        check(&ApiError::Internal(text()), 500, "internal error: text");
        for (unavailable, status) in [
            (Unavailable::Timeout(text()), 503),
            (Unavailable::NoQuorum(text()), 503),
            (Unavailable::ShuttingDown, 503),
            (Unavailable::Fatal(text()), 503),
            (Unavailable::DiskFull { free: 1, needed: 2 }, 507),
        ] {
            let shown = unavailable.to_string();
            check(&ApiError::Unavailable(unavailable), status, &shown);
        }
    }

    #[test]
    fn counts_refused_labels_although_they_are_the_clients_mistake() {
        let error = ApiError::Labels("text".to_owned());
        assert_eq!((error.status().as_u16(), error.refusal()), (400, Some(Refusal::Labels)));
    }

    #[test]
    fn closes_connections_that_are_out_of_step() {
        let too_large = ApiError::BodyTooLarge("text".to_owned());
        for error in [ApiError::BodyTooSlow, ApiError::BodyBroken, too_large] {
            assert_eq!(error.reply().headers()["connection"], "close");
        }
        assert!(!ApiError::Overload(1).reply().headers().contains_key("connection"));
    }
}
