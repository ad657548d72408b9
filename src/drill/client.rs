//! A client with a connection that it keeps, which can tell whether a request was sent at all.

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::record::{Outcome, Shown};
use crate::ctl::client::Endpoint;
use crate::ctl::one_line;

/// The job of all groups of all drills.
pub(super) const JOB: &str = "quorumgate_drill";
const METRIC: &str = "quorumgate_drill_push";
/// The log index that an answer stands at.
const INDEX: &str = "x-quorumgate-index";

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) index: Option<String>,
    pub(super) body: Bytes,
}

impl Answer {
    /// The first line of the body.
    fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The refusal that this is, in words.
    pub(super) fn said(&self) -> String {
        format!("answered {}: {}", self.status.as_u16(), self.line())
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing was sent.
    NotSent(String),
    /// Something was sent.
    Unanswered(String),
}

impl Lost {
    pub(super) fn why(self) -> String {
        match self {
            Lost::NotSent(why) | Lost::Unanswered(why) => why,
        }
    }
}

/// A client of one endpoint. Connects when first needed, and again after a failure.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    kept: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    async fn open(authority: &str) -> Result<Connection, String> {
        let stream = TcpStream::connect(authority).await.map_err(|err| err.to_string())?;
        stream.set_nodelay(true).map_err(|err| err.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|err| err.to_string())?;
        Ok(Connection { sender, task: tokio::spawn(connection).abort_handle() })
    }
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Client {
        Client { endpoint, kept: None }
    }

    /// Sends a request, and reads the whole answer.
    pub(super) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: String,
        deadline: Instant,
    ) -> Result<Answer, Lost> {
        let body = Bytes::from(body);
        loop {
            let (mut connection, fresh) = self.connection(deadline).await?;
            let request = self.request(&method, path, body.clone()).map_err(Lost::NotSent)?;
            let sent = timeout_at(deadline, connection.sender.try_send_request(request)).await;
            let sent = sent.map_err(|_| Lost::Unanswered("no answer in time".to_owned()))?;
            let response = match sent {
                Ok(response) => response,
                Err(mut err) => {
                    let unsent = err.take_message().is_some();
                    match broken(err.error()) {
                        // The connection was closed while nobody used it.
                        _ if unsent && !fresh => continue,
                        why if unsent => return Err(Lost::NotSent(why)),
                        why => return Err(Lost::Unanswered(why)),
                    }
                }
            };
            let (head, body) = response.into_parts();
            let body = timeout_at(deadline, body.collect()).await;
            let body = body.map_err(|_| Lost::Unanswered("half an answer in time".to_owned()))?;
            let body = body.map_err(|err| Lost::Unanswered(broken(&err)))?.to_bytes();
            let index = head.headers.get(INDEX).and_then(|value| value.to_str().ok());
            let answer = Answer { status: head.status, index: index.map(str::to_owned), body };
            self.kept = Some(connection);
            return Ok(answer);
        }
    }

    /// The connection that is there and works, or a fresh one.
    async fn connection(&mut self, deadline: Instant) -> Result<(Connection, bool), Lost> {
        if let Some(mut kept) = self.kept.take()
            && kept.sender.ready().await.is_ok()
        {
            return Ok((kept, false));
        }
        let opened = timeout_at(deadline, Connection::open(&self.endpoint.authority)).await;
        let opened = opened.map_err(|_| Lost::NotSent("no connection in time".to_owned()))?;
        opened.map(|connection| (connection, true)).map_err(Lost::NotSent)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.prefix))
            .header(HOST, &self.endpoint.authority)
            .body(Full::new(body))
            .map_err(|err| err.to_string())
    }

    /// Pushes a value to a group; how it ended, and if not well, why.
    pub(super) async fn push(
        &mut self,
        run: &str,
        (group, value): (u64, u64),
        deadline: Instant,
    ) -> (Outcome, Option<String>) {
        let body = format!("# TYPE {METRIC} gauge\n{METRIC} {value}\n");
        let path = group_path(run, group);
        match self.exchange(Method::PUT, &path, body, deadline).await {
            Ok(answer) if answer.status.is_success() => (Outcome::Acknowledged, None),
            Ok(answer) => (judged(answer.status, &answer.line()), Some(answer.said())),
            Err(Lost::NotSent(why)) => (Outcome::Failed, Some(why)),
            Err(Lost::Unanswered(why)) => (Outcome::Unknown, Some(why)),
        }
    }

    /// Scrapes everything; only what is as new as any acknowledged push will do.
    pub(super) async fn scrape(&mut self, deadline: Instant) -> Result<Answer, String> {
        let answer = self.exchange(Method::GET, "/metrics", String::new(), deadline).await;
        let answer = answer.map_err(Lost::why)?;
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(answer.said()) }
    }
}

fn broken(err: &hyper::Error) -> String {
    let source = std::error::Error::source(err).map(|source| format!(": {source}"));
    one_line(&format!("{err}{}", source.unwrap_or_default()))
}

/// The path of a group.
pub(super) fn group_path(run: &str, group: u64) -> String {
    format!("/metrics/job/{JOB}/run/{run}/push/{group}")
}

/// What a refusal says about the push. Whoever did not propose it says so; the rest, also what a
/// proxy says, leaves it open.
pub(super) fn judged(status: StatusCode, text: &str) -> Outcome {
    const NOT_PROPOSED: [&str; 3] = ["no quorum: ", "this replica is ", "the bodies of all "];
    let not_proposed = NOT_PROPOSED.iter().any(|begin| text.starts_with(begin))
        || text.contains("(--limits.concurrent-requests)");
    let refused = status.is_client_error() || status == StatusCode::INSUFFICIENT_STORAGE;
    if refused || status == StatusCode::SERVICE_UNAVAILABLE && not_proposed {
        Outcome::Failed
    } else {
        Outcome::Unknown
    }
}

/// What the groups of a run show in a scrape.
pub(super) fn shown(body: &[u8], run: &str) -> Shown {
    let of_run = format!("run=\"{run}\"");
    let lines = body.split(|byte| *byte == b'\n');
    let ours = lines.filter(|line| line.starts_with(METRIC.as_bytes()));
    let ours = ours.filter_map(|line| std::str::from_utf8(line).ok());
    ours.filter(|line| line.contains(&of_run)).filter_map(group_and_value).collect()
}

fn group_and_value(line: &str) -> Option<(u64, u64)> {
    let (_, rest) = line.split_once(",push=\"")?;
    let (group, rest) = rest.split_once('"')?;
    let value: f64 = rest.rsplit_once(' ')?.1.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what was pushed is a whole number far below 2^53; all else becomes another one"
    )]
    let value = value as u64;
    Some((group.parse().ok()?, value))
}
