//! What is stored while something is measured.

use std::io::Read;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Connection, Encoding, ReadBytes, scrape};
use crate::common::payload;
use crate::process::Server;
use crate::servers::request::put;
use crate::servers::usage::settle;

/// How many series are stored, and in how many groups.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) groups: usize,
    group_series: usize,
}

/// All that is measured. The last is the worst that one client can do to the original.
pub(crate) const LAYOUTS: &[Layout] = &[
    Layout { name: "0", groups: 0, group_series: payload::GROUP_SERIES },
    Layout { name: "1k", groups: 10, group_series: payload::GROUP_SERIES },
    Layout { name: "10k", groups: 100, group_series: payload::GROUP_SERIES },
    Layout { name: "100k", groups: 1000, group_series: payload::GROUP_SERIES },
    Layout { name: "100k in 1 group", groups: 1, group_series: 100_000 },
];

/// How long it may take until what was pushed is there.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients that load at once; how it is loaded is not measured.
const LOADERS: usize = 16;

impl Layout {
    pub(crate) fn series(&self) -> usize {
        self.groups * self.group_series
    }

    /// Stores everything and checks that it is there.
    pub(crate) async fn load(&self, server: &Server) {
        self.push_groups(server, self.groups, 0).await;
        self.verify(server).await;
    }

    /// Pushes `count` groups, evenly spread, with the values of `version`.
    pub(crate) async fn push_groups(&self, server: &Server, count: usize, version: usize) {
        let mut loaders = JoinSet::new();
        for loader in 0..LOADERS.min(count) {
            let (addr, groups, group_series) = (server.addr(), self.groups, self.group_series);
            loaders.spawn(async move {
                let body = payload::text(group_series, version);
                let mut connection = Connection::open(addr, ReadBytes::SMALL).await;
                for at in (loader..count).step_by(LOADERS) {
                    let instance = payload::instance(at * groups / count);
                    let path = format!("/metrics/job/{}/instance/{instance}", payload::JOB);
                    connection.send(&put(&path, &body)).await;
                }
            });
        }
        loaders.join_all().await;
    }

    /// Checks that a scrape has all series, so that nothing is measured that did not happen. The
    /// original without checks acknowledges a push before it has stored it, so this may take a while.
    pub(crate) async fn verify(&self, server: &Server) {
        let begun = Instant::now();
        loop {
            let series = scraped_series(server).await;
            if series == self.series() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{series} series instead of {} stored", self.name);
            settle(server.pid());
        }
    }
}

/// Waits until a server answers scrapes.
pub(crate) async fn answers(server: &Server) {
    scraped_series(server).await;
}

/// Scrapes as Prometheus does.
async fn scraped_series(server: &Server) -> usize {
    let (mut body, mut text) = (Vec::new(), Vec::new());
    let mut connection = Connection::open(server.addr(), ReadBytes::LARGE).await;
    connection.exchange(&scrape(Encoding::Gzip), |piece| body.extend_from_slice(piece)).await;
    flate2::bufread::MultiGzDecoder::new(&*body).read_to_end(&mut text).unwrap();
    text.split(|&b| b == b'\n').filter(|line| line.starts_with(b"batch_stage_")).count()
}
