//! What is counted about answered requests.

use http::header::{HOST, HeaderName};
use http::request::Parts;

use super::router::{GroupRoute, GroupVerb, Route};
use crate::telemetry::Handler;

/// Under which name requests of a route are counted, if they are.
pub(super) fn handler(route: &Route) -> Option<Handler> {
    match route {
        Route::Group(GroupRoute { verb: GroupVerb::Put | GroupVerb::Post, .. }) => {
            Some(Handler::Push)
        }
        Route::Group(GroupRoute { verb: GroupVerb::Delete, .. }) => Some(Handler::Delete),
        Route::Healthy => Some(Handler::Healthy),
        Route::Ready => Some(Handler::Ready),
        Route::StatusPage => Some(Handler::Status),
        Route::StaticFile => Some(Handler::Static),
        Route::ApiStatus => Some(Handler::ApiStatus),
        Route::ApiMetrics => Some(Handler::ApiMetrics),
        Route::ApiOptions => Some(Handler::ApiOptions),
        Route::ApiWipe => Some(Handler::Wipe),
        Route::Scrape
        | Route::OwnMetrics
        | Route::Quit
        | Route::QuitHelp
        | Route::Pprof
        | Route::ApiCluster
        | Route::ApiSnapshot
        | Route::ApiMember(_) => None,
    }
}

/// About how many bytes the head of a request takes on the wire: its first line and its headers.
pub(super) fn head_bytes(request: &Parts) -> u64 {
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let protocol = "HTTP/1.1".len();
    // As upstream counts: the host without the name of its header, which HTTP/2 does not have.
    let name_len = |name: &HeaderName| if name == HOST { 0 } else { name.as_str().len() };
    let headers: usize =
        request.headers.iter().map(|(name, value)| name_len(name) + value.len()).sum();
    let host = request.uri.authority().filter(|_| !request.headers.contains_key(HOST));
    let host = host.map_or(0, |host| host.as_str().len());
    (target + request.method.as_str().len() + protocol + headers + host) as u64
}

/// About how many bytes a request takes on the wire: its head and the announced length of its body.
pub(super) fn approximate_bytes(request: &Parts, announced_body_bytes: Option<u64>) -> u64 {
    head_bytes(request).saturating_add(announced_body_bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_requests() {
        let request = http::Request::put("/metrics/job/a?x=y").header("Host", "h").body(());
        let (parts, ()) = request.unwrap().into_parts();
        assert_eq!(approximate_bytes(&parts, None), 18 + 3 + 8 + 1);
        assert_eq!(approximate_bytes(&parts, Some(100)), 130);
        // As HTTP/2 brings it.
        let request = http::Request::put("http://h/metrics/job/a?x=y").body(());
        let (parts, ()) = request.unwrap().into_parts();
        assert_eq!(approximate_bytes(&parts, None), 18 + 3 + 8 + 1);
    }
}
