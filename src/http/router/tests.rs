use super::*;

const MOVED: u16 = 301;
const TEMPORARY: u16 = 307;

fn group(verb: GroupVerb, job_base64: bool, job: &str, labels: &str) -> Decision {
    let (job, labels) = (job.as_bytes().to_vec(), labels.as_bytes().to_vec());
    Decision::Handle(Route::Group(GroupRoute { verb, job_base64, job, labels }))
}

fn put(job: &str, labels: &str) -> Decision {
    group(GroupVerb::Put, false, job, labels)
}

fn to(status: u16, location: &str) -> Decision {
    let status = StatusCode::from_u16(status).unwrap();
    Decision::Redirect { status, location: location.to_owned() }
}

fn not_allowed(allow: &str) -> Decision {
    Decision::MethodNotAllowed { allow: allow.to_owned() }
}

fn options(allow: &str) -> Decision {
    Decision::Options { allow: allow.to_owned() }
}

fn check(router: &Router, cases: &[(&str, &str, Decision)]) {
    for (method, target, expected) in cases {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (*target, None),
        };
        assert_eq!(router.route(method, path, query).decision, *expected, "{method} {target}");
    }
}

#[test]
fn finds_routes() {
    use Decision::{Handle, NotFound};
    check(
        &Router::new("", "/metrics", true),
        &[
            ("GET", "/metrics", Handle(Route::Scrape)),
            ("GET", "/metrics?name[]=x", Handle(Route::Scrape)),
            ("GET", "/%6Detrics", Handle(Route::Scrape)),
            ("GET", "/-/metrics", Handle(Route::OwnMetrics)),
            ("GET", "/-/healthy", Handle(Route::Healthy)),
            ("GET", "/-/ready", Handle(Route::Ready)),
            ("PUT", "/-/quit", Handle(Route::Quit)),
            ("POST", "/-/quit", Handle(Route::Quit)),
            ("GET", "/-/quit", Handle(Route::QuitHelp)),
            ("GET", "/", Handle(Route::StatusPage)),
            ("GET", "/status", Handle(Route::StatusPage)),
            ("GET", "/static/", Handle(Route::StaticFile)),
            ("GET", "/static/a/b.css", Handle(Route::StaticFile)),
            ("GET", "/debug/pprof/", Handle(Route::Pprof)),
            ("GET", "/debug/pprof/heap", Handle(Route::Pprof)),
            ("GET", "/api/v1/status", Handle(Route::ApiStatus)),
            ("GET", "/api/v1/metrics", Handle(Route::ApiMetrics)),
            ("OPTIONS", "/api/v1/nope", Handle(Route::ApiOptions)),
            ("OPTIONS", "/api/v1/", Handle(Route::ApiOptions)),
            ("PUT", "/api/v1/admin/wipe", Handle(Route::ApiWipe)),
            ("GET", "/api/v1/admin/snapshot", Handle(Route::ApiSnapshot)),
            ("PUT", "/metrics/job/a", put("a", "")),
            ("PUT", "/metrics/job/a/", put("a", "/")),
            ("PUT", "/metrics/job/a/b/c", put("a", "/b/c")),
            ("PUT", "/metrics/job/a/b/c/", put("a", "/b/c/")),
            ("PUT", "/metrics/job/a/x/...", put("a", "/x/...")),
            ("PUT", "/metrics/job/a%2Fb", put("a", "/b")),
            ("PUT", "/metrics/job/a+b?q=1", put("a+b", "")),
            ("PUT", "/metrics/job%40base64/YQ", group(GroupVerb::Put, true, "YQ", "")),
            ("POST", "/metrics/job/a", group(GroupVerb::Post, false, "a", "")),
            ("DELETE", "/metrics/job@base64/YQ/b/c", group(GroupVerb::Delete, true, "YQ", "/b/c")),
            ("GET", "/foo", NotFound),
            ("PUT", "/metrics/job", NotFound),
            ("PUT", "/metrics/job@base64", NotFound),
            ("PUT", "/metrics/job@base64/", NotFound),
            ("OPTIONS", "/metrics/job", NotFound),
            ("POST", "/metrics/", NotFound),
            ("POST", "/-/healthy/", NotFound),
            ("GET", "/api/v1/nope", NotFound),
            ("GET", "/api/v1/", NotFound),
            ("GET", "/api", NotFound),
            ("GET", "/metrics/job/a%zz", Decision::BadRequest),
            ("FOO", "/metrics/job/a%zz", Decision::BadRequest),
            ("OPTIONS", "*", options("")),
            ("GET", "*", Decision::BadRequest),
        ],
    );
}

#[test]
fn names_the_methods_of_a_known_path() {
    let group_methods = "DELETE, OPTIONS, POST, PUT";
    check(
        &Router::new("", "/metrics", true),
        &[
            ("POST", "/metrics", not_allowed("GET, OPTIONS")),
            ("HEAD", "/metrics", not_allowed("GET, OPTIONS")),
            ("HEAD", "/", not_allowed("GET, OPTIONS")),
            ("HEAD", "/static/x", not_allowed("GET, OPTIONS")),
            ("FOO", "/status", not_allowed("GET, OPTIONS")),
            ("GET", "/metrics/job/a", not_allowed(group_methods)),
            ("PATCH", "/-/quit", not_allowed("GET, OPTIONS, POST, PUT")),
            ("PUT", "/api/v1/metrics", not_allowed("GET, OPTIONS")),
            ("GET", "/api/v1/admin/wipe", not_allowed("OPTIONS, PUT")),
            ("OPTIONS", "/metrics", options("GET, OPTIONS")),
            ("OPTIONS", "/metrics/job/x/a/b", options(group_methods)),
        ],
    );
    check(
        &Router::new("", "/metrics", false),
        &[
            ("GET", "/api/v1/admin/wipe", Decision::NotFound),
            ("PUT", "/api/v1/admin/wipe", Decision::NotFound),
            ("GET", "/api/v1/admin/snapshot", Decision::NotFound),
            ("OPTIONS", "/api/v1/admin/wipe", Decision::Handle(Route::ApiOptions)),
        ],
    );
}

#[test]
fn redirects_to_the_cleaned_path() {
    check(
        &Router::new("", "/metrics", true),
        &[
            ("PUT", "/metrics/job/a//c", to(MOVED, "/metrics/job/a/c")),
            ("PUT", "/metrics/job//b/c", to(MOVED, "/metrics/job/b/c")),
            ("PUT", "/metrics/job/a/b//c/d?x=1", to(MOVED, "/metrics/job/a/b/c/d?x=1")),
            ("PUT", "/metrics/job/a/x/..", to(MOVED, "/metrics/job/a")),
            ("PUT", "/metrics/job/a/x/%2E%2E", to(MOVED, "/metrics/job/a")),
            ("DELETE", "/metrics/job/%C3%A9/.", to(MOVED, "/metrics/job/%C3%A9")),
            ("GET", "//metrics", to(MOVED, "/metrics")),
            ("GET", "/api/v1", to(MOVED, "/api/v1/")),
            ("PUT", "/api/v1?a=b", to(MOVED, "/api/v1/?a=b")),
        ],
    );
}

#[test]
fn redirects_near_misses() {
    check(
        &Router::new("", "/metrics", true),
        &[
            ("GET", "/metrics/", to(MOVED, "/metrics")),
            ("GET", "/metrics/?x=1", to(MOVED, "/metrics?x=1")),
            ("GET", "/METRICS", to(MOVED, "/metrics")),
            ("GET", "/METRICS/", to(MOVED, "/metrics")),
            ("PUT", "/METRICS/job/X", to(TEMPORARY, "/metrics/job/X")),
            ("PUT", "/METRICS/JOB/X/Y/Z", to(TEMPORARY, "/metrics/job/X/Y/Z")),
            ("PUT", "/metrics/JOB@BASE64/Zm9v", to(TEMPORARY, "/metrics/job@base64/Zm9v")),
            ("PUT", "/metrics/job/", to(TEMPORARY, "/metrics/job")),
            ("DELETE", "/metrics/job/", to(TEMPORARY, "/metrics/job")),
            ("GET", "/metrics/job/", Decision::NotFound),
            ("PUT", "/METRICS/JOB/", Decision::NotFound),
            ("GET", "/-/healthy/", to(MOVED, "/-/healthy")),
            ("GET", "/static", to(MOVED, "/static/")),
            ("GET", "/Static/App.js", to(MOVED, "/static/App.js")),
            ("GET", "/debug/pprof", to(MOVED, "/debug/pprof/")),
            ("POST", "/-/QUIT", to(TEMPORARY, "/-/quit")),
            // Upstream loses the prefix `/api/v1` here and redirects to another page.
            ("GET", "/api/v1/status/", to(MOVED, "/api/v1/status")),
            ("GET", "/api/v1/STATUS?a", to(MOVED, "/api/v1/status?a")),
            ("PUT", "/api/v1/admin/wipe/", to(TEMPORARY, "/api/v1/admin/wipe")),
        ],
    );
}

#[test]
fn serves_everything_below_the_prefix() {
    use Decision::{Handle, NotFound};
    check(
        &Router::new("/ext", "/metrics", false),
        &[
            ("GET", "/ext/metrics", Handle(Route::Scrape)),
            ("GET", "/ext/-/healthy", Handle(Route::Healthy)),
            ("GET", "/ext/", Handle(Route::StatusPage)),
            ("GET", "/ext", to(MOVED, "/ext/")),
            ("GET", "/ext/api/v1", to(MOVED, "/ext/api/v1/")),
            ("GET", "/ext/api/v1/status", Handle(Route::ApiStatus)),
            ("PUT", "/ext/metrics/job/a", put("a", "")),
            ("PUT", "/ext/metrics/job/", to(TEMPORARY, "/ext/metrics/job")),
            ("GET", "/", NotFound),
            ("GET", "/metrics", NotFound),
            ("GET", "/api/v1/status", NotFound),
            ("GET", "/api/v1", NotFound),
            ("PUT", "/metrics/job/a", NotFound),
            ("GET", "/-/quit", Handle(Route::QuitHelp)),
            ("PUT", "/-/quit", not_allowed("GET, OPTIONS")),
            ("GET", "/ext/-/quit", not_allowed("OPTIONS, POST, PUT")),
        ],
    );
}

#[test]
fn moves_only_the_scrape_with_the_telemetry_path() {
    use Decision::{Handle, NotFound};
    for telemetry_path in ["/tele", "tele", "/tele/"] {
        check(
            &Router::new("/inner", telemetry_path, false),
            &[
                ("GET", "/inner/tele", Handle(Route::Scrape)),
                ("GET", "/inner/metrics", NotFound),
                ("PUT", "/inner/metrics/job/a", put("a", "")),
                ("PUT", "/inner/tele/job/a", NotFound),
            ],
        );
    }
}

#[test]
fn knows_whose_body_is_decoded() {
    let router = Router::new("", "/metrics", false);
    for (method, path, expected) in [
        ("PUT", "/metrics/job/a", true),
        ("GET", "/metrics", true),
        ("PUT", "/unknown", true),
        ("GET", "/metrics/", true),
        ("GET", "/api/v1/metrics", false),
        ("GET", "/api/v1/nope", false),
        ("PUT", "/metrics//job/a", false),
        ("PUT", "/%zz", false),
    ] {
        assert_eq!(router.route(method, path, None).decodes_body, expected, "{method} {path}");
    }
}
