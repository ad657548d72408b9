//! The simulator: three replicas in one thread, in a time of its own, through whatever chance has it.
//!
//! A replica here is the replica, from its storage folder to its answers: start, bootstrap, openraft,
//! log, high-water mark, snapshots, proposer, reader, members, what it answers its peers. In the place
//! of gRPC is [`net`], in the place of the disk's fsync [`crate::storage::power`], in the place of the
//! log's thread [`disk`]; the state database is left out, as after a start that set it aside, and so
//! is HTTP.
//!
//! A seed decides about everything but the order in which tokio polls what is ready at the same
//! moment: see `docs/testing.md`. `SIM_SEEDS=n` runs n seeds from a random one, `SIM_SEED=s` one.

pub(in crate::raft) mod chance;
mod clients;
mod disk;
mod forming;
mod joining;
mod monitor;
mod nemesis;
mod net;
mod runtime;
mod story;
#[cfg(feature = "trials")]
mod trials;
mod verdict;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clients::{Client, History};
pub(in crate::raft) use disk::HandsOn;
pub(crate) use runtime::Runtime;
use story::{Story, tell};
use world::{NODES, World};

/// What a run without other wishes tries.
const SEEDS: u64 = 60;
const CLIENTS: u64 = 3;
/// How long faults last, in milliseconds.
const STORM: (u64, u64) = (1000, 3500);
/// How long a new cluster may take to form.
const FORMING: Duration = Duration::from_secs(20);
/// How long it may take until all is well again after the last fault.
const HEALING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// What happened in a run, in figures.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    schedules: u64,
    answers: u64,
    entries: u64,
    leaders: u64,
    lives: u64,
    calls: u64,
    healed_after: Duration,
    simulated: Duration,
}

/// What is wrong, and what happened.
struct Failure {
    seed: u64,
    broken: Vec<String>,
    story: String,
}

impl Failure {
    fn report(&self) -> String {
        let (seed, broken, story) = (self.seed, self.broken.join("\n"), &self.story);
        format!("SIM_SEED={seed}\n{story}\n--- broken:\n{broken}\n--- repeat with SIM_SEED={seed}")
    }
}

/// Runs one schedule.
fn run(seed: u64) -> Result<Figures, Failure> {
    simulated(seed, live)
}

/// Runs something in a time of its own, with the chance that follows from a seed.
fn simulated<T, F>(seed: u64, live: impl FnOnce(World) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Vec<String>>>,
{
    chance::begin(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let account = Story::default();
    let result = runtime.block_on(async {
        let _written = account.begin();
        let world = World::new(seed);
        let result = live(world.clone()).await;
        world.close();
        result
    });
    drop(runtime);
    chance::end();
    result.map_err(|broken| Failure { seed, broken, story: account.lines() })
}

async fn live(world: World) -> Result<Figures, Vec<String>> {
    let (record, history) = (monitor::Shared::default(), History::default());
    let watching = tokio::spawn(monitor::run(world.clone(), Arc::clone(&record)));
    let early = world.chance.permille(200);
    for index in 0..NODES {
        world.start(index);
    }
    if !early {
        until(&world, FORMING, "to form a cluster", || is_whole(&world)).await;
    }
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| tokio::spawn(Client::new(world.clone(), history.clone(), number).run()))
        .collect();
    let nemesis = tokio::spawn(nemesis::Nemesis::new(world.clone()).run());
    tokio::time::sleep(world.chance.millis(STORM.0, STORM.1)).await;
    world.end();
    for task in clients.into_iter().chain([nemesis]) {
        task.await.unwrap();
    }
    let healed_after = heal(&world, &history).await;
    monitor::look(&world, &record);
    watching.abort();
    let record = record.lock().unwrap();
    let told = history.told();
    if !world.is_broken() {
        for wrong in verdict::of(&record, &told) {
            world.broken(wrong);
        }
    }
    let lives = world.nodes().iter().map(|node| node.lives).sum();
    if world.is_broken() {
        return Err(world.all_broken());
    }
    Ok(Figures {
        schedules: 1,
        answers: told.len() as u64,
        entries: record.entries.len() as u64,
        leaders: record.leader_changes,
        lives,
        calls: world.net.calls(),
        healed_after,
        simulated: world.elapsed(),
    })
}

/// Ends all faults; then all must be well soon, and serve.
async fn heal(world: &World, history: &History) -> Duration {
    tell("no more faults");
    let begun = tokio::time::Instant::now();
    until(world, HEALING, "to be whole again", || {
        world.calm_down();
        is_whole(world)
    })
    .await;
    let mut client = Client::new(world.clone(), history.clone(), CLIENTS + 1);
    let patience = Duration::from_secs(10);
    for index in 0..NODES {
        if world.is_broken() {
            break;
        }
        if !client.push_anew(index, patience).await {
            world.broken(format!("a push to replica {index} fails after all faults"));
        }
        if !client.read(index, patience).await {
            world.broken(format!("a read at replica {index} fails after all faults"));
        }
    }
    begun.elapsed()
}

/// Whether all replicas run, are ready, and know each other as the voters.
fn is_whole(world: &World) -> bool {
    let replicas: Vec<_> = (0..NODES).filter_map(|index| world.replica(index)).collect();
    let nodes: BTreeSet<u64> = replicas.iter().map(|(r, _)| r.lobby().me.node).collect();
    nodes.len() == NODES
        && replicas.iter().all(|(replica, _)| {
            let members = replica.status().members;
            let voters = members.iter().filter(|member| member.voter).map(|member| member.id);
            clients::is_ready(replica) && voters.collect::<BTreeSet<_>>() == nodes
        })
}

async fn until(world: &World, patience: Duration, what: &str, is: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is() && !world.is_broken() {
        if begun.elapsed() > patience {
            let state = (0..NODES).map(|index| state(world, index)).collect::<Vec<_>>();
            world.broken(format!("it took too long {what}:\n{}", state.join("\n")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn state(world: &World, index: usize) -> String {
    let Some((replica, _)) = world.replica(index) else { return format!("{index}: down") };
    let metrics = replica.running().map(|running| running.metrics().to_string());
    let lobby = replica.lobby().waits_for;
    format!("{index}: {:?}; {lobby}; {metrics:?}", replica.health())
}

/// Runs seeds on as many threads as there are processors, until one fails.
fn run_all(seeds: impl Iterator<Item = u64> + Send) -> (Figures, Option<Failure>) {
    let seeds = std::sync::Mutex::new(seeds);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (total, failure) = (std::sync::Mutex::new(Figures::default()), std::sync::Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = seeds.lock().unwrap().next();
                    let Some(seed) = seed.filter(|_| failure.lock().unwrap().is_none()) else {
                        return;
                    };
                    match run(seed) {
                        Ok(figures) => add(&mut total.lock().unwrap(), figures),
                        Err(found) => *failure.lock().unwrap() = Some(found),
                    }
                }
            });
        }
    });
    (total.into_inner().unwrap(), failure.into_inner().unwrap())
}

fn add(total: &mut Figures, one: Figures) {
    total.schedules += 1;
    total.answers += one.answers;
    total.entries += one.entries;
    total.leaders += one.leaders;
    total.lives += one.lives;
    total.calls += one.calls;
    total.healed_after = total.healed_after.max(one.healed_after);
    total.simulated += one.simulated;
}

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
#[expect(clippy::print_stderr, reason = "what was tried is a part of the result")]
fn whatever_chance_has_the_promises_hold() {
    let begun = Instant::now();
    let seeds = match (asked("SIM_SEED"), asked("SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => {
            let first: u64 = rand::random_range(0..1 << 40);
            first..first + count
        }
        (None, None) => 0..SEEDS,
    };
    let (figures, failure) = run_all(seeds);
    let took = begun.elapsed();
    let count = figures.schedules;
    let rate = f64::from(u32::try_from(count).unwrap()) * 60.0 / took.as_secs_f64();
    eprintln!("{count} schedules in {took:?}, {rate:.0} per minute: {figures:?}");
    if let Some(failure) = failure {
        panic!("{}\nafter {count} schedules in {} ms", failure.report(), took.as_millis());
    }
    assert!(figures.answers > 0 && figures.entries > 0, "nothing was tried");
}
