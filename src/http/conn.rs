//! A client's connection with every wait bounded: for the next request, for its header block, and
//! for the client to take what is written. hyper can bound only one of these, and would close idle
//! connections with it that clients still want.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{ANSWER_BYTES_PER_SECOND_MIN, CONNECTION_IDLE, Limits};

/// What is going on in a connection, shared between its socket and its requests.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that are not answered completely.
    in_progress: AtomicUsize,
    /// Requests so far; tells the socket that a wait is a new one.
    begun: AtomicU64,
    /// HTTP/2 multiplexes, so reads say nothing about requests; it has pings instead.
    http2: AtomicBool,
    /// Whether the socket gave up on a header block.
    header_too_slow: AtomicBool,
}

/// A request that is being served; dropping it tells the socket that it is done.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Activity>);

impl Activity {
    /// Notes that a request's header block has arrived.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> InProgress {
        if http2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        InProgress(Arc::clone(self))
    }

    /// Whether the connection ended because a header block came too slowly.
    pub(super) fn header_was_too_slow(&self) -> bool {
        self.header_too_slow.load(Ordering::Relaxed)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a read is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The first byte of a request.
    Request,
    /// The rest of a header block.
    Header,
}

/// A socket that gives up on clients that do.
#[derive(Debug)]
pub(super) struct BoundedIo<S> {
    socket: S,
    activity: Arc<Activity>,
    header_timeout: Duration,
    write_timeout: Duration,
    /// What the running read wait is for, and how many requests had begun when it started.
    awaited: Option<(Awaited, u64)>,
    read_timer: Timer,
    write_timer: Timer,
    pace: Pace,
}

/// How fast a client takes its answers, since its newest request began.
#[derive(Debug, Default)]
struct Pace {
    begun: u64,
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// Whether `bytes` more, taken now, come too late; `allowance` is granted to everyone.
    fn is_too_slow(&mut self, bytes: u64, allowance: Duration) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        self.bytes += bytes;
        let granted = self.bytes / u64::from(ANSWER_BYTES_PER_SECOND_MIN);
        now.duration_since(since) > allowance + Duration::from_secs(granted)
    }
}

#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    fn arm(&mut self, after: Duration) {
        let deadline = Instant::now() + after;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            none @ None => *none = Some(Box::pin(sleep_until(deadline))),
        }
        self.armed = true;
    }

    fn disarm(&mut self) {
        self.armed = false;
    }

    /// Whether the time is over; if not, the task is woken when it is.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let sleep = self.sleep.as_mut().filter(|_| self.armed);
        sleep.is_some_and(|sleep| sleep.as_mut().poll(context).is_ready())
    }
}

impl<S> BoundedIo<S> {
    pub(super) fn new(socket: S, activity: Arc<Activity>, limits: &Limits) -> BoundedIo<S> {
        BoundedIo {
            socket,
            activity,
            header_timeout: limits.header_timeout,
            write_timeout: limits.body_timeout,
            awaited: None,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            pace: Pace::default(),
        }
    }

    /// Requests so far, if the next bytes to be read belong to a request that has not begun.
    fn awaits_request(&self) -> Option<u64> {
        let busy = self.activity.http2.load(Ordering::Relaxed)
            || self.activity.in_progress.load(Ordering::Relaxed) > 0;
        (!busy).then(|| self.activity.begun.load(Ordering::Relaxed))
    }

    fn bytes_arrived(&mut self) {
        if let Some(begun) = self.awaits_request()
            && self.awaited != Some((Awaited::Header, begun))
        {
            self.awaited = Some((Awaited::Header, begun));
            self.read_timer.arm(self.header_timeout);
        }
    }

    fn nothing_arrived(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(begun) = self.awaits_request() else {
            self.awaited = None;
            self.read_timer.disarm();
            return Poll::Pending;
        };
        if self.awaited.is_none_or(|(_, since)| since != begun) {
            // Who has just connected has something to say.
            let patience = if begun == 0 { self.header_timeout } else { CONNECTION_IDLE };
            self.awaited = Some((Awaited::Request, begun));
            self.read_timer.arm(patience);
        }
        if !self.read_timer.is_over(context) {
            return Poll::Pending;
        }
        if begun > 0 && self.awaited == Some((Awaited::Request, begun)) {
            // Reads as the end of the connection, since there is nothing wrong with it.
            return Poll::Ready(Ok(()));
        }
        self.activity.header_too_slow.store(true, Ordering::Relaxed);
        timed_out("read")
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            self.write_timer.disarm();
            let begun = self.activity.begun.load(Ordering::Relaxed);
            if begun != self.pace.begun {
                self.pace = Pace { begun, ..Pace::default() };
            }
            let bytes = result.as_ref().map_or(0, |bytes| *bytes as u64);
            let too_slow = self.pace.is_too_slow(bytes, self.write_timeout);
            return if too_slow { timed_out("write") } else { Poll::Ready(result) };
        }
        if !self.write_timer.armed {
            self.write_timer.arm(self.write_timeout);
        }
        if self.write_timer.is_over(context) { timed_out("write") } else { Poll::Pending }
    }
}

fn timed_out<T>(what: &str) -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out"))))
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.socket).poll_read(context, buffer);
        match result {
            Poll::Ready(_) => this.bytes_arrived(),
            Poll::Pending => return this.nothing_arrived(context),
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(context, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    fn bounded(timeout: Duration) -> (DuplexStream, BoundedIo<DuplexStream>, Arc<Activity>) {
        let limits = Limits { header_timeout: timeout, body_timeout: timeout, ..Limits::default() };
        let (client, socket) = duplex(16);
        let activity = Arc::new(Activity::default());
        (client, BoundedIo::new(socket, Arc::clone(&activity), &limits), activity)
    }

    fn short() -> (DuplexStream, BoundedIo<DuplexStream>, Arc<Activity>) {
        bounded(Duration::from_millis(10))
    }

    fn poll_once(io: &mut BoundedIo<DuplexStream>) -> Poll<io::Result<()>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut buffer = [0; 8];
        Pin::new(io).poll_read(&mut context, &mut ReadBuf::new(&mut buffer))
    }

    async fn is_timed_out(io: &mut BoundedIo<DuplexStream>) -> bool {
        let error = io.read_u8().await.unwrap_err();
        error.kind() == io::ErrorKind::TimedOut && io.activity.header_was_too_slow()
    }

    #[test]
    fn a_reader_must_keep_pace() {
        let second = Duration::from_secs(1);
        let mut fast = Pace { begun: 0, since: Instant::now().checked_sub(3 * second), bytes: 0 };
        assert!(!fast.is_too_slow(3 * u64::from(ANSWER_BYTES_PER_SECOND_MIN), second));
        let mut slow = Pace { begun: 0, since: Instant::now().checked_sub(3 * second), bytes: 0 };
        assert!(slow.is_too_slow(1, second));
    }

    #[tokio::test]
    async fn gives_up_on_a_client_that_connects_and_is_silent() {
        let (_client, mut io, _) = short();
        assert!(is_timed_out(&mut io).await);
    }

    #[tokio::test]
    async fn gives_up_on_half_a_header_block() {
        let (mut client, mut io, _) = short();
        client.write_all(b"GE").await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'G');
        assert_eq!(io.read_u8().await.unwrap(), b'E');
        assert!(is_timed_out(&mut io).await);
    }

    #[tokio::test]
    async fn lets_requests_take_their_time_and_connections_rest_between_them() {
        let (mut client, mut io, activity) = short();
        client.write_all(b"G").await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'G');
        let request = activity.begin(false);
        assert!(poll_once(&mut io).is_pending());
        assert_eq!((io.awaited, io.read_timer.armed), (None, false));
        drop(request);
        assert!(poll_once(&mut io).is_pending());
        assert_eq!(io.awaited, Some((Awaited::Request, 1)));
        let deadline = io.read_timer.sleep.as_ref().unwrap().deadline();
        assert!(deadline > Instant::now() + CONNECTION_IDLE / 2);
        // The next request starts over.
        client.write_all(b"G").await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'G');
        assert!(is_timed_out(&mut io).await);
    }

    #[tokio::test]
    async fn does_not_count_a_wait_twice() {
        let (mut client, mut io, activity) = short();
        client.write_all(b"G").await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'G');
        // Served without another look at the socket: the old deadline no longer counts.
        drop(activity.begin(false));
        assert!(poll_once(&mut io).is_pending());
        assert_eq!(io.awaited, Some((Awaited::Request, 1)));
    }

    #[tokio::test]
    async fn leaves_http2_to_its_pings() {
        let (_client, mut io, activity) = short();
        drop(activity.begin(true));
        assert!(poll_once(&mut io).is_pending());
        assert_eq!(io.awaited, None);
    }

    #[tokio::test]
    async fn gives_up_on_a_client_that_takes_no_answer() {
        let (mut client, mut io, _) = short();
        let error = io.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        client.read_exact(&mut [0; 16]).await.unwrap();

        let (_client, mut io, _) = bounded(Duration::from_hours(1));
        io.write_all(&[0; 16]).await.unwrap();
        assert!(!io.write_timer.armed);
    }
}
