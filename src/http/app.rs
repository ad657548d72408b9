//! From a request to its answer: the order of checks, and what every answer has in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, CONNECTION, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::{BodyReader, RequestBody};
use super::budget::{Budget, Lease};
use super::conn::InProgress;
use super::error::ApiError;
use super::reply::{self, Reply};
use super::router::{Decision, GroupVerb, Route, Router};
use super::{
    Options, admin, api_v1, cluster, consistency, delete, lifecycle, observe, push, scrape,
    status_page,
};
use crate::raft::{Applied, Reading, Replica};
use crate::telemetry::{Metrics, Refusal};

const INDEX: HeaderName = HeaderName::from_static("x-quorumgate-index");
const TERM: HeaderName = HeaderName::from_static("x-quorumgate-term");
/// Seconds.
const STALENESS: HeaderName = HeaderName::from_static("x-quorumgate-staleness");
const REPLICA: HeaderName = HeaderName::from_static("x-quorumgate-replica");

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    edge: Arc<Edge>,
}

/// How a request came in; travels with it as an extension.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    /// Keeps the connection counted as busy until the answer is sent.
    pub(super) in_progress: Arc<InProgress>,
}

/// What all requests share.
pub(super) struct Edge {
    pub(super) options: Options,
    pub(super) replica: Replica,
    pub(super) metrics: Metrics,
    quit: CancellationToken,
    router: Router,
    bodies: Budget,
    answers: Budget,
    requests: Arc<Semaphore>,
    /// Large bodies are parsed by as many threads as there are processors, not by all at once.
    parsers: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// What kinds of scrapes are worth a cache.
    pub(super) demand: scrape::Demand,
}

/// Who asks for what, without the body.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) parts: &'a Parts,
    pub(super) peer: SocketAddr,
}

/// Where in the log an answer stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) index: u64,
    pub(super) term: u64,
    /// How old it can be at most, if it may be old at all.
    pub(super) age: Option<Duration>,
}

impl Position {
    pub(super) fn of(reading: &Reading) -> Position {
        Position { index: reading.index, term: reading.term, age: reading.age }
    }

    pub(super) fn after(applied: &Applied) -> Position {
        Position { index: applied.index, term: applied.term, age: None }
    }
}

impl App {
    pub(super) fn new(
        options: Options,
        replica: Replica,
        metrics: Metrics,
        quit: CancellationToken,
    ) -> App {
        let Options { route_prefix, telemetry_path, enable_admin_api, limits, .. } = &options;
        let edge = Edge {
            router: Router::new(route_prefix, telemetry_path, *enable_admin_api),
            bodies: Budget::of_bodies(limits),
            answers: Budget::of_answers(limits),
            requests: semaphore(limits.concurrent_requests),
            parsers: semaphore(std::thread::available_parallelism().map_or(1, usize::from)),
            connections: semaphore(limits.connections),
            demand: scrape::Demand::default(),
            options,
            replica,
            metrics,
            quit,
        };
        App { edge: Arc::new(edge) }
    }

    /// A place for one more connection, if there is one; all listeners share them.
    pub(super) fn connection_slot(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.edge.connections).try_acquire_owned()
    }

    /// The app as a service. All routes are one fallback: upstream's routes have rules of their own
    /// for redirects, methods and encoded separators, which `router` decides.
    pub(super) fn routes(&self) -> axum::Router {
        axum::Router::new().fallback(answer).with_state(self.clone())
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.edge.metrics
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<RequestBody>, peer: SocketAddr) -> Reply {
        let edge = &*self.edge;
        let in_flight = edge.metrics.request_in_flight();
        let (parts, body) = request.into_parts();
        let announced = body.size_hint().exact();
        let mut body = BodyReader::new(body, &parts.headers, &edge.options.limits, &edge.bodies);
        let call = Call { parts: &parts, peer };

        let mut reply = match edge.head_fault(&parts) {
            Some(reply) => reply,
            None => edge.route_and_answer(call, &mut body, announced).await,
        };
        body.dismiss();
        // Whoever keeps the connection would be cut off in the end; told so, it goes elsewhere in time.
        // HTTP/2 has no such header, and is told when the listeners close.
        if edge.replica.is_stopping() && parts.version < Version::HTTP_2 {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply.body_mut().hold(Box::new(in_flight));
        reply
    }
}

async fn answer(State(app): State<App>, mut request: Request<RequestBody>) -> Response {
    let Some(Arrival { peer, in_progress }) = request.extensions_mut().remove::<Arrival>() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut reply = app.answer(request, peer).await;
    reply.body_mut().hold(Box::new(in_progress));
    reply.map(axum::body::Body::new)
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

impl Edge {
    /// The answer to a header block that HTTP or our limit forbids.
    fn head_fault(&self, request: &Parts) -> Option<Reply> {
        let max = self.options.limits.header_bytes as u64;
        if observe::head_bytes(request) > max {
            self.metrics.observe_refusal(Refusal::Header);
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(closing(status, "431 Request Header Fields Too Large"));
        }
        // HTTP/1.1 wants exactly one.
        match request.headers.get_all(HOST).iter().count() {
            0 if request.version == Version::HTTP_11 => {
                Some(bad_request("400 Bad Request: missing required Host header"))
            }
            0 | 1 => None,
            _ => Some(bad_request("400 Bad Request: too many Host headers")),
        }
    }

    async fn route_and_answer(
        &self,
        call: Call<'_>,
        body: &mut BodyReader<'_>,
        announced_body: Option<u64>,
    ) -> Reply {
        let started = Instant::now();
        let Parts { method, uri, .. } = call.parts;
        let routed = self.router.route(method.as_str(), uri.path(), uri.query());
        // Whoever watches the process must get an answer when it is busy, too.
        let exempt = matches!(routed.decision, Decision::Handle(Route::Healthy | Route::Ready));
        let handled = matches!(routed.decision, Decision::Handle(_)) && !exempt;
        let reads_body = routed.decodes_body && body.is_gzip();
        // Taken before the first byte of a body is read, so that it bounds those who hold some.
        let slot = Arc::clone(&self.requests).try_acquire_owned().ok();
        let overloaded = slot.is_none() && (handled || reads_body);
        if !overloaded
            && reads_body
            && let Err(error) = body.check_gzip_header().await
        {
            return self.refuse(call, &error);
        }
        let route = match routed.decision {
            Decision::Handle(route) => route,
            _ if overloaded => return self.overload(call),
            other => return undirected(other, method),
        };
        let mut reply = if overloaded {
            self.overload(call)
        } else {
            self.dispatch(call, body, &route)
                .await
                .unwrap_or_else(|error| self.refuse(call, &error))
        };
        reply.body_mut().hold(Box::new(slot));
        if let Some(handler) = observe::handler(&route) {
            self.metrics.observe_request(handler, method.as_str(), reply.status().as_u16());
        }
        if let Route::Group(group) = &route
            && group.verb != GroupVerb::Delete
        {
            let bytes = observe::approximate_bytes(call.parts, announced_body);
            self.metrics.observe_push(method.as_str(), bytes, started.elapsed());
        }
        reply
    }

    fn overload(&self, call: Call<'_>) -> Reply {
        self.refuse(call, &ApiError::Overload(self.options.limits.concurrent_requests))
    }

    async fn dispatch(
        &self,
        call: Call<'_>,
        body: &mut BodyReader<'_>,
        route: &Route,
    ) -> Result<Reply, ApiError> {
        let query = call.parts.uri.query();
        match route {
            Route::Scrape => scrape::scrape(self, call.parts).await,
            Route::OwnMetrics => scrape::own_metrics(self, call.parts).await,
            Route::Group(group) if group.verb == GroupVerb::Delete => {
                delete::delete(self, call, group).await
            }
            Route::Group(group) => push::push(self, call, body, group).await,
            Route::Healthy => Ok(lifecycle::healthy(&self.replica.health())),
            Route::Ready => Ok(lifecycle::ready(&self.replica.health(), query)),
            Route::Quit => Ok(self.quit(call)),
            Route::QuitHelp => Ok(lifecycle::quit_help()),
            Route::StatusPage => status_page::status_page(self, query).await,
            Route::StaticFile => Ok(not_found()),
            Route::Pprof => Ok(lifecycle::pprof()),
            Route::ApiStatus => Ok(api_v1::status(&self.options)),
            Route::ApiMetrics => api_v1::metrics(self, query).await,
            Route::ApiCluster => Ok(cluster::status(self)),
            Route::ApiSnapshot => admin::snapshot(self).await,
            Route::ApiMember(verb) => cluster::change(self, *verb, query).await,
            Route::ApiOptions => Ok(api_v1::options()),
            Route::ApiWipe => admin::wipe(self, call).await,
        }
    }

    fn quit(&self, call: Call<'_>) -> Reply {
        if self.options.enable_lifecycle {
            tracing::warn!(source = %call.peer, "received termination request via web service, exiting gracefully");
            self.quit.cancel();
        }
        lifecycle::quit(self.options.enable_lifecycle)
    }

    /// Answers with an error, counts it and logs it.
    pub(super) fn refuse(&self, call: Call<'_>, error: &ApiError) -> Reply {
        if let Some(refusal) = error.refusal() {
            self.metrics.observe_refusal(refusal);
        }
        let (method, source, err) = (&call.parts.method, call.peer, error.text());
        match error {
            ApiError::Internal(_) => tracing::error!(%method, %source, err, "request failed"),
            ApiError::Rejected(_) => tracing::warn!(%method, %source, err, "push rejected"),
            _ => tracing::debug!(%method, %source, err, "request refused"),
        }
        error.reply()
    }

    /// Marks an answer with where it stands and who gave it.
    pub(super) fn stamp(&self, mut reply: Reply, position: Position) -> Reply {
        let headers = reply.headers_mut();
        headers.insert(INDEX, HeaderValue::from(position.index));
        headers.insert(TERM, HeaderValue::from(position.term));
        reply::set_text(headers, REPLICA, &self.replica.name());
        if let Some(age) = position.age {
            reply::set_text(headers, STALENESS, &format!("{:.3}", age.as_secs_f64()));
        }
        reply
    }

    /// What an answer takes of the memory for answers: nothing yet.
    pub(super) fn answer_lease(&self) -> Lease {
        self.answers.lease()
    }

    /// Waits for a turn to parse a large body.
    pub(super) async fn parser_turn(
        &self,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = Arc::clone(&self.parsers).acquire_owned();
        let turn = tokio::time::timeout_at(deadline, turn).await;
        turn.ok().and_then(Result::ok).ok_or(ApiError::OutOfBodyMemory)
    }

    /// The state, as fresh as the request or else the flags want it.
    pub(super) async fn read(&self, query: Option<&str>) -> Result<Reading, ApiError> {
        let consistency = consistency::consistency(query, &self.options)?;
        Ok(self.replica.read(consistency, self.read_deadline()).await?)
    }

    /// When a read that begins now must have its answer from the replica.
    pub(super) fn read_deadline(&self) -> Instant {
        Instant::now() + self.options.read_timeout
    }

    /// The same for a change.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.limits.request_timeout
    }
}

/// Runs what may take long outside the runtime's threads.
pub(super) async fn offload<T: Send + 'static>(
    heavy: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if !heavy {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::Internal(error.to_string()))
}

/// The values of a header that may be sent in several lines, as one list.
pub(super) fn joined(headers: &HeaderMap, name: HeaderName) -> String {
    let values: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}

/// The answer for a request that no handler gets.
fn undirected(decision: Decision, method: &Method) -> Reply {
    match decision {
        Decision::Options { allow } => {
            let mut reply = reply::empty(StatusCode::OK);
            if !allow.is_empty() {
                reply::set_text(reply.headers_mut(), ALLOW, &allow);
            }
            reply
        }
        Decision::Redirect { status, location } => reply::redirect(status, &location, method),
        Decision::MethodNotAllowed { allow } => {
            let mut reply = reply::line(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            reply::set_text(reply.headers_mut(), ALLOW, &allow);
            reply
        }
        Decision::NotFound | Decision::Handle(_) => not_found(),
        Decision::BadRequest => bad_request("400 Bad Request"),
    }
}

fn not_found() -> Reply {
    reply::line(StatusCode::NOT_FOUND, "404 page not found")
}

fn bad_request(text: &'static str) -> Reply {
    closing(StatusCode::BAD_REQUEST, text)
}

fn closing(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = reply::words(status, text);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}
