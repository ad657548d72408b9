//! Asking replicas over HTTP, one after the other until one answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Failure;
use super::args::Invocation;

/// How long a connection may take to be made, unless all may take less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer that is not a file.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Where a replica serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// As it was given, for people.
    pub(crate) shown: String,
    /// `host:port`.
    pub(crate) authority: String,
    /// In front of every path.
    pub(crate) prefix: String,
}

impl Endpoint {
    /// Reads `http://host:port/prefix`; the scheme, the port and the prefix may be left out.
    pub(crate) fn parse(url: &str) -> Result<Endpoint, String> {
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err("https is not supported; use http".to_owned()),
            Some(_) => return Err("must begin with http://".to_owned()),
            None => url,
        };
        let parsed: http::Uri = format!("http://{rest}").parse().map_err(|err| format!("{err}"))?;
        let authority = parsed.authority().filter(|_| parsed.query().is_none());
        let authority = authority.filter(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        let authority = authority.ok_or("must be like http://host:9091")?;
        Ok(Endpoint {
            shown: format!("http://{rest}"),
            authority: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            prefix: parsed.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// An answer with its body still to come.
pub(super) struct Opened {
    pub(super) endpoint: Endpoint,
    pub(super) response: Response<Incoming>,
    timeout: Duration,
    connection: AbortHandle,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A complete answer.
pub(crate) struct Told {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Opened {
    /// The next bytes of the body; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = timeout(self.timeout, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| format!("nothing for {:?}", self.timeout))?;
            match frame.transpose().map_err(|err| told(&err))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn read(mut self) -> Result<Told, String> {
        let mut body = Vec::new();
        while let Some(data) = self.next().await? {
            body.extend_from_slice(&data);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
        }
        let status = self.response.status();
        Ok(Told { endpoint: self.endpoint.clone(), status, body })
    }
}

impl Told {
    /// The first line of the body.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The refusal that this answer is.
    pub(super) fn refused(&self) -> Failure {
        let text = match self.status {
            StatusCode::NOT_FOUND => {
                "the admin API is off there: start the replica with --web.enable-admin-api (or the \
                 URL lacks its route prefix)"
                    .to_owned()
            }
            status if self.body.is_empty() => format!("answered {status}"),
            _ => self.text(),
        };
        Failure::Refused { endpoint: self.endpoint.shown.clone(), text }
    }
}

/// Why an endpoint gave no answer.
enum Silent {
    /// It was not asked, even.
    Unconnected(String),
    /// It was asked.
    Unanswered(String),
}

fn told(err: &hyper::Error) -> String {
    let source = std::error::Error::source(err).map(|source| format!(": {source}"));
    format!("{err}{}", source.unwrap_or_default())
}

async fn open(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    wait: Duration,
) -> Result<Opened, Silent> {
    let unconnected = |why: String| Silent::Unconnected(format!("{}: {why}", endpoint.shown));
    let unanswered = |why: String| Silent::Unanswered(format!("{}: {why}", endpoint.shown));
    let connected = timeout(wait.min(CONNECT_TIMEOUT), TcpStream::connect(&endpoint.authority));
    let stream = connected.await.map_err(|_| unconnected("no connection in time".to_owned()))?;
    let stream = stream.map_err(|err| unconnected(err.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|err| unconnected(told(&err)))?;
    let connection = tokio::spawn(connection).abort_handle();
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.prefix))
        .header(HOST, &endpoint.authority)
        .body(Empty::<Bytes>::new())
        .map_err(|err| unconnected(err.to_string()))?;
    let response = timeout(wait, sender.send_request(request)).await;
    let response = response.map_err(|_| unanswered(format!("no answer within {wait:?}")))?;
    let response = response.map_err(|err| unanswered(told(&err)))?;
    Ok(Opened { endpoint: endpoint.clone(), response, timeout: wait, connection })
}

/// Asks one endpoint.
pub(crate) async fn ask(endpoint: &Endpoint, path: &str, wait: Duration) -> Result<Told, String> {
    match open(endpoint, Method::GET, path, wait).await {
        Ok(opened) => opened.read().await.map_err(|err| format!("{}: {err}", endpoint.shown)),
        Err(Silent::Unconnected(why) | Silent::Unanswered(why)) => Err(why),
    }
}

/// Asks one endpoint after the other until one answers, with whatever it has to say; one that cannot
/// serve now is passed over as long as there are others.
pub(super) async fn get(asked: &Invocation, path: &str) -> Result<Opened, Failure> {
    let mut silent = Vec::new();
    for (at, endpoint) in asked.endpoints.iter().enumerate() {
        match open(endpoint, Method::GET, path, asked.timeout).await {
            Ok(opened)
                if opened.response.status() == StatusCode::SERVICE_UNAVAILABLE
                    && at + 1 < asked.endpoints.len() =>
            {
                match opened.read().await {
                    Ok(told) => silent.push(format!("{}: {}", endpoint.shown, told.text())),
                    Err(why) => silent.push(format!("{}: {why}", endpoint.shown)),
                }
            }
            Ok(opened) => return Ok(opened),
            Err(Silent::Unconnected(why) | Silent::Unanswered(why)) => silent.push(why),
        }
    }
    Err(Failure::NoAnswer(silent.join("; ")))
}

/// The rest of an answer.
pub(super) async fn complete(opened: Opened) -> Result<Told, Failure> {
    let shown = opened.endpoint.shown.clone();
    opened.read().await.map_err(|why| Failure::NoAnswer(format!("{shown}: {why}")))
}

/// The same, complete.
pub(super) async fn read(asked: &Invocation, path: &str) -> Result<Told, Failure> {
    complete(get(asked, path).await?).await
}

/// Has the first endpoint that can be reached do something.
pub(super) async fn put(asked: &Invocation, path: &str) -> Result<Told, Failure> {
    let mut silent = Vec::new();
    for endpoint in &asked.endpoints {
        match open(endpoint, Method::PUT, path, asked.timeout).await {
            Ok(opened) => {
                let answer = opened.read().await;
                return answer
                    .map_err(|why| Failure::Unknown(format!("{}: {why}", endpoint.shown)));
            }
            Err(Silent::Unconnected(why)) => silent.push(why),
            Err(Silent::Unanswered(why)) => return Err(Failure::Unknown(why)),
        }
    }
    Err(Failure::NoAnswer(silent.join("; ")))
}

/// The `data` of an answer of the API.
pub(crate) fn data(told: &Told) -> Result<Value, Failure> {
    let strange = |text: String| Failure::Refused { endpoint: told.endpoint.shown.clone(), text };
    if told.status != StatusCode::OK {
        return Err(strange(format!("answered {}: {}", told.status, told.text())));
    }
    let mut document: Value = serde_json::from_slice(&told.body)
        .map_err(|err| strange(format!("its answer is not quorumgate's: {err}")))?;
    Ok(document.get_mut("data").map(Value::take).unwrap_or_default())
}
