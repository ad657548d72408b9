//! What came of a run: one line when it is good, all there is to know when it is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::artifacts;
use crate::checkers::{self, Finding, Verdict};
use crate::history::{History, Outcome};
use crate::schedule::Schedule;
use crate::tools::say;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    Passed,
    Failed,
    /// The machine lacks what all of the faults need.
    Skipped,
}

pub(crate) struct Report {
    nemesis: String,
    workload: String,
    /// Why the replicas are on loopback.
    no_namespaces: Option<String>,
    ok: u64,
    rejected: u64,
    unknown: u64,
    pub(super) leader_changes: u64,
    longest_gap: Duration,
    pub(super) healed: std::result::Result<Duration, String>,
    pub(super) verdicts: Vec<Verdict>,
    /// What was not as it should be with the machine, the faults or the harness.
    pub(super) problems: Vec<String>,
    /// What replicas did wrong, whatever the clients saw of it.
    pub(super) misdeeds: Vec<String>,
    pub(super) lacking: BTreeSet<String>,
    skipped: bool,
    kept: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(schedule: &Schedule, no_namespaces: Option<String>) -> Report {
        Report {
            nemesis: schedule.nemesis.clone(),
            workload: schedule.workload.clone(),
            no_namespaces,
            ok: 0,
            rejected: 0,
            unknown: 0,
            leader_changes: 0,
            longest_gap: Duration::ZERO,
            healed: Err("not tried".to_owned()),
            verdicts: Vec::new(),
            problems: Vec::new(),
            misdeeds: Vec::new(),
            lacking: BTreeSet::new(),
            skipped: false,
            kept: None,
        }
    }

    /// A run that could not be made.
    pub(super) fn broken(schedule: &Schedule, why: String) -> Report {
        let mut report = Report::new(schedule, None);
        report.problems.push(why);
        report
    }

    /// Counts the ends of operations, and looks for the longest time without a success.
    pub(super) fn count(&mut self, history: &History) {
        let mut successes: Vec<u64> = Vec::new();
        for op in history.ops.iter().filter(|op| !op.last) {
            match op.outcome {
                Outcome::Ok(_) => {
                    self.ok += 1;
                    successes.push(op.returned);
                }
                Outcome::Rejected(_) => self.rejected += 1,
                Outcome::Unknown(_) => self.unknown += 1,
            }
        }
        successes.sort_unstable();
        let gaps = successes.windows(2).map(|pair| pair[1] - pair[0]);
        self.longest_gap = Duration::from_nanos(gaps.max().unwrap_or(0));
    }

    pub(super) fn skipped(mut self) -> Report {
        self.skipped = true;
        self
    }

    pub(crate) fn end(&self) -> Result {
        if self.is_bad() {
            Result::Failed
        } else if self.skipped {
            Result::Skipped
        } else {
            Result::Passed
        }
    }

    pub(super) fn is_bad(&self) -> bool {
        self.problems().next().is_some() || self.verdicts.iter().any(Verdict::is_bad)
    }

    fn problems(&self) -> impl Iterator<Item = &String> {
        self.problems.iter().chain(&self.misdeeds)
    }

    /// Says what came of it, and keeps or removes what the run has left.
    pub(super) fn finish(mut self, schedule: &Schedule, folder: &Path) -> Report {
        if self.is_bad() {
            self.kept = Some(folder.to_owned());
            let text = self.findings().join("\n") + "\n";
            drop(std::fs::write(folder.join("verdicts.txt"), text));
            say(&format!("FAILED: {} with {}", self.nemesis, self.workload));
            self.findings().iter().for_each(|line| say(&format!("  {line}")));
            say(&artifacts::how_to_go_on(schedule, folder));
        } else {
            drop(std::fs::remove_dir_all(folder));
        }
        say(&self.row());
        self
    }

    /// Says what came of a run with a deliberate mistake, and removes what the run has left.
    pub(super) fn of_a_bug(self, folder: &Path) -> Report {
        let verdicts = self.verdicts.iter().filter(|verdict| verdict.is_bad());
        let problems = self.problems().map(|problem| format!("problem: {problem}"));
        let lines = problems.chain(verdicts.map(ToString::to_string));
        lines.for_each(|line| say(&format!("  {line}")));
        drop(std::fs::remove_dir_all(folder));
        say(&self.row());
        self
    }

    /// Who says that quorumgate did wrong. That a run did not show enough is not that, nor is what
    /// went wrong with the faults.
    pub(crate) fn caught_by(&self) -> BTreeSet<String> {
        let mut by: BTreeSet<String> = self
            .verdicts
            .iter()
            .filter(|verdict| matches!(verdict.result, Finding::Fail(_)))
            .map(|verdict| verdict.property.to_owned())
            .filter(|property| property != checkers::COVERAGE)
            .collect();
        if !self.misdeeds.is_empty() {
            by.insert("the runner".to_owned());
        }
        by
    }

    fn findings(&self) -> Vec<String> {
        let problems = self.problems().map(|problem| format!("problem: {problem}"));
        let verdicts = self.verdicts.iter().map(ToString::to_string);
        problems.chain(verdicts).collect()
    }

    /// What the columns of `row` are.
    pub(crate) fn heading() -> String {
        let names =
            ["nemesis", "workload", "ok", "rejected", "unknown", "leaders", "gap ms", "heal ms"];
        let [nemesis, workload, rest @ ..] = names;
        let rest: Vec<String> = rest.iter().map(|name| format!("{name:>8}")).collect();
        format!("{nemesis:<19} {workload:<12} {}  verdicts", rest.join(" "))
    }

    /// One line of the table.
    pub(crate) fn row(&self) -> String {
        let heal =
            self.healed.as_ref().map_or_else(|_| "never".to_owned(), |t| t.as_millis().to_string());
        let numbers = [self.ok, self.rejected, self.unknown, self.leader_changes];
        let mut cells: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        cells.extend([self.longest_gap.as_millis().to_string(), heal]);
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>8}")).collect();
        format!(
            "{:<19} {:<12} {}  {}",
            self.nemesis,
            self.workload,
            cells.join(" "),
            self.verdict()
        )
    }

    fn verdict(&self) -> String {
        let count = |wanted: fn(&Finding) -> bool| {
            self.verdicts.iter().filter(|verdict| wanted(&verdict.result)).count()
        };
        let passed = count(|finding| *finding == Finding::Pass);
        let skipped = count(|finding| matches!(finding, Finding::Skipped(_)));
        let lacking: Vec<&str> = self.lacking.iter().map(String::as_str).collect();
        match self.end() {
            Result::Skipped => format!("SKIPPED: needs {}", lacking.join(", ")),
            Result::Failed => {
                let bad = count(|finding| !matches!(finding, Finding::Pass | Finding::Skipped(_)));
                format!("FAILED: {bad} checks, {} problems", self.problems().count())
            }
            Result::Passed => {
                let mut parts = vec![format!("{passed} pass, {skipped} not meant")];
                if !lacking.is_empty() {
                    parts.push(format!("skipped for want of {}", lacking.join(", ")));
                }
                if let Some(why) = &self.no_namespaces {
                    parts.push(format!("on loopback for want of {why}"));
                }
                parts.join("; ")
            }
        }
    }
}
