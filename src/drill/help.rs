//! The text of `drill --help`, derived from the table of flags.

use super::args::FLAGS;
use crate::ctl::help::{flags, wrap};

const ABOUT: &str = "\
Rehearse a failover: push and scrape at a steady rate, have a replica go away or the lead change, \
and see what clients notice. Every push goes to a group of its own (job quorumgate_drill, removed \
at the end) with a value of its own, and every acknowledged one is looked for afterwards, at every \
endpoint.";

/// Command lines to begin with.
pub(super) const EXAMPLES: &[&str] = &[
    "drill --local 3 --fault kill --rounds 10 --html drill.html",
    "drill --endpoint gate-0:9091,gate-1:9091,gate-2:9091",
    "drill --endpoint http://gate:9091 --fault manual --wait 5m",
    "drill --local 3 --fault all --json drill.json --max-gap 1s",
];

const COMMAND: &str = "
  quorumgate drill --endpoint http://gate:9091 \\
    --fault-command 'kubectl delete pod \"$QUORUMGATE_DRILL_LEADER\" --force' \\
    --max-failed 100 --wait 5m --quiet --json drill.json
";

const EXIT_CODES: &str = "\
Exit codes:
  0  passed
  1  failed: a threshold was exceeded, replicas are not what they should be,
     or a round after the first could not be run
  2  bad usage, or the drill could not be run
";

/// All of it.
pub(super) fn text() -> String {
    let mut text = "usage: quorumgate drill [<flags>]\n\n".to_owned();
    wrap(&mut text, ABOUT, 0);
    text.push_str("\nFlags:\n");
    flags(&mut text, FLAGS.iter());
    text.push_str("\nExamples:\n");
    for example in EXAMPLES {
        text.push_str("  quorumgate ");
        text.push_str(example);
        text.push('\n');
    }
    text.push_str(COMMAND.trim_start_matches('\n'));
    text.push('\n');
    text.push_str(EXIT_CODES);
    text
}
