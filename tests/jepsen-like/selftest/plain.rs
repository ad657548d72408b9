//! What needs no chance: files, parsing, what answers mean.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::Failed;
use super::simulate::{Script, Style, simulate};
use crate::checkers::Evidence;
use crate::client::perform;
use crate::history::{Action, Cell, History, MIXED, Outcome};
use crate::ledger;
use crate::workload::Kind;

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn text(err: std::io::Error) -> Failed {
    err.to_string()
}

/// What became of an action, and value and series of all cells that a scrape showed.
type Told = (Outcome, Option<Vec<(u64, u32)>>);

fn same<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Result<(), Failed> {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} is not {wanted:?}")) }
}

/// A history and its evidence survive being written.
pub(super) fn files() -> Result<(), Failed> {
    let style = Style::Mix;
    let script = Script {
        style,
        seed: 1,
        clients: 4,
        ops_per_client: 20,
        groups: 2,
        unknown: 10,
        repeated: 10,
        relayed: 10,
    };
    let (history, evidence) = simulate(&script);
    let folder = tempfile::tempdir().map_err(text)?;
    let (ops, rest) = (folder.path().join("history"), folder.path().join("evidence"));
    history.write(&ops).map_err(text)?;
    evidence.write(&rest).map_err(text)?;
    same(&History::read(&ops).map_err(text)?, &history)?;
    same(&Evidence::read(&rest).map_err(text)?, &evidence)
}

/// Every kind of load is found by its number and by its word.
pub(super) fn kinds() -> Result<(), Failed> {
    for (number, kind) in (1..).zip(Kind::all()) {
        same(&Kind::from_name(&format!("w{number}")), &Some(kind))?;
        same(&Kind::from_name(kind.name()), &Some(kind))?;
    }
    same(&Kind::from_name("W9"), &None)
}

/// Performs an action at a server that gives one answer, whatever is asked.
fn told(action: &Action, answer: &str) -> Result<Told, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let answer = answer.to_owned();
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 4096];
        let _read = stream.read(&mut request)?;
        stream.write_all(answer.as_bytes())
    });
    let told = perform(address, action, Some("key"), "job-1", Duration::from_millis(500));
    server.join().map_err(|_| "the server panicked".to_owned())?.map_err(text)?;
    let cells = told.1.map(|picture| {
        let cells = picture.groups.values().flat_map(|shown| shown.cells.values());
        cells.map(|cell| (cell.value, cell.series)).collect()
    });
    Ok((told.0, cells))
}

const STAMPED: &str =
    "X-Quorumgate-Index: 7\r\nX-Quorumgate-Term: 2\r\nX-Quorumgate-Replica: a\r\n";

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Text\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// What is sure is told from what is not.
pub(super) fn outcomes() -> Result<(), Failed> {
    let cell = Cell { value: 1, series: 1 };
    let put = Action::Put { group: Arc::from("g"), cells: [(Arc::from("a"), cell)].into() };
    let failing = Action::Inconsistent { group: Arc::from("g") };
    let late = "not committed within the deadline; it is unknown whether it will take effect";
    let cases = [
        (&put, answer(200, STAMPED, ""), "ok"),
        (&put, answer(200, "", ""), "unknown"),
        (&put, answer(400, "", "bad"), "rejected"),
        (&put, answer(503, "", "no quorum: nobody leads\n"), "rejected"),
        (&put, answer(503, "", late), "unknown"),
        (&put, answer(503, "", "this replica is shutting down"), "unknown"),
        (&put, answer(500, "", ""), "unknown"),
        (&put, answer(507, "", "disk nearly full"), "rejected"),
        (&put, "HTTP/1.1 200 OK\r\nContent-Le".to_owned(), "unknown"),
        (&put, String::new(), "unknown"),
        (&failing, answer(400, STAMPED, "inconsistent"), "ok"),
        (&failing, answer(400, "", "bad"), "rejected"),
        (&failing, answer(200, STAMPED, ""), "unknown"),
    ];
    for (action, answer, wanted) in cases {
        let found = match told(action, &answer)?.0 {
            Outcome::Ok(_) => "ok",
            Outcome::Rejected(_) => "rejected",
            Outcome::Unknown(_) => "unknown",
        };
        same(&(found, &answer), &(wanted, &answer))?;
    }
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let refused = perform(nobody, &put, None, "job-1", Duration::from_millis(500)).0;
    same(&matches!(refused, Outcome::Rejected(_)), &true)
}

/// A bug that nobody can hunt is refused: to find nothing of it would look like a success.
pub(super) fn bugs() -> Result<(), Failed> {
    let unknown = |names: &[&str]| {
        ledger::unknown(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    same(&unknown(&[]), &None)?;
    same(&unknown(&["local-read", "no-dedupe"]), &None)?;
    let why = unknown(&["local-read", "local-reads"]).unwrap_or_default();
    same(&why.starts_with("no bug local-reads; there are local-read, "), &true)
}

/// A scrape is read by job, and a family whose series disagree is noticed.
pub(super) fn scrapes() -> Result<(), Failed> {
    let body = "# TYPE a untyped\n\
                a{group=\"g1\",instance=\"\",job=\"job-1\"} 9.007199254740991e+15\n\
                a{group=\"g1\",instance=\"\",job=\"job-2\"} 5\n\
                a{group=\"g2\",instance=\"\",job=\"job-1\",n=\"0\"} 4\n\
                a{group=\"g2\",instance=\"\",job=\"job-1\",n=\"1\"} 4\n\
                a{group=\"g3\",instance=\"\",job=\"job-1\",n=\"0\"} 4\n\
                a{group=\"g3\",instance=\"\",job=\"job-1\",n=\"1\"} 5\n\
                push_time_seconds{group=\"g1\",instance=\"\",job=\"job-1\"} 1.7e+09\n";
    let (outcome, cells) = told(&Action::Scrape, &answer(200, STAMPED, body))?;
    same(&matches!(outcome, Outcome::Ok(_)), &true)?;
    same(&cells, &Some(vec![((1 << 53) - 1, 1), (4, 2), (MIXED, 2)]))
}
