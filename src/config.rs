//! What the process was told to do, checked and complete.
//!
//! Promises: a `Config` is only made from settings that fit together, and every default is already in
//! it, so that nobody downstream invents one. There is no `Default`: who adds a setting decides its
//! value everywhere. Must never do: read a file, the environment or a clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::Limits;
use crate::telemetry::LogConfig;

/// Everything that can be set, one part per subsystem.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listening and routing.
    pub web: WebConfig,
    /// What is accepted in a push.
    pub push: PushConfig,
    /// Where and how the data is kept.
    pub storage: StorageConfig,
    /// The other replicas; not set: there are none, unless the disk knows of some.
    pub cluster: Option<ClusterConfig>,
    /// How this replica is called; not set: as the machine, or as at its first start.
    pub name: Option<String>,
    /// What a read promises that does not say what it wants.
    pub read: ReadConfig,
    /// Every bound that can be moved.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Flag name to value, as `/api/v1/status` and the status page show them.
    pub flags: BTreeMap<String, String>,
    /// Remarks about the flags that the operator should find in the log.
    pub notes: Vec<String>,
}

/// Listening and routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    /// `host:port`, `:port` or `[v6]:port`, at least one; port 0 lets the system choose.
    pub listen_addresses: Vec<String>,
    /// The path of the scrape, without the route prefix; begins with `/`, ends without.
    pub telemetry_path: String,
    /// The URL under which clients reach this process, if it was given.
    pub external_url: Option<String>,
    /// In front of every route: empty, or begins with `/` and ends without.
    pub route_prefix: String,
    /// Whether `PUT /-/quit` stops the process.
    pub enable_lifecycle: bool,
    /// Whether `PUT /api/v1/admin/wipe` exists.
    pub enable_admin_api: bool,
    /// Where the process's own metrics appear.
    pub self_metrics: SelfMetrics,
}

/// Where the process's own metrics appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfMetrics {
    /// At `/-/metrics` only, so that `/metrics` is the same on all replicas.
    Separate,
    /// At `/-/metrics` and among the pushed metrics, as the upstream Pushgateway does.
    Inline,
}

/// What is accepted in a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushConfig {
    /// Whether a push that contradicts what is stored is refused.
    pub check_consistency: bool,
    /// Whether metric and label names may be any UTF-8.
    pub utf8_names: bool,
}

/// Where and how the data is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    /// The folder that holds log, state, snapshots and identity.
    pub path: PathBuf,
    /// Log entries after which a snapshot is taken and the log purged.
    pub snapshot_entries: u64,
    /// Bytes of log after which a snapshot is taken and the log purged.
    pub snapshot_bytes: u64,
}

/// The other replicas, and how this one meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `host:port` to listen on for other replicas.
    pub listen_address: String,
    /// `host:port` under which they reach this one; empty: made from the listen address.
    pub advertise_address: String,
    /// `host:port`s of peers.
    pub join: Vec<String>,
    /// How many replicas form a new cluster; 0: never form one.
    pub bootstrap_expect: usize,
    /// How often the leader shows that it is there.
    pub heartbeat_interval: Duration,
    /// How long followers wait for that.
    pub election_timeout: Duration,
    /// After what time a member that is gone is removed; zero: never.
    pub dead_member_timeout: Duration,
    /// Voters that are left by that in any case.
    pub voters_min: usize,
    /// How long requests are still taken after the load balancer was told to go elsewhere.
    pub shutdown_delay: Duration,
}

/// What a read promises that does not say what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadConfig {
    /// Whether it may be older than what was acknowledged before it began.
    pub stale: bool,
    /// How old it may be at most, then.
    pub max_staleness: Duration,
    /// When it must have begun; then 503.
    pub timeout: Duration,
}

/// Splits `host:port`; the host is empty for all interfaces, and an IPv6 host comes without brackets.
pub fn split_host_port(address: &str) -> Result<(&str, u16), String> {
    let (host, port) = address.rsplit_once(':').ok_or("missing port in address")?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or("missing ']' in address")?,
        None if host.contains(':') => return Err("too many colons in address".to_owned()),
        None => host,
    };
    if host.contains(['[', ']', '/']) || host.contains(char::is_whitespace) {
        return Err("invalid host in address".to_owned());
    }
    if port.is_empty() {
        return Err("missing port in address".to_owned());
    }
    let digits_only = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits_only => Ok((host, port)),
        _ => Err("invalid port in address, expected a number up to 65535".to_owned()),
    }
}

/// The prefix of all routes: what was asked for, else the path of the external URL.
///
/// The result is empty, or begins with `/`; one trailing `/` is dropped.
pub(crate) fn route_prefix(asked: &str, external_path: &str) -> String {
    let prefix = if asked.is_empty() { external_path } else { asked };
    if prefix.is_empty() || prefix == "/" {
        return String::new();
    }
    let mut absolute = String::with_capacity(prefix.len() + 1);
    if !prefix.starts_with('/') {
        absolute.push('/');
    }
    absolute.push_str(prefix.strip_suffix('/').unwrap_or(prefix));
    absolute
}

/// Why a path cannot be served, if so: requests are cleaned before they are routed, so that an unclean
/// path would never be found; and routes have characters with a meaning of their own.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("must begin with \"/\"");
    };
    if rest.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("must not contain empty, \".\" or \"..\" segments");
    }
    if path.contains(['{', '}', '*', ':', '?', '#', '%']) || path.contains(char::is_control) {
        return Err("must not contain control characters or any of {}*:?#%");
    }
    Ok(())
}

/// The decoded path of a URL, or why it is not a URL.
pub(crate) fn url_path(url: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("parse {url:?}: {why}"));
    if url.contains(|c: char| c.is_ascii_control()) {
        return refuse("net/url: invalid control character in URL");
    }
    let without_fragment = url.split_once('#').map_or(url, |(before, _)| before);
    let rest = match split_scheme(without_fragment) {
        Ok(rest) => rest,
        Err(why) => return refuse(why),
    };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let path = match rest.strip_prefix("//") {
        Some(with_host) => {
            let end = with_host.find('/').unwrap_or(with_host.len());
            let (host, path) = with_host.split_at_checked(end).unwrap_or((with_host, ""));
            if let Err(why) = check_host(host) {
                return refuse(&why);
            }
            path
        }
        None => rest,
    };
    match percent_decode(path) {
        Ok(path) => Ok(path),
        Err(why) => refuse(&why),
    }
}

/// What follows the scheme and its colon; all of it when there is no scheme.
fn split_scheme(url: &str) -> Result<&str, &'static str> {
    let Some(end) = url.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)) else {
        return Ok(url);
    };
    let (scheme, rest) = url.split_at_checked(end).unwrap_or((url, ""));
    match rest.strip_prefix(':') {
        None => Ok(url),
        Some(_) if scheme.is_empty() => Err("missing protocol scheme"),
        Some(rest) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok(rest),
        Some(_) => Err("first path segment in URL cannot contain colon"),
    }
}

fn check_host(authority: &str) -> Result<(), String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or("missing ']' in host")?.1,
        None => host.find(':').and_then(|colon| host.get(colon..)).unwrap_or(""),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (!port.is_empty() && !port.starts_with(':')) {
        return Err(format!("invalid port {port:?} after host"));
    }
    match host.chars().find(|c| " \"<>^`{|}\\".contains(*c)) {
        Some(bad) => Err(format!("invalid character {:?} in host name", bad.to_string())),
        None => Ok(()),
    }
}

fn percent_decode(path: &str) -> Result<String, String> {
    let mut after_percent = path.split('%').skip(1);
    let is_escape = |s: &str| s.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if let Some(bad) = after_percent.find(|s| !is_escape(s)) {
        return Err(format!("invalid URL escape \"%{}\"", bad.chars().take(2).collect::<String>()));
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    decoded.map(Into::into).map_err(|_| "path is not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_listen_addresses() {
        let ok =
            |input, host, port| assert_eq!(split_host_port(input), Ok((host, port)), "{input}");
        ok(":9091", "", 9091);
        ok("127.0.0.1:0", "127.0.0.1", 0);
        ok("localhost:65535", "localhost", 65535);
        ok("[::1]:9091", "::1", 9091);
        ok("[fe80::1%eth0]:1", "fe80::1%eth0", 1);
        let err = |input: &str, expect: &str| {
            assert_eq!(split_host_port(input), Err(expect.to_owned()), "{input}");
        };
        err("", "missing port in address");
        err("9091", "missing port in address");
        err("host:", "missing port in address");
        err("::1:9091", "too many colons in address");
        err("[::1:9091", "missing ']' in address");
        err("http://x:1", "too many colons in address");
        err("a/b:1", "invalid host in address");
        for port in ["http", "-1", "+1", "65536", " 1"] {
            err(&format!("h:{port}"), "invalid port in address, expected a number up to 65535");
        }
    }

    #[test]
    fn computes_the_route_prefix() {
        let table = [
            ("", "", ""),
            ("", "/", ""),
            ("", "/ext/", "/ext"),
            ("", "/ext", "/ext"),
            ("", "/a/b/", "/a/b"),
            ("/", "/ext/", ""),
            ("foo", "/ext/", "/foo"),
            ("/foo/", "", "/foo"),
            ("foo/", "", "/foo"),
        ];
        for (asked, external, expect) in table {
            assert_eq!(route_prefix(asked, external), expect, "{asked:?} {external:?}");
        }
    }

    #[test]
    fn takes_the_path_of_a_url() {
        let table = [
            ("http://x.example/ext/", "/ext/"),
            ("http://x.example", ""),
            ("http://x.example:80?q=/a#/b", ""),
            ("https://u:p@[::1]:443/a%20b/", "/a b/"),
            ("/just/a/path", "/just/a/path"),
            ("host/path", "host/path"),
            ("mailto:x", "x"),
        ];
        for (url, expect) in table {
            assert_eq!(url_path(url).as_deref(), Ok(expect), "{url}");
        }
        let table = [
            (":foo", "parse \":foo\": missing protocol scheme"),
            ("http://a b/", "parse \"http://a b/\": invalid character \" \" in host name"),
            ("http://a/%zz", "parse \"http://a/%zz\": invalid URL escape \"%zz\""),
            ("http://a/%f", "parse \"http://a/%f\": invalid URL escape \"%f\""),
            ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
            ("http://h:x/", "parse \"http://h:x/\": invalid port \":x\" after host"),
            ("1:2", "parse \"1:2\": first path segment in URL cannot contain colon"),
        ];
        for (url, expect) in table {
            assert_eq!(url_path(url), Err(expect.to_owned()), "{url}");
        }
    }

    #[test]
    fn refuses_paths_that_no_request_could_reach() {
        for good in ["/metrics", "/a/b.c/d-e", "/ä"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "metrics", "/", "/a/", "//", "/a//b", "/a/../b", "/a/{b}", "/:x", "/a\n"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
