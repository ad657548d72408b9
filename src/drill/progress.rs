//! What is said while the drill runs.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::record::Ledger;

/// Speaks on standard error, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) quiet: bool,
}

impl Progress {
    /// What is nice to know.
    pub(super) fn say(self, line: &str) {
        if !self.quiet {
            Progress::insist(line);
        }
    }

    /// What somebody waits for.
    pub(super) fn insist(line: &str) {
        // Nobody may be listening any more; that is no reason to stop.
        drop(writeln!(std::io::stderr(), "{line}"));
    }

    /// Says once a second how a round goes, until the result is dropped.
    pub(super) fn follow(self, ledger: &Arc<Ledger>) -> Following {
        let ledger = Arc::clone(ledger);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.say(&line(&ledger));
            }
        });
        Following(task.abort_handle())
    }
}

fn line(ledger: &Ledger) -> String {
    let ([acknowledged, failed, unknown], last) = ledger.counts();
    let now = ledger.now();
    format!(
        "  {:4.0} s  acknowledged {acknowledged}, failed {failed}, unknown {unknown}; last success \
         {:.1} s ago",
        now.as_secs_f64(),
        now.saturating_sub(last).as_secs_f64(),
    )
}

/// A round that is followed.
pub(super) struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}
