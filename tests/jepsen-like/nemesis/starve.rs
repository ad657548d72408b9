//! Too little of what a process needs: processor time, memory, writes per second. By control groups
//! of version 1.

use std::path::{Path, PathBuf};

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::place::sweep::run_name;
use crate::world::World;

/// The group of one replica under one controller.
struct Group(PathBuf);

impl Group {
    fn new(controller: &str, number: usize) -> Result<Group, Trouble> {
        let root = Path::new("/sys/fs/cgroup").join(controller);
        if !root.join("cgroup.procs").exists() || !root.join("release_agent").exists() {
            return Err(Trouble::Lacking(format!("the control group `{controller}`, version 1")));
        }
        let group = root.join(format!("{}-{}", run_name(std::process::id()), number + 1));
        std::fs::create_dir_all(&group).map_err(|err| Trouble::Lacking(err.to_string()))?;
        Ok(Group(group))
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        std::fs::write(self.0.join(file), value).map_err(|err| format!("{file}: {err}"))
    }

    fn get(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }

    fn admit(&self, world: &World, number: usize) -> Result<(), String> {
        let pid = world.replicas[number].pid().ok_or("the process is gone")?;
        self.set("cgroup.procs", &pid.to_string())
    }

    /// Gives whoever is in it back to the root group.
    fn release(&self) {
        for pid in self.get("cgroup.procs").lines() {
            // It may have ended meanwhile.
            drop(std::fs::write(self.0.with_file_name("cgroup.procs"), pid));
        }
        drop(std::fs::remove_dir(&self.0));
    }
}

fn groups(controller: &str, on: &[usize]) -> Result<Vec<Group>, Trouble> {
    on.iter().map(|number| Group::new(controller, *number)).collect()
}

pub(super) struct Cpu {
    hit: Hit,
    percent: u32,
}

impl Cpu {
    pub(super) fn new(hit: Hit, percent: u32) -> Cpu {
        Cpu { hit, percent }
    }
}

impl Nemesis for Cpu {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        for (group, number) in groups("cpu", &self.hit.on)?.iter().zip(&self.hit.on) {
            group.set("cpu.cfs_period_us", "100000")?;
            group.set("cpu.cfs_quota_us", &(self.percent * 1000).to_string())?;
            group.admit(world, *number)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        let group = Group::new("cpu", self.hit.on[0]).map_err(|_| "no group")?;
        let stat = group.get("cpu.stat");
        let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        match throttled.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0) {
            0 => Err("the process was never held back".to_owned()),
            periods => Ok(format!("held back in {periods} periods of 100 ms")),
        }
    }

    fn heal(&mut self, _world: &mut World) -> Result<(), String> {
        groups("cpu", &self.hit.on).into_iter().flatten().for_each(|group| group.release());
        Ok(())
    }
}

pub(super) struct Memory {
    hit: Hit,
    mebibytes: u32,
}

impl Memory {
    pub(super) fn new(hit: Hit, mebibytes: u32) -> Memory {
        Memory { hit, mebibytes }
    }
}

impl Nemesis for Memory {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        world.excuse(self.hit.holder, &self.hit.on);
        for (group, number) in groups("memory", &self.hit.on)?.iter().zip(&self.hit.on) {
            group.set("memory.limit_in_bytes", &format!("{}M", self.mebibytes))?;
            group.admit(world, *number)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        world.tend();
        let group = Group::new("memory", self.hit.on[0]).map_err(|_| "no group")?;
        let refused: u64 = group.get("memory.failcnt").trim().parse().unwrap_or(0);
        let killed = self.hit.on.iter().filter(|number| !world.replicas[**number].runs()).count();
        if refused == 0 && killed == 0 {
            return Err("the limit was never reached".to_owned());
        }
        Ok(format!("the limit was reached {refused} times, {killed} processes killed"))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        groups("memory", &self.hit.on).into_iter().flatten().for_each(|group| group.release());
        world.no_excuse(self.hit.holder);
        self.hit.on.iter().for_each(|number| world.launch(*number));
        Ok(())
    }
}

/// So many writes a second reach the disk.
pub(super) struct SlowDisk {
    hit: Hit,
    writes: u32,
}

impl SlowDisk {
    pub(super) fn new(hit: Hit, writes: u32) -> SlowDisk {
        SlowDisk { hit, writes }
    }
}

impl Nemesis for SlowDisk {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_disks().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        for (group, number) in groups("blkio", &self.hit.on)?.iter().zip(&self.hit.on) {
            let device =
                world.replicas[*number].disk.device().ok_or_else(|| "no device".to_owned())?;
            let limit = format!("{device} {}", self.writes);
            group.set("blkio.throttle.write_iops_device", &limit)?;
            group.admit(world, *number)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        let group = Group::new("blkio", self.hit.on[0]).map_err(|_| "no group")?;
        let served = group.get("blkio.throttle.io_serviced");
        let writes = served.lines().find_map(|line| line.split(" Write ").nth(1));
        match writes.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0) {
            0 => Err("nothing was written under the limit".to_owned()),
            writes => Ok(format!("{writes} writes under the limit")),
        }
    }

    fn heal(&mut self, _world: &mut World) -> Result<(), String> {
        groups("blkio", &self.hit.on).into_iter().flatten().for_each(|group| group.release());
        Ok(())
    }
}
