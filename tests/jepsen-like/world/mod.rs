//! Everything that a run sets up: the place, the replicas, and what holds them back at the moment.
//!
//! Faults overlap, so nothing here is simply on or off: who wants a replica down, paused or cut off
//! is remembered by the number of its step, and the replica is well again when nobody does.

mod health;
mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::disk::shim::{Shim, Switch};
use crate::nemesis::power;
use crate::place::sweep::{self, MARK};
use crate::place::{Cut, Place, shape::Shape};
use crate::replica::status::Status;
use crate::replica::{Holder, Replica};
use crate::tools;

/// What is under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_quorumgate");
/// Where Debian puts the library that shifts the clock of one process.
const CLOCK_LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// What a fault has caused may show so long after it.
const AFTERMATH: Duration = Duration::from_secs(3);
/// In whose name replicas are down before the first step.
const FIRST_CRASH: Holder = usize::MAX;

/// What a schedule needs beyond replicas that run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) replicas: usize,
    /// Replicas that are not started with the others.
    pub(crate) spares: usize,
    pub(crate) clock: bool,
    pub(crate) shim: bool,
    /// A place in the code at which all replicas crash when they are started for the first time;
    /// then the power fails.
    pub(crate) first_crash: Option<String>,
    /// Flags for all replicas.
    pub(crate) flags: Vec<String>,
    /// A deliberate mistake of all replicas.
    pub(crate) bug: Option<String>,
}

/// A process that ended by itself.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    pub(crate) replica: usize,
    pub(crate) at: Duration,
    pub(crate) status: ExitStatus,
    /// A fault in force explains it.
    pub(crate) excused: bool,
}

/// How many disks a replica has had, and how many processes.
#[derive(Default)]
pub(crate) struct Life {
    disks: AtomicU32,
    starts: AtomicU32,
}

impl Life {
    pub(crate) fn read(&self) -> (u32, u32) {
        (self.disks.load(Ordering::Relaxed), self.starts.load(Ordering::Relaxed))
    }
}

pub(crate) struct World {
    // Before the place and the disks: they are dropped in this order.
    pub(crate) replicas: Vec<Replica>,
    pub(crate) place: Place,
    pub(crate) founders: usize,
    pub(crate) epoch: Instant,
    /// Why the place is not namespaces.
    no_namespaces: Option<String>,
    no_disks: Option<String>,
    has_shim: bool,
    switches: Vec<Switch>,
    clock_library: Option<PathBuf>,
    folder: PathBuf,
    flags: Vec<String>,
    cuts: BTreeMap<Holder, Vec<Cut>>,
    shapes: BTreeMap<(Holder, usize), Shape>,
    resets: BTreeSet<(usize, Holder)>,
    /// Replicas that may end by themselves, and until when; `None`: while the fault lasts.
    excuses: BTreeMap<Holder, (Vec<usize>, Option<Duration>)>,
    pub(crate) exits: Vec<Exit>,
    /// What replicas did that they must not do.
    pub(crate) complaints: Vec<String>,
    /// How many replicas crashed when they were started for the first time.
    pub(crate) first_crash: usize,
    /// Of each replica.
    pub(crate) lives: Arc<Vec<Life>>,
}

impl World {
    /// Replicas that are about to form a cluster.
    pub(crate) fn new(setup: &Setup, logs: &Path) -> Result<World, String> {
        let pid = std::process::id();
        let folder = sweep::work_folder(pid);
        std::fs::create_dir_all(&folder).map_err(|err| err.to_string())?;
        let all = setup.replicas + setup.spares;
        let no_disks = Disk::can_mount().err();
        let (place, no_namespaces) = Place::new(&sweep::run_name(pid), all);
        let shim = if setup.shim { Shim::build(&folder).ok() } else { None };
        let clock_library = if setup.clock { find_clock_library() } else { None };
        let mut world = World {
            replicas: Vec::new(),
            place,
            founders: setup.replicas,
            epoch: Instant::now(),
            no_namespaces,
            no_disks,
            has_shim: shim.is_some(),
            switches: Vec::new(),
            clock_library,
            folder,
            flags: setup.flags.clone(),
            cuts: BTreeMap::new(),
            shapes: BTreeMap::new(),
            resets: BTreeSet::new(),
            excuses: BTreeMap::new(),
            exits: Vec::new(),
            complaints: Vec::new(),
            first_crash: 0,
            lives: Arc::new((0..all).map(|_| Life::default()).collect()),
        };
        for number in 0..all {
            let name = format!("g{}", number + 1);
            let disk = Disk::new(&world.folder.join(&name), world.no_disks.is_none())?;
            let mut replica = Replica::new(&name, disk, logs);
            let switch = Switch::new(&world.folder, &name);
            replica.environment = world.environment(number, shim.as_ref(), &switch);
            let bug = setup.bug.iter().map(|bug| ("QUORUMGATE_BUG".to_owned(), bug.clone()));
            replica.environment.extend(bug);
            world.switches.push(switch);
            world.replicas.push(replica);
        }
        let founders: Vec<usize> = (0..world.founders).collect();
        if let Some(place) = &setup.first_crash {
            world.first_crash = power::crash_at(&mut world, FIRST_CRASH, &founders, place)?;
            for replica in &mut world.replicas {
                replica.down.remove(&FIRST_CRASH);
            }
        }
        for number in founders {
            world.launch(number);
        }
        Ok(world)
    }

    fn environment(
        &self,
        number: usize,
        shim: Option<&Shim>,
        switch: &Switch,
    ) -> Vec<(String, String)> {
        let mut preload = Vec::new();
        let mut pairs = vec![(MARK.to_owned(), std::process::id().to_string())];
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        if let Some(shim) = shim {
            preload.push(shim.library());
            add("QUORUMGATE_DISK_FAULT", switch.file());
        }
        if let Some(library) = &self.clock_library {
            preload.push(library.display().to_string());
            std::fs::write(self.clock_file(number), "+0\n").unwrap();
            add("FAKETIME_TIMESTAMP_FILE", self.clock_file(number).display().to_string());
            add("FAKETIME_NO_CACHE", "1".to_owned());
            add("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
        }
        if !preload.is_empty() {
            add("LD_PRELOAD", preload.join(" "));
        }
        pairs
    }

    fn clock_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("g{}.clock", number + 1))
    }

    /// Since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// All replicas, those included that have not been started.
    pub(crate) fn count(&self) -> usize {
        self.replicas.len()
    }

    /// The replicas whose process is there.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.count()).filter(|number| self.replicas[*number].runs()).collect()
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.replicas[number].name
    }

    pub(crate) fn names(&self, numbers: &[usize]) -> String {
        numbers.iter().map(|number| self.name(*number)).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn status(&self, number: usize) -> Result<Status, String> {
        Status::of(self.place.web(number))
    }

    /// Who leads, as those say who know of the highest term.
    pub(crate) fn leader(&self) -> Option<usize> {
        let answering = self.running().into_iter().filter(|n| self.replicas[*n].paused.is_empty());
        let views = answering.filter_map(|number| self.status(number).ok());
        let newest = views.filter(|view| !view.leader.is_empty()).max_by_key(|view| view.term)?;
        self.replicas.iter().position(|replica| replica.name == newest.leader)
    }

    /// Who leads, as soon as somebody does.
    pub(crate) fn await_leader(&self, limit: Duration) -> Option<usize> {
        tools::eventually(limit, || self.leader())
    }

    /// Starts a replica's process unless somebody wants it down.
    pub(crate) fn launch(&mut self, number: usize) {
        if self.replicas[number].runs() || !self.replicas[number].down.is_empty() {
            return;
        }
        self.replicas[number].disk.tidy();
        let join: Vec<String> =
            (0..self.founders).map(|other| self.place.peer(other).to_string()).collect();
        let replica = &mut self.replicas[number];
        let program = replica.program.as_deref().unwrap_or_else(|| Path::new(PROGRAM));
        let mut command = self.place.command(number, program);
        command
            .arg(format!("--web.listen-address={}", self.place.web_listen(number)))
            .arg("--web.enable-admin-api")
            .arg(format!("--cluster.listen-address={}", self.place.peer_listen(number)))
            .arg(format!("--cluster.advertise-address={}", self.place.peer(number)))
            .arg(format!("--cluster.name={}", replica.name))
            .arg(format!("--cluster.join={}", join.join(",")))
            .arg(format!("--cluster.bootstrap-expect={}", self.founders))
            .arg(format!("--storage.path={}", replica.disk.data().display()))
            .args(&self.flags);
        self.lives[number].starts.fetch_add(1, Ordering::Relaxed);
        replica.start(command).unwrap();
        self.place.runs(number, self.replicas[number].pid().unwrap());
    }

    /// Kills replicas, all at the same moment, and keeps them down for `holder`.
    pub(crate) fn kill(&mut self, holder: Holder, numbers: &[usize]) -> usize {
        let pids: Vec<u32> = numbers.iter().filter_map(|n| self.replicas[*n].pid()).collect();
        for number in numbers {
            self.replicas[*number].disk.unfreeze();
        }
        tools::signal("KILL", &pids);
        let mut killed = 0;
        for number in numbers {
            self.replicas[*number].down.insert(holder);
            killed += usize::from(self.replicas[*number].kill());
        }
        killed
    }

    /// `holder` does not mind any more that these run.
    pub(crate) fn revive(&mut self, holder: Holder, numbers: &[usize]) {
        for number in numbers {
            self.replicas[*number].down.remove(&holder);
            self.launch(*number);
        }
    }

    pub(crate) fn pause(&mut self, holder: Holder, numbers: &[usize]) {
        let pids: Vec<u32> = numbers.iter().filter_map(|n| self.replicas[*n].pid()).collect();
        tools::signal("STOP", &pids);
        for number in numbers {
            self.replicas[*number].paused.insert(holder);
        }
    }

    pub(crate) fn resume(&mut self, holder: Holder, numbers: &[usize]) {
        let mut pids = Vec::new();
        for number in numbers {
            let replica = &mut self.replicas[*number];
            replica.paused.remove(&holder);
            if replica.paused.is_empty() {
                pids.extend(replica.pid());
            }
        }
        tools::signal("CONT", &pids);
    }

    /// While `holder`'s fault lasts, these may end by themselves.
    pub(crate) fn excuse(&mut self, holder: Holder, numbers: &[usize]) {
        self.excuses.insert(holder, (numbers.to_vec(), None));
    }

    pub(crate) fn no_excuse(&mut self, holder: Holder) {
        let until = self.now() + AFTERMATH;
        if let Some((_, end)) = self.excuses.get_mut(&holder) {
            *end = Some(end.unwrap_or(until));
        }
        self.tend();
    }

    /// Notices processes that have ended by themselves.
    pub(crate) fn tend(&mut self) {
        let at = self.now();
        for number in 0..self.count() {
            let Some(status) = self.replicas[number].ended() else { continue };
            let (excused, over) = self.excused(number);
            self.replicas[number].note(&format!("ended by itself: {status}"));
            self.exits.push(Exit { replica: number, at, status, excused });
            if excused && over {
                self.launch(number);
            }
        }
    }

    /// Whether a fault explains that this replica ends by itself, and whether that fault is over.
    fn excused(&self, number: usize) -> (bool, bool) {
        let now = self.now();
        let ends = self.excuses.values().filter(|(on, _)| on.contains(&number)).map(|(_, end)| end);
        let ends: Vec<_> = ends.filter(|end| end.is_none_or(|end| now < end)).collect();
        (!ends.is_empty(), ends.iter().all(|end| end.is_some()))
    }

    /// Whether a replica runs and nothing keeps it from doing what it is asked to.
    pub(crate) fn is_free(&self, number: usize) -> bool {
        let replica = &self.replicas[number];
        let well = replica.runs() && replica.paused.is_empty() && !replica.disk.is_frozen();
        well && !self.excused(number).0
    }

    /// Gives a replica that does not run an empty disk.
    pub(crate) fn wipe(&mut self, number: usize) -> Result<(), String> {
        self.replicas[number].disk.wipe()?;
        self.new_disk(number);
        Ok(())
    }

    /// From here on the replica has another disk than before.
    pub(crate) fn new_disk(&self, number: usize) {
        self.lives[number].disks.fetch_add(1, Ordering::Relaxed);
    }

    /// A replica did what it must not do.
    pub(crate) fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// Whether disks are file systems of their own; if not, what is missing for that.
    pub(crate) fn needs_disks(&self) -> Result<(), String> {
        self.no_disks.as_ref().map_or(Ok(()), |missing| Err(missing.clone()))
    }

    pub(crate) fn no_namespaces(&self) -> Option<&str> {
        self.no_namespaces.as_deref()
    }

    /// Whether fsync can be made to fail; if not, what is missing for that.
    pub(crate) fn needs_shim(&self) -> Result<(), String> {
        if self.has_shim { Ok(()) } else { Err("a C compiler".to_owned()) }
    }

    pub(crate) fn switch(&self, number: usize) -> &Switch {
        &self.switches[number]
    }

    pub(crate) fn shift_clock(&self, number: usize, milliseconds: i64) -> Result<(), String> {
        self.clock_library.as_ref().ok_or("libfaketime")?;
        let text =
            format!("{}{:.3}\n", if milliseconds < 0 { "" } else { "+" }, seconds(milliseconds));
        // In one step: a process that reads half a file would see another time.
        let file = self.clock_file(number);
        let new = file.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &file))
            .map_err(|e| e.to_string())
    }
}

fn seconds(milliseconds: i64) -> f64 {
    Duration::from_millis(milliseconds.unsigned_abs()).as_secs_f64()
        * if milliseconds < 0 { -1.0 } else { 1.0 }
}

fn find_clock_library() -> Option<PathBuf> {
    let lib = Path::new("/usr/lib");
    let folders = std::fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path());
    let mut candidates = folders.chain([lib.to_owned()]).map(|folder| folder.join(CLOCK_LIBRARY));
    candidates.find(|library| library.exists())
}
