//! A real Prometheus server.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

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
    pub(crate) fn query(&self, promql: &str) -> Vec<(Value, String)> {
        let text = |value: &Value| value[1].as_str().unwrap().to_owned();
        let found = self.result(promql);
        found.iter().map(|s| (s["metric"].clone(), text(&s["value"]))).collect()
    }

    /// When the samples of the one series that a range selector finds were taken, in seconds, and
    /// what they say.
    pub(crate) fn samples(&self, promql: &str) -> Vec<(f64, String)> {
        let found = self.result(promql);
        assert_eq!(found.len(), 1, "{promql}: {found:?}");
        let samples = found[0]["values"].as_array().unwrap().iter();
        samples.map(|s| (s[0].as_f64().unwrap(), s[1].as_str().unwrap().to_owned())).collect()
    }

    fn result(&self, promql: &str) -> Vec<Value> {
        let query: String = promql.bytes().map(|b| format!("%{b:02x}")).collect();
        let request = http::request("GET", &format!("/api/v1/query?query={query}"), &[], b"");
        eventually(SCRAPED, promql, || {
            let answer = http::exchange(self.addr, &request).ok()?;
            let answer: Value = serde_json::from_slice(&answer.body).ok()?;
            let found = answer["data"]["result"].as_array()?;
            (!found.is_empty()).then(|| found.clone())
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
