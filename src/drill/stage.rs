//! Where a drill takes place, and what happens there: faults and how they are healed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, block_in_place};
use tokio::time::{Instant, timeout};

use super::args::Settings;
use super::client::{Client, Lost};
use super::cluster::{Whole, look, whole};
use super::fault::{Fault, Target};
use super::local::Local;
use super::progress::Progress;
use crate::ctl::client::Endpoint;
use crate::ctl::one_line;
use crate::ctl::table::field;

/// A cluster that is drilled.
pub(super) struct Stage {
    pub(super) settings: Settings,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) local: Option<Local>,
    pub(super) run: Arc<str>,
    pub(super) progress: Progress,
}

/// The round in which something is to happen.
pub(super) struct Scene<'a> {
    pub(super) fault: Fault,
    pub(super) round: usize,
    pub(super) before: &'a Whole,
    /// The endpoint of the replica that it befalls, if that is known.
    pub(super) victim: Option<usize>,
}

impl Stage {
    /// The endpoint of the replica that a fault is to befall, if that is for the drill to say.
    pub(super) fn victim(&self, fault: Fault, before: &Whole) -> Option<usize> {
        if !fault.needs_local() {
            return None;
        }
        let leads = |name: &String| *name == before.leader;
        before.names.iter().position(|name| match self.settings.target {
            Target::Leader => leads(name),
            Target::Follower => !leads(name),
        })
    }

    /// Has it happen, while somebody watches.
    pub(super) async fn inject(&mut self, scene: &Scene<'_>, watch: &Watch) -> Result<(), String> {
        match (scene.fault, scene.victim, &mut self.local) {
            (Fault::Transfer, ..) => self.transfer(scene.before).await,
            (Fault::Manual, ..) => self.wait_for_operator(scene, watch).await,
            (Fault::Command, ..) => match self.settings.fault_command.clone() {
                Some(command) => self.command(scene, "fault", command).await,
                None => Ok(()),
            },
            (fault, Some(victim), Some(local)) => block_in_place(|| local.inject(fault, victim)),
            (fault, ..) => Err(format!("nobody to have a {} befall", fault.name())),
        }
    }

    /// Undoes it, as far as that is for the drill to do.
    pub(super) async fn heal(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let wait = self.settings.wait;
        match (scene.fault, scene.victim, &mut self.local) {
            (Fault::Command, ..) => match self.settings.heal_command.clone() {
                Some(command) => self.command(scene, "heal", command).await,
                None => Ok(()),
            },
            (fault, Some(victim), Some(local)) => {
                block_in_place(|| local.heal(fault, victim, wait))
            }
            _ => Ok(()),
        }
    }

    async fn transfer(&self, before: &Whole) -> Result<(), String> {
        if before.voters < 2 {
            return Err("the cluster has one voter: nobody to hand the lead to".to_owned());
        }
        let endpoint = self.endpoints.first().ok_or("there are no endpoints")?;
        let mut client = Client::new(endpoint.clone());
        let path = "/api/v1/admin/leader/transfer";
        let deadline = Instant::now() + self.settings.wait;
        let answer = client.exchange(Method::PUT, path, String::new(), deadline).await;
        let shown = &endpoint.shown;
        let answer = answer.map_err(|lost| format!("{shown}: leader transfer: {}", lost.why()))?;
        match answer.status.as_u16() {
            200 => Ok(()),
            404 => Err(format!(
                "{shown}: the admin API is off there: start the replicas with \
                 --web.enable-admin-api, or use --fault manual or --fault-command"
            )),
            _ => Err(format!("{shown}: leader transfer: {}", answer.said())),
        }
    }

    async fn wait_for_operator(&self, scene: &Scene<'_>, watch: &Watch) -> Result<(), String> {
        let wait = self.settings.wait;
        Progress::insist(&format!(
            "round {}: kill, pause or isolate a replica now (leader: {}, {}); waiting {wait:?}",
            scene.round, scene.before.leader, scene.before.leader_address,
        ));
        let noticed = timeout(wait, watch.noticed.notified()).await;
        noticed.map_err(|_| format!("nothing happened to the cluster within {wait:?} (--wait)"))?;
        Progress::insist("noticed; heal it whenever you like");
        Ok(())
    }

    async fn command(&self, scene: &Scene<'_>, kind: &str, command: String) -> Result<(), String> {
        let leader = &scene.before.leader;
        let at = scene.before.names.iter().position(|name| name == leader);
        let endpoint = at.filter(|_| self.endpoints.len() > 1);
        let endpoint = endpoint.and_then(|at| self.endpoints.get(at));
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .env("QUORUMGATE_DRILL_LEADER", leader)
            .env("QUORUMGATE_DRILL_LEADER_ADDRESS", &scene.before.leader_address)
            .env("QUORUMGATE_DRILL_LEADER_ENDPOINT", endpoint.map_or("", |e| e.shown.as_str()))
            .env("QUORUMGATE_DRILL_ROUND", scene.round.to_string())
            .env("QUORUMGATE_DRILL_RUN", &*self.run)
            .stdin(Stdio::null());
        let failed = |why: String| format!("the {kind} command failed: {}", one_line(&why));
        let output = tokio::task::spawn_blocking(move || shell.output()).await;
        let output = output.map_err(|err| failed(err.to_string()))?;
        let output = output.map_err(|err| failed(err.to_string()))?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        self.progress.say(said.trim_end());
        if output.status.success() {
            return Ok(());
        }
        Err(failed(format!("{}: {}", output.status, said.lines().last().unwrap_or_default())))
    }
}

/// Looks at the cluster while somebody else does something to it.
pub(super) struct Watch {
    seen: Arc<Mutex<BTreeSet<usize>>>,
    noticed: Arc<Notify>,
    task: AbortHandle,
}

const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Watch {
    pub(super) fn begin(endpoints: &[Endpoint], before: &Whole) -> Watch {
        let (seen, noticed) = (Arc::default(), Arc::new(Notify::new()));
        let looking =
            watch(endpoints.to_vec(), before.clone(), Arc::clone(&seen), Arc::clone(&noticed));
        Watch { seen, noticed, task: tokio::spawn(looking).abort_handle() }
    }

    /// The endpoints of replicas that were away at some time.
    pub(super) fn away(&self) -> Vec<usize> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    endpoints: Vec<Endpoint>,
    before: Whole,
    seen: Arc<Mutex<BTreeSet<usize>>>,
    noticed: Arc<Notify>,
) {
    loop {
        let told = look(&endpoints).await;
        let changed = match whole(&told) {
            Ok(now) => now.term != before.term,
            Err(_) => true,
        };
        // One address for all replicas is nobody's.
        if endpoints.len() > 1 {
            seen.lock().unwrap_or_else(PoisonError::into_inner).extend(away(&told, &before.names));
        }
        if changed {
            noticed.notify_one();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Who does not answer, or is not reached by a replica with a quorum.
fn away(told: &[Result<serde_json::Value, String>], names: &[String]) -> Vec<usize> {
    let healthy = |told: &&serde_json::Value| told.get("healthy").is_some_and(|h| *h == true);
    let unreached: Vec<String> = told
        .iter()
        .flatten()
        .filter(healthy)
        .flat_map(crate::ctl::cluster::members_of)
        .filter(|member| member.get("reachable").is_some_and(|reached| *reached == false))
        .map(|member| field(member, "name"))
        .collect();
    let away = |at: &usize| {
        let silent = told.get(*at).is_some_and(Result::is_err);
        silent || names.get(*at).is_some_and(|name| unreached.contains(name))
    };
    (0..told.len()).filter(away).collect()
}

/// Removes the groups of a run, until none is left; how many were there.
pub(super) async fn sweep(
    endpoints: &[Endpoint],
    run: &str,
    timeout: Duration,
) -> Result<usize, String> {
    let mut removed = 0;
    let endpoint = endpoints.first().ok_or("there are no endpoints")?;
    loop {
        let mut client = Client::new(endpoint.clone());
        let answer = client.scrape(Instant::now() + timeout).await?;
        let groups: Vec<u64> = super::client::shown(&answer.body, run).into_keys().collect();
        if groups.is_empty() {
            return Ok(removed);
        }
        removed += groups.len();
        remove(endpoint, run, groups, timeout).await?;
    }
}

/// Groups that are removed at once.
const REMOVED_AT_ONCE: usize = 16;

async fn remove(
    endpoint: &Endpoint,
    run: &str,
    groups: Vec<u64>,
    timeout: Duration,
) -> Result<(), String> {
    let share = groups.len().div_ceil(REMOVED_AT_ONCE).max(1);
    let removing = groups.chunks(share).map(|groups| async move {
        let mut client = Client::new(endpoint.clone());
        for group in groups {
            let path = super::client::group_path(run, *group);
            let deadline = Instant::now() + timeout;
            let answer = client.exchange(Method::DELETE, &path, String::new(), deadline).await;
            let answer = answer.map_err(Lost::why)?;
            if !answer.status.is_success() {
                return Err(answer.said());
            }
        }
        Ok(())
    });
    let done: Result<Vec<()>, String> =
        futures_util::future::join_all(removing).await.into_iter().collect();
    done.map(|_| ())
}
