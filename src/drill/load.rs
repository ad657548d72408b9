//! Pushes and scrapes at a steady rate, whether or not those before have ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::args::LoadSettings;
use super::client::{Client, shown};
use super::record::{Ledger, Push, Scrape};
use crate::ctl::client::Endpoint;

/// A load that goes on until it is ended.
pub(super) struct Load {
    lanes: JoinSet<()>,
    stop: CancellationToken,
}

/// What goes to one endpoint.
#[derive(Clone)]
struct Lane {
    at: usize,
    endpoint: Endpoint,
    run: Arc<str>,
    settings: LoadSettings,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
}

impl Load {
    /// Begins to push and to scrape, at all endpoints in turns.
    pub(super) fn begin(
        endpoints: &[Endpoint],
        run: &str,
        settings: LoadSettings,
        ledger: &Arc<Ledger>,
    ) -> Load {
        let (mut lanes, stop) = (JoinSet::new(), CancellationToken::new());
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX).max(1);
        let period = Duration::from_secs(1) * count / settings.rate;
        for (at, endpoint) in endpoints.iter().enumerate() {
            let lane = Lane {
                at,
                endpoint: endpoint.clone(),
                run: Arc::from(run),
                settings,
                ledger: Arc::clone(ledger),
                stop: stop.clone(),
            };
            // Neighbours push in turns, not at once.
            let offset = period * u32::try_from(at).unwrap_or(0) / count;
            lanes.spawn(lane.clone().push(ticks(offset, period)));
            if settings.scrapes > 0 {
                let period = Duration::from_secs(1) / settings.scrapes;
                let offset = period * u32::try_from(at).unwrap_or(0) / count;
                lanes.spawn(lane.scrape(ticks(offset, period)));
            }
        }
        Load { lanes, stop }
    }

    /// Begins nothing any more, and waits for what is under way.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while self.lanes.join_next().await.is_some() {}
    }
}

fn ticks(offset: Duration, period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + offset, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

impl Lane {
    async fn push(self, mut ticks: Interval) {
        let slots = Arc::new(Semaphore::new(self.settings.clients));
        let idle: Arc<Mutex<Vec<Client>>> = Arc::default();
        let mut under_way = JoinSet::new();
        loop {
            let next = async {
                let due = ticks.tick().await;
                (due, Arc::clone(&slots).acquire_owned().await)
            };
            let (due, slot) = tokio::select! {
                () = self.stop.cancelled() => break,
                next = next => next,
            };
            let (lane, idle) = (self.clone(), Arc::clone(&idle));
            under_way.spawn(async move {
                let client = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut client = client.unwrap_or_else(|| Client::new(lane.endpoint.clone()));
                lane.push_once(&mut client, due).await;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
                drop(slot);
            });
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn push_once(&self, client: &mut Client, due: Instant) {
        let group = self.ledger.take_group();
        let value = self.ledger.value(group);
        let deadline = Instant::now() + self.settings.timeout;
        let (outcome, reason) = client.push(&self.run, (group, value), deadline).await;
        let push = Push {
            endpoint: self.at,
            group,
            due: self.ledger.at(due),
            ended: self.ledger.now(),
            outcome,
        };
        self.ledger.push(push, reason.map(|why| format!("{}: {why}", self.endpoint.shown)));
    }

    async fn scrape(self, mut ticks: Interval) {
        let mut client = Client::new(self.endpoint.clone());
        loop {
            let due = tokio::select! {
                () = self.stop.cancelled() => break,
                due = ticks.tick() => due,
            };
            self.scrape_once(&mut client, due).await;
        }
    }

    async fn scrape_once(&self, client: &mut Client, due: Instant) {
        let count = self.ledger.acknowledged();
        let scraped = client.scrape(Instant::now() + self.settings.timeout).await;
        let ended = self.ledger.now();
        let stale = match &scraped {
            Ok(answer) => self.ledger.not_shown(count, &shown(&answer.body, &self.run)),
            Err(_) => 0,
        };
        let scrape = Scrape {
            endpoint: self.at,
            due: self.ledger.at(due),
            ended,
            succeeded: scraped.is_ok(),
            stale,
        };
        let reason = scraped.err().map(|why| format!("{}: scrape: {why}", self.endpoint.shown));
        self.ledger.scrape(scrape, reason);
    }
}
