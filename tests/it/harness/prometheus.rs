//! A real Prometheus server.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::process::free_port;
use super::{dependency, eventually, http};

/// How long it may take to start, scrape once a second and show what it found.
const SCRAPED: Duration = Duration::from_mins(1);

/// A Prometheus that scrapes one address every so many seconds.
pub(crate) struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    pub(crate) fn start(gateway: SocketAddr, seconds: u32, flags: &[&str]) -> Option<Prometheus> {
        let program = dependency("prometheus/usr/bin/prometheus")?;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let mut file = std::fs::File::create(&config).unwrap();
        write!(
            file,
            "global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}\nscrape_configs:\n\
             - {{job_name: gateway, honor_labels: true, static_configs: [{{targets: ['{gateway}']}}]}}\n",
        )
        .unwrap();
        let addr = free_port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={addr}"))
            .args(flags)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Prometheus { child, addr, _folder: folder })
    }

    /// The label sets and values that a query answers with, once there are any.
    pub(crate) fn query(&self, promql: &str) -> Vec<(serde_json::Value, String)> {
        let query: String = promql.bytes().map(|b| format!("%{b:02x}")).collect();
        let request = http::request("GET", &format!("/api/v1/query?query={query}"), &[], b"");
        eventually(SCRAPED, promql, || {
            let answer = http::exchange(self.addr, &request).ok()?;
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
            let series = answer["data"]["result"].as_array()?.iter();
            let found: Vec<_> = series
                .map(|s| (s["metric"].clone(), s["value"][1].as_str().unwrap().to_owned()))
                .collect();
            (!found.is_empty()).then_some(found)
        })
    }

    pub(crate) fn value(&self, promql: &str) -> String {
        let found = self.query(promql);
        assert_eq!(found.len(), 1, "{promql}: {found:?}");
        found[0].1.clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
