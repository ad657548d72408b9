//! Every route on one screen, and the decision which of them a request takes.
//!
//! A pure function of method and path. Two layers act as upstream's do: first the path is cleaned
//! (by redirect), then the route is looked up, and a near miss is answered with a redirect.

use http::StatusCode;

use self::entry::{Entry, Pattern, Target, toggled_slash};
use super::cluster::MemberVerb;
use super::url::{self, Malformed};

mod entry;

/// The admin API's requests to change the membership.
const MEMBER_VERBS: &[(&str, MemberVerb)] = &[
    ("/api/v1/admin/member/add", MemberVerb::Add),
    ("/api/v1/admin/member/remove", MemberVerb::Remove),
    ("/api/v1/admin/member/promote", MemberVerb::Promote),
    ("/api/v1/admin/leader/transfer", MemberVerb::Lead),
];

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The pushed metrics.
    Scrape,
    /// The metrics of this process.
    OwnMetrics,
    /// A change of one group.
    Group(GroupRoute),
    /// Whether the process is alive.
    Healthy,
    /// Whether the replica can take requests.
    Ready,
    /// A request to stop.
    Quit,
    /// The explanation of how to ask for a stop.
    QuitHelp,
    /// The status page.
    StatusPage,
    /// A file of the status page; there are none, since the page carries everything itself.
    StaticFile,
    /// Go's profiler, which does not exist here.
    Pprof,
    /// Build information and flags as JSON.
    ApiStatus,
    /// All groups as JSON.
    ApiMetrics,
    /// The cluster as JSON.
    ApiCluster,
    /// The state as a snapshot file.
    ApiSnapshot,
    /// A request to change the membership.
    ApiMember(MemberVerb),
    /// A preflight request of a browser.
    ApiOptions,
    /// A request to delete everything.
    ApiWipe,
}

/// The verb of a change of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupVerb {
    /// PUT: the group becomes what is pushed.
    Put,
    /// POST: the pushed families replace those of the same name.
    Post,
    /// DELETE: the group goes away.
    Delete,
}

/// A change of one group, with the parts of the path that name the group, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupRoute {
    /// What to do.
    pub(super) verb: GroupVerb,
    /// Whether the job is base64-encoded.
    pub(super) job_base64: bool,
    /// The job as it stands in the path.
    pub(super) job: Vec<u8>,
    /// The rest of the path with its leading slash, or nothing.
    pub(super) labels: Vec<u8>,
}

/// How to answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// By the handler of a route.
    Handle(Route),
    /// With the methods that the path knows.
    Options {
        /// The `Allow` header.
        allow: String,
    },
    /// By sending the client elsewhere.
    Redirect {
        /// 301, or 307 where the method must stay.
        status: StatusCode,
        /// The `Location` header.
        location: String,
    },
    /// The path is known, but not with this method.
    MethodNotAllowed {
        /// The `Allow` header.
        allow: String,
    },
    /// The path is unknown.
    NotFound,
    /// The path is not even a path.
    BadRequest,
}

/// A decision and whether a `Content-Encoding` is checked before it is acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Routed {
    /// The decision.
    pub(super) decision: Decision,
    /// Whether the body's encoding matters; it does not within `/api/v1` and for clean-up redirects.
    pub(super) decodes_body: bool,
}

/// Where the routes are.
#[derive(Debug)]
pub(super) struct Router {
    edge: Vec<Entry>,
    api: Vec<Entry>,
    api_root: String,
}

impl Router {
    /// Lays out the routes. `route_prefix` is empty or starts with a slash and ends without one.
    pub(super) fn new(route_prefix: &str, telemetry_path: &str, admin_api: bool) -> Router {
        use Pattern::{Below, Exact, Group};
        let at = |path: &str| format!("{route_prefix}{path}");
        let joined = at(&format!("/{telemetry_path}"));
        let telemetry = url::clean_path(joined.trim_end_matches('/').as_bytes());
        let telemetry = String::from_utf8_lossy(&telemetry).into_owned();

        let mut edge = Vec::new();
        let mut add = |method, pattern, target| edge.push(Entry { method, pattern, target });
        add("GET", Exact(telemetry), Target::Plain(Route::Scrape));
        for (method, verb) in
            [("PUT", GroupVerb::Put), ("POST", GroupVerb::Post), ("DELETE", GroupVerb::Delete)]
        {
            add(method, Group(at("/metrics/job/")), Target::Group(verb, false));
            add(method, Group(at("/metrics/job@base64/")), Target::Group(verb, true));
        }
        add("GET", Exact(at("/-/metrics")), Target::Plain(Route::OwnMetrics));
        add("GET", Exact(at("/-/healthy")), Target::Plain(Route::Healthy));
        add("GET", Exact(at("/-/ready")), Target::Plain(Route::Ready));
        add("PUT", Exact(at("/-/quit")), Target::Plain(Route::Quit));
        add("POST", Exact(at("/-/quit")), Target::Plain(Route::Quit));
        add("GET", Exact("/-/quit".to_owned()), Target::Plain(Route::QuitHelp));
        add("GET", Below(at("/static/")), Target::Plain(Route::StaticFile));
        add("GET", Below(at("/debug/pprof/")), Target::Plain(Route::Pprof));
        add("GET", Exact(at("/")), Target::Plain(Route::StatusPage));
        add("GET", Exact(at("/status")), Target::Plain(Route::StatusPage));

        let mut api = Vec::new();
        let mut add = |method, pattern, route| {
            api.push(Entry { method, pattern, target: Target::Plain(route) });
        };
        add("GET", Exact(at("/api/v1/status")), Route::ApiStatus);
        add("GET", Exact(at("/api/v1/metrics")), Route::ApiMetrics);
        add("GET", Exact(at("/api/v1/cluster")), Route::ApiCluster);
        add("OPTIONS", Below(at("/api/v1/")), Route::ApiOptions);
        if admin_api {
            add("PUT", Exact(at("/api/v1/admin/wipe")), Route::ApiWipe);
            add("GET", Exact(at("/api/v1/admin/snapshot")), Route::ApiSnapshot);
            for (path, verb) in MEMBER_VERBS {
                add("PUT", Exact(at(path)), Route::ApiMember(*verb));
            }
        }
        Router { edge, api, api_root: at("/api/v1") }
    }

    /// Decides how to answer a request for `raw_path` (still encoded) and `query`.
    pub(super) fn route(&self, method: &str, raw_path: &str, query: Option<&str>) -> Routed {
        let undecoded = |decision| Routed { decision, decodes_body: false };
        if raw_path == "*" {
            return undecoded(if method == "OPTIONS" {
                Decision::Options { allow: String::new() }
            } else {
                Decision::BadRequest
            });
        }
        let path = match url::decode_path(raw_path) {
            Ok(path) => path,
            Err(Malformed) => return undecoded(Decision::BadRequest),
        };
        let clean = url::clean_path(&path);
        if *clean == *self.api_root.as_bytes() {
            let with_slash = [&clean, &b"/"[..]].concat();
            return undecoded(redirect(StatusCode::MOVED_PERMANENTLY, &with_slash, query));
        }
        if *clean != *path {
            return undecoded(redirect(StatusCode::MOVED_PERMANENTLY, &clean, query));
        }
        let in_api =
            path.strip_prefix(self.api_root.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
        let entries = if in_api { &self.api } else { &self.edge };
        Routed { decision: decide(entries, method, &path, query), decodes_body: !in_api }
    }
}

fn decide(entries: &[Entry], method: &str, path: &[u8], query: Option<&str>) -> Decision {
    let of_method = || entries.iter().filter(|entry| entry.method == method);
    if let Some(route) = of_method().find_map(|entry| entry.matches(path)) {
        return Decision::Handle(route);
    }
    if path != b"/" {
        let nearby = toggled_slash(path)
            .filter(|toggled| of_method().any(|entry| entry.redirects_to(path, toggled)))
            .or_else(|| of_method().find_map(|entry| entry.matches_folded(path)));
        if let Some(nearby) = nearby {
            let status = if method == "GET" {
                StatusCode::MOVED_PERMANENTLY
            } else {
                StatusCode::TEMPORARY_REDIRECT
            };
            return redirect(status, &nearby, query);
        }
    }
    let mut allowed: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.method != "OPTIONS" && entry.matches(path).is_some())
        .map(|entry| entry.method)
        .collect();
    if allowed.is_empty() {
        return Decision::NotFound;
    }
    allowed.push("OPTIONS");
    allowed.sort_unstable();
    allowed.dedup();
    let allow = allowed.join(", ");
    if method == "OPTIONS" {
        Decision::Options { allow }
    } else {
        Decision::MethodNotAllowed { allow }
    }
}

fn redirect(status: StatusCode, path: &[u8], query: Option<&str>) -> Decision {
    let mut location = url::encode_path(path);
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        location.push('?');
        location.push_str(&url::encode_query(query));
    }
    Decision::Redirect { status, location }
}

#[cfg(test)]
mod tests;
