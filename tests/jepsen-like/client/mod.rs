//! Sends operations and says what became of them.

mod http;
mod scrape;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::history::{Action, Cells, Outcome, Picture, Refusal, Stamp};
use http::{Answer, Ask, Lost};

/// Bytes that pad each series of a large family, so that bodies are large and parsing is not all.
const PADDING: usize = 360;

/// How refusals begin that were made before anything was proposed. Any other 503 says nothing about
/// the fate of a change.
const NOT_PROPOSED: [&str; 2] = ["no quorum: ", "this replica is not part of a cluster yet: "];
/// The same for refusals of a replica that is busy.
const BUSY: [&str; 2] = ["requests are being served already", "the bodies of all current requests"];

/// Performs one action at one replica.
pub(crate) fn perform(
    to: SocketAddr,
    action: &Action,
    key: Option<&str>,
    job: &str,
    patience: Duration,
) -> (Outcome, Option<Arc<Picture>>) {
    let path = |group: &str| format!("/metrics/job/{job}/group/{group}");
    let (method, target, body) = match action {
        Action::Put { group, cells } => ("PUT", path(group), body_of(cells)),
        Action::Post { group, cells } => ("POST", path(group), body_of(cells)),
        Action::Delete { group } => ("DELETE", path(group), String::new()),
        Action::Inconsistent { group } => ("POST", path(group), "twice 1\ntwice 2\n".to_owned()),
        Action::Wipe => ("PUT", "/api/v1/admin/wipe".to_owned(), String::new()),
        Action::Scrape => ("GET", "/metrics".to_owned(), String::new()),
    };
    let ask = Ask { method, target: &target, key, body: body.as_bytes() };
    match http::exchange(to, &ask, patience) {
        Ok(answer) => told(action, &answer, job),
        Err(Lost::NotSent(err)) => (Outcome::Rejected(without_answer(&err)), None),
        Err(Lost::Sent(err)) => (Outcome::Unknown(without_answer(&err)), None),
    }
}

fn without_answer(err: &std::io::Error) -> Refusal {
    Refusal { status: None, detail: err.to_string() }
}

/// A push in the text format. All series of a family have its value.
fn body_of(cells: &Cells) -> String {
    let mut body = String::new();
    let pad = "x".repeat(PADDING);
    for (family, cell) in cells {
        for number in 0..cell.series {
            body.push_str(family);
            if cell.series > 1 {
                body.extend(["{n=\"", &number.to_string(), "\",pad=\"", &pad, "\"}"]);
            }
            body.extend([" ", &cell.value.to_string(), "\n"]);
        }
    }
    body
}

/// What an answer means.
fn told(action: &Action, answer: &Answer, job: &str) -> (Outcome, Option<Arc<Picture>>) {
    let detail: String = answer.text().trim_end().chars().take(200).collect();
    let refusal = |detail| Refusal { status: Some(answer.status), detail };
    let success = match action {
        Action::Scrape | Action::Put { .. } | Action::Post { .. } => 200,
        Action::Delete { .. } | Action::Wipe => 202,
        Action::Inconsistent { .. } => 400,
    };
    if answer.status == success {
        let Some(stamp) = stamp(answer) else {
            // A 400 without a position was not committed.
            let refused = answer.status == 400;
            let outcome = if refused { Outcome::Rejected } else { Outcome::Unknown };
            return (outcome(refusal(detail)), None);
        };
        if *action != Action::Scrape {
            return (Outcome::Ok(stamp), None);
        }
        return match scrape::parse(&answer.body, job) {
            Ok(picture) => (Outcome::Ok(stamp), Some(Arc::new(picture))),
            Err(text) => (Outcome::Unknown(refusal(text)), None),
        };
    }
    let begins = |texts: &[&str]| texts.iter().any(|text| detail.starts_with(text));
    let busy = BUSY.iter().any(|text| detail.contains(text));
    let sure = match answer.status {
        503 => begins(&NOT_PROPOSED) || busy,
        // Nothing was proposed, or what was proposed was over a limit and changed nothing.
        400..=499 | 507 => true,
        _ => false,
    };
    let outcome = if sure { Outcome::Rejected } else { Outcome::Unknown };
    (outcome(refusal(detail)), None)
}

fn stamp(answer: &Answer) -> Option<Stamp> {
    let number = |name: &str| answer.header(name)?.parse().ok();
    Some(Stamp {
        index: number("X-Quorumgate-Index")?,
        term: number("X-Quorumgate-Term")?,
        replica: answer.header("X-Quorumgate-Replica")?.to_owned(),
    })
}
