//! Health, readiness, and the request to stop.

use std::fmt::Write as _;

use http::StatusCode;

use super::reply::{self, Reply};
use crate::raft::{Check, Health};

/// Whether the process is alive and its storage works.
pub(super) fn healthy(health: &Health) -> Reply {
    match &health.healthy {
        Ok(()) => ok(),
        Err(text) => reply::line(StatusCode::INTERNAL_SERVER_ERROR, text),
    }
}

/// Whether this replica can take requests. `?verbose` lists every check.
pub(super) fn ready(health: &Health, query: Option<&str>) -> Reply {
    let verbose = query.is_some_and(|query| {
        query.split('&').any(|part| part.split('=').next() == Some("verbose"))
    });
    let ready = health.ready.iter().all(|check| check.ok);
    if ready && !verbose {
        return ok();
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let shown = health.ready.iter().filter(|check| verbose || !check.ok);
    let mut lines = shown.map(line_of).collect::<String>();
    lines.push_str(if ready { "ready" } else { "not ready" });
    reply::line(status, &lines)
}

fn line_of(Check { name, ok, detail }: &Check) -> String {
    let mut line = format!("{name}: {}", if *ok { "ok" } else { "failed" });
    if !detail.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {detail}");
    }
    line.push('\n');
    line
}

fn ok() -> Reply {
    reply::words(StatusCode::OK, "OK")
}

/// The answer to a request to stop.
pub(super) fn quit(enabled: bool) -> Reply {
    if enabled {
        reply::words(StatusCode::OK, "Requesting termination... Goodbye!")
    } else {
        reply::words(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
    }
}

/// The answer to a request to stop that uses the wrong method.
pub(super) fn quit_help() -> Reply {
    reply::words(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed.")
}

/// The answer where upstream has Go's profiler.
pub(super) fn pprof() -> Reply {
    reply::line(StatusCode::NOT_FOUND, "404: profiles of Go's runtime are not provided")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reply::testing::body;

    fn health(ready: &[(&'static str, bool, &str)]) -> Health {
        let check = |&(name, ok, detail): &(&'static str, bool, &str)| Check {
            name,
            ok,
            detail: detail.to_owned(),
        };
        Health { healthy: Ok(()), ready: ready.iter().map(check).collect() }
    }

    fn check(reply: Reply, status: u16, text: &str) {
        assert_eq!(reply.status().as_u16(), status);
        assert_eq!(reply.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(body(reply), text);
    }

    #[test]
    fn tells_health() {
        check(healthy(&health(&[])), 200, "OK");
        let failed = Health { healthy: Err("disk gone".to_owned()), ready: Vec::new() };
        check(healthy(&failed), 500, "disk gone\n");
    }

    #[test]
    fn tells_readiness() {
        let all_well = health(&[("raft", true, "running"), ("disk", true, "")]);
        check(ready(&all_well, None), 200, "OK");
        check(ready(&all_well, Some("x=verbose")), 200, "OK");
        let listed = "raft: ok: running\ndisk: ok\nready\n";
        check(ready(&all_well, Some("verbose")), 200, listed);
        check(ready(&all_well, Some("a&verbose=1")), 200, listed);
        let failing = health(&[("raft", true, "running"), ("disk", false, "full")]);
        check(ready(&failing, None), 503, "disk: failed: full\nnot ready\n");
        let listed = "raft: ok: running\ndisk: failed: full\nnot ready\n";
        check(ready(&failing, Some("verbose")), 503, listed);
    }

    #[test]
    fn speaks_upstreams_words_when_asked_to_stop() {
        check(quit(true), 200, "Requesting termination... Goodbye!");
        check(quit(false), 403, "Lifecycle API is not enabled.");
        check(quit_help(), 405, "Only POST or PUT requests allowed.");
        assert!(!quit_help().headers().contains_key("allow"));
    }
}
