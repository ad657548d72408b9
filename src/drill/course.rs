//! The course of a drill: rounds, each of which ends with a look at what is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::args::Settings;
use super::client::shown;
use super::cluster::{
    Same, Whole, same_bytes, same_digest, scrape_all, until_succeeded, until_whole,
};
use super::fault::Fault;
use super::figures::{Gap, longest_gap};
use super::load::Load;
use super::local::Local;
use super::progress::Progress;
use super::record::{Account, Ledger, Outcome, value};
use super::stage::{Scene, Stage, Watch, sweep};

/// What happened in a round. Times count from its beginning.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) fault: Fault,
    /// From 1, over all faults.
    pub(super) number: usize,
    /// The leader before and after.
    pub(super) leaders: [String; 2],
    /// How many endpoints there are.
    pub(super) endpoints: usize,
    /// Endpoints of replicas that were away.
    pub(super) away: Vec<usize>,
    pub(super) fault_at: Duration,
    pub(super) healed_at: Option<Duration>,
    /// When nothing was amiss any more.
    pub(super) whole_at: Duration,
    pub(super) end: Duration,
    /// Why the fault or its end did not go as it was meant to.
    pub(super) troubles: Vec<String>,
    pub(super) account: Account,
    pub(super) check: Check,
}

impl Round {
    /// Whether a replica that went on serves at this endpoint.
    pub(super) fn survives(&self, endpoint: usize) -> bool {
        // Where all were away, none is an exception.
        self.away.len() >= self.endpoints || !self.away.contains(&endpoint)
    }

    /// The longest time without a success at the survivors that lasted at `from` or began later.
    pub(super) fn gap_since(&self, from: Duration) -> Gap {
        let at_survivors = self.account.pushes.iter().filter(|push| self.survives(push.endpoint));
        let successes = at_survivors.filter(|push| push.acknowledged()).map(|push| push.ended);
        longest_gap(successes, from, self.end)
    }

    /// The longest time without a success.
    pub(super) fn gap(&self) -> Gap {
        self.gap_since(self.fault_at)
    }

    /// The same at one endpoint.
    pub(super) fn gap_at(&self, endpoint: usize) -> Gap {
        let there = self.account.pushes.iter().filter(|push| push.endpoint == endpoint);
        let successes = there.filter(|push| push.acknowledged()).map(|push| push.ended);
        longest_gap(successes, self.fault_at, self.end)
    }

    /// Why no other round may follow.
    fn why_the_last(&self) -> Option<&String> {
        self.troubles.first().or(self.check.not_whole.as_ref())
    }
}

/// What was found after a round.
#[derive(Debug, Clone)]
pub(super) struct Check {
    /// Why the cluster did not become whole again.
    pub(super) not_whole: Option<String>,
    /// Acknowledged pushes that some endpoint did not show.
    pub(super) missing: usize,
    /// The same by endpoint; nothing of those that could not be read.
    pub(super) missing_at: Vec<Option<usize>>,
    /// Pushes that were refused and took effect all the same.
    pub(super) refused_but_stored: usize,
    /// Why endpoints could not be read.
    pub(super) unread: Vec<String>,
    pub(super) digests: Same,
    pub(super) index: u64,
    pub(super) bytes: Same,
}

/// All that was drilled.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) run: String,
    pub(super) endpoints: Vec<String>,
    /// Who answered there first.
    pub(super) names: Vec<String>,
    pub(super) cluster_id: String,
    pub(super) version: String,
    pub(super) rounds: Vec<Round>,
    /// Why a round could not begin after others had ended well.
    pub(super) not_begun: Option<String>,
    /// Faults that are not possible here, and why.
    pub(super) skipped: Vec<(Fault, String)>,
    /// What else is to be said.
    pub(super) remarks: Vec<String>,
}

/// Runs all rounds; an error is why the drill could not be run.
pub(super) async fn run(
    settings: &Settings,
    run: &str,
    passed: impl Fn(&Course) -> bool,
) -> Result<Course, String> {
    let progress = Progress { quiet: settings.quiet };
    let mut settings = settings.clone();
    let mut skipped = Vec::new();
    let mut local = None;
    let mut endpoints = settings.endpoints.clone();
    if let Some(replicas) = settings.local {
        let possible;
        (possible, skipped) = Local::possible(&settings.faults);
        for (fault, why) in &skipped {
            progress.say(&format!("SKIPPED: {}: {why}", fault.name()));
        }
        if possible.is_empty() {
            let why = skipped.iter().map(|(fault, why)| format!("{}: {why}", fault.name()));
            return Err(format!(
                "nothing can be drilled here: {}",
                why.collect::<Vec<_>>().join("; ")
            ));
        }
        settings.faults = possible;
        progress.say(&format!("starting {replicas} replicas"));
        let started = tokio::task::block_in_place(|| Local::start(replicas, &settings, run))?;
        endpoints = started.endpoints()?;
        local = Some(started);
    }
    let mut stage = Stage { settings, endpoints, local, run: Arc::from(run), progress };
    let whole = stage.until_started().await?;
    let mut course = Course {
        run: run.to_owned(),
        endpoints: stage.endpoints.iter().map(|endpoint| endpoint.shown.clone()).collect(),
        names: whole.names,
        cluster_id: whole.cluster_id,
        version: whole.version,
        rounds: Vec::new(),
        not_begun: None,
        skipped,
        remarks: Vec::new(),
    };
    stage.all_rounds(&mut course).await?;
    stage.clear_up(&mut course).await;
    if let Some(local) = stage.local.as_mut().filter(|_| !passed(&course)) {
        local.keep();
        course.remarks.push(format!("logs and folders are kept in {}", local.folder().display()));
    }
    Ok(course)
}

impl Stage {
    /// Waits until the cluster is whole for the first time, unless a replica has died.
    async fn until_started(&mut self) -> Result<Whole, String> {
        let deadline = Instant::now() + self.settings.wait;
        loop {
            let why = match until_whole(&self.endpoints, LOOK_AT_PROCESSES).await {
                Ok(whole) => return Ok(whole),
                Err(why) => why,
            };
            if let Some(died) = self.local.as_mut().and_then(Local::died) {
                return Err(died);
            }
            if Instant::now() > deadline {
                return Err(format!("{why} (--wait {:?})", self.settings.wait));
            }
        }
    }

    /// Runs rounds until one goes wrong; an error is why there was not even a first fault.
    async fn all_rounds(&mut self, course: &mut Course) -> Result<(), String> {
        let mut retired = BTreeSet::new();
        let total = self.settings.faults.len() * self.settings.rounds;
        for fault in self.settings.faults.clone() {
            for _ in 0..self.settings.rounds {
                let number = course.rounds.len() + 1;
                let name = fault.name();
                self.progress.say(&format!("round {number} of {total}: {name}"));
                let before = match until_whole(&self.endpoints, self.settings.wait).await {
                    Ok(before) => before,
                    Err(why) if number == 1 => return Err(why),
                    Err(why) => {
                        self.progress.say(&format!("no more rounds: {why}"));
                        course.not_begun = Some(format!("round {number}: {why}"));
                        return Ok(());
                    }
                };
                let round = self.round((fault, number), &before, &retired).await?;
                retired.extend(round.account.groups_with(Outcome::Unknown));
                let over = round.why_the_last().cloned();
                course.rounds.push(round);
                if let Some(why) = over {
                    self.progress.say(&format!("no more rounds: {why}"));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn round(
        &mut self,
        (fault, number): (Fault, usize),
        before: &Whole,
        retired: &BTreeSet<u64>,
    ) -> Result<Round, String> {
        let round = u64::try_from(number).unwrap_or(u64::MAX);
        let ledger = Arc::new(Ledger::new(round, retired.clone()));
        let load = Load::begin(&self.endpoints, &self.run, self.settings.load, &ledger);
        let following = self.progress.follow(&ledger);
        sleep(self.settings.duration / 5).await;
        self.until_served(&ledger).await;
        let victim = self.victim(fault, before);
        let scene = Scene { fault, round: number, before, victim };
        let disturbed = self.disturb(&scene, &ledger).await;
        if disturbed.is_ok() {
            sleep(self.settings.duration * 3 / 10).await;
        }
        let end = ledger.now();
        load.end().await;
        drop(following);
        let (mut round, after) = disturbed?;
        round.end = end;
        round.account = ledger.close();
        if fault == Fault::Manual {
            // It happened before it was noticed.
            round.fault_at = round.fault_at.min(round.gap_since(Duration::ZERO).from);
        }
        round.check = self.check(&round, after.err()).await;
        Ok(round)
    }

    /// Waits until every endpoint has acknowledged something: before that, a fault proves nothing.
    async fn until_served(&self, ledger: &Ledger) {
        let deadline = Instant::now() + self.settings.wait;
        while !ledger.acknowledged_at_all(self.endpoints.len()) && Instant::now() < deadline {
            sleep(PAUSE).await;
        }
    }

    /// The fault, until the cluster is whole again. An error is why there was none in the first round,
    /// when nothing is proven yet; whatever goes wrong later belongs to the report.
    async fn disturb(
        &mut self,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Result<(Round, Result<(), String>), String> {
        let (watch, progress) = (Watch::begin(&self.endpoints, scene.before), self.progress);
        let before = ledger.now();
        let injected = self.inject(scene, &watch).await;
        let fault_at = if scene.fault == Fault::Manual { ledger.now() } else { before };
        let mut troubles = Vec::new();
        let mut trouble = |done: Result<(), String>| {
            if let Err(why) = done {
                progress.say(&format!("  {why}"));
                troubles.push(why);
            }
        };
        let not_injected = injected.clone().err();
        trouble(match injected {
            Ok(()) => self.hold(scene).await,
            failed => failed,
        });
        let healed_at = scene.fault.holds().then(|| ledger.now());
        // What did not come about may have done half of its work.
        trouble(self.heal(scene).await);
        if let Some(why) = not_injected.filter(|_| scene.round == 1) {
            return Err(why);
        }
        let after = until_whole(&self.endpoints, self.settings.wait).await;
        let whole_at = ledger.now();
        let away = match scene.victim {
            Some(victim) => vec![victim],
            None if scene.fault.is_foreign() => watch.away(),
            None => Vec::new(),
        };
        let leader = |whole: &Whole| whole.leader.clone();
        let round = Round {
            fault: scene.fault,
            number: scene.round,
            leaders: [leader(scene.before), after.as_ref().map_or_else(|_| "-".to_owned(), leader)],
            endpoints: self.endpoints.len(),
            away,
            fault_at,
            healed_at,
            whole_at,
            end: whole_at,
            troubles,
            account: Account::default(),
            check: Check::nothing(),
        };
        Ok((round, after.map(|_| ())))
    }

    /// Lets the fault last, and longer until another leads if it befell the leader: if that came back
    /// before, it might lead again, and nothing would be proven.
    async fn hold(&self, scene: &Scene<'_>) -> Result<(), String> {
        if !scene.fault.holds() {
            sleep(self.settings.duration / 5).await;
            return Ok(());
        }
        sleep(self.settings.duration / 2).await;
        let leader = &scene.before.leader;
        let leads = |victim: &usize| scene.before.names.get(*victim) == Some(leader);
        match scene.victim.filter(leads) {
            Some(victim) => {
                until_succeeded(&self.endpoints, victim, leader, self.settings.wait).await
            }
            None => Ok(()),
        }
    }

    /// Looks at all endpoints for what was pushed.
    async fn check(&self, round: &Round, not_whole: Option<String>) -> Check {
        let number = u64::try_from(round.number).unwrap_or(u64::MAX);
        let (digests, index) = same_digest(&self.endpoints).await;
        let deadline = Instant::now() + self.settings.wait.min(Duration::from_secs(20));
        let timeout = self.settings.load.timeout;
        let (scrapes, bytes) = loop {
            let scrapes = scrape_all(&self.endpoints, timeout).await;
            match same_bytes(&scrapes) {
                Same::Unknown(_) if self.endpoints.len() > 1 && Instant::now() < deadline => {}
                bytes => break (scrapes, bytes),
            }
        };
        let mut check = Check { not_whole, digests, index, bytes, ..Check::nothing() };
        let mut missing = BTreeSet::new();
        let mut phantoms = BTreeSet::new();
        for scrape in &scrapes {
            let answer = match scrape {
                Ok(answer) => answer,
                Err(why) => {
                    check.unread.push(why.clone());
                    check.missing_at.push(None);
                    continue;
                }
            };
            let shown = shown(&answer.body, &self.run);
            let is_shown = |group: &u64| shown.get(group) == Some(&value(number, *group));
            let acknowledged = round.account.groups_with(Outcome::Acknowledged);
            let lost: Vec<u64> = acknowledged.filter(|group| !is_shown(group)).collect();
            check.missing_at.push(Some(lost.len()));
            missing.extend(lost);
            phantoms.extend(round.account.groups_with(Outcome::Failed).filter(is_shown));
        }
        check.missing = missing.len();
        check.refused_but_stored = phantoms.len();
        check
    }

    /// Removes all groups of a cluster that goes on.
    async fn clear_up(&self, course: &mut Course) {
        if self.local.is_some() {
            return;
        }
        let unknown = course
            .rounds
            .iter()
            .any(|round| round.account.groups_with(Outcome::Unknown).next().is_some());
        if unknown {
            self.progress.say("waiting until no push can take effect any more");
            sleep(STRAGGLERS).await;
        }
        match sweep(&self.endpoints, &self.run, self.settings.load.timeout).await {
            Ok(removed) => self.progress.say(&format!("removed {removed} groups")),
            Err(why) => course.remarks.push(format!(
                "the groups of job {}, run {} are still there: {why}",
                super::client::JOB,
                self.run
            )),
        }
    }
}

/// Between two looks at what clients have seen.
const PAUSE: Duration = Duration::from_millis(10);
/// How often to look whether a replica has died while starting.
const LOOK_AT_PROCESSES: Duration = Duration::from_millis(500);

/// A push whose client has given up may take effect for so long (`--limits.request-timeout`).
const STRAGGLERS: Duration = Duration::from_secs(11);

impl Check {
    pub(super) fn nothing() -> Check {
        Check {
            not_whole: None,
            missing: 0,
            missing_at: Vec::new(),
            refused_but_stored: 0,
            unread: Vec::new(),
            digests: Same::Unknown(String::new()),
            index: 0,
            bytes: Same::Unknown(String::new()),
        }
    }
}
