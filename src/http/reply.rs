//! Answers: the body type, and the few shapes that almost all answers have.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// An answer of this edge.
pub(super) type Reply = Response<ReplyBody>;

pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Bytes up to which small pieces are copied together into one frame.
const FRAME_BYTES: usize = 64 << 10;
/// Bytes from which a piece is sent as it is.
const WHOLE_FRAME_MIN: usize = 16 << 10;

/// A body that is sent frame by frame, of known length unless some frames are still to be made. Small
/// pieces are put together only when their turn comes, so that the room is used again and a scrape
/// does not take its whole length.
#[derive(Default)]
pub(crate) struct ReplyBody {
    frames: VecDeque<Bytes>,
    unsent_bytes: u64,
    /// Frames that are made while others are sent; `None` once there are no more.
    later: Option<mpsc::Receiver<Bytes>>,
    held: Vec<Held>,
    /// No length is announced; for the answer to HEAD of what has a body for GET.
    length_unsaid: bool,
}

/// Something that must stay taken until the body is sent.
pub(super) type Held = Box<dyn std::any::Any + Send>;

impl ReplyBody {
    /// A body of these frames.
    pub(super) fn new(frames: Vec<Bytes>) -> ReplyBody {
        let unsent_bytes = frames.iter().map(|frame| frame.len() as u64).sum();
        ReplyBody { frames: frames.into(), unsent_bytes, ..ReplyBody::default() }
    }

    /// The next piece, or as many small ones as make a frame. Empty at the end.
    fn next_frame(&mut self) -> Bytes {
        let first = loop {
            match self.frames.pop_front() {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => break piece,
                None => return Bytes::new(),
            }
        };
        let fits = |len: usize, piece: &mut Bytes| {
            piece.len() < WHOLE_FRAME_MIN && len + piece.len() <= FRAME_BYTES
        };
        if first.len() >= WHOLE_FRAME_MIN || self.frames.is_empty() {
            return first;
        }
        let room = usize::try_from(self.unsent_bytes).unwrap_or(usize::MAX).min(FRAME_BYTES);
        let mut frame = Vec::with_capacity(room);
        frame.extend_from_slice(&first);
        while let Some(piece) = self.frames.pop_front_if(|piece| fits(frame.len(), piece)) {
            frame.extend_from_slice(&piece);
        }
        frame.into()
    }

    /// Keeps `held` until the body has been sent or given up.
    pub(super) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.next_frame();
        if !data.is_empty() {
            self.unsent_bytes -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(later) = &mut self.later else { return Poll::Ready(None) };
        let frame = std::task::ready!(later.poll_recv(context));
        if frame.is_none() {
            self.later = None;
        }
        Poll::Ready(frame.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.unsent_bytes == 0 && self.later.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.length_unsaid || self.later.is_some() {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.unsent_bytes)
        }
    }
}

/// No body and no content type.
pub(super) fn empty(status: StatusCode) -> Reply {
    with_frames(status, None, Vec::new())
}

/// A body of some media type.
pub(super) fn with_frames(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    frames: Vec<Bytes>,
) -> Reply {
    let mut reply = Response::new(ReplyBody::new(frames));
    *reply.status_mut() = status;
    if let Some(content_type) = content_type {
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    reply
}

/// A body that is made while it is sent.
pub(super) fn streamed(status: StatusCode, later: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = Response::new(ReplyBody { later: Some(later), ..ReplyBody::default() });
    *reply.status_mut() = status;
    reply
}

/// A line of text to be shown as it is, as upstream sends its errors.
pub(super) fn line(status: StatusCode, text: &str) -> Reply {
    let mut reply = with_frames(status, Some(TEXT), vec![Bytes::from(format!("{text}\n"))]);
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// A few words without a line break, as upstream sends them for its own management.
pub(super) fn words(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    with_frames(status, Some(TEXT), vec![text.into()])
}

/// Sends the client to another place; browsers are shown a link, too.
pub(super) fn redirect(status: StatusCode, location: &str, method: &Method) -> Reply {
    let mut reply = if *method == Method::GET {
        let reason = status.canonical_reason().unwrap_or_default();
        let link = format!("<a href=\"{}\">{reason}</a>.\n\n", escape_html(location));
        with_frames(status, Some(HTML), vec![Bytes::from(link)])
    } else if *method == Method::HEAD {
        let mut reply = with_frames(status, Some(HTML), Vec::new());
        reply.body_mut().length_unsaid = true;
        reply
    } else {
        empty(status)
    };
    set_text(reply.headers_mut(), http::header::LOCATION, location);
    reply
}

/// Sets a header whose value is computed; the few bytes that no header may hold become `?`.
pub(super) fn set_text(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("?"));
    headers.insert(name, value);
}

/// The headers that let pages of other origins use the API.
pub(super) fn allow_other_origins(reply: &mut Reply) {
    use http::header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    };
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The body's bytes.
    pub(in crate::http) fn body(reply: Reply) -> String {
        String::from_utf8(Vec::from(reply.into_body().frames).concat()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_with_a_link_for_browsers() {
        let reply = redirect(StatusCode::MOVED_PERMANENTLY, "/a?x=<1>&'\"", &Method::GET);
        assert_eq!(reply.headers()["location"], "/a?x=<1>&'\"");
        assert_eq!(reply.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(
            testing::body(reply),
            "<a href=\"/a?x=&lt;1&gt;&amp;&#39;&#34;\">Moved Permanently</a>.\n\n"
        );
        let reply = redirect(StatusCode::MOVED_PERMANENTLY, "/a", &Method::HEAD);
        assert_eq!(reply.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(reply.body().size_hint().exact(), None);
        let reply = redirect(StatusCode::TEMPORARY_REDIRECT, "/a", &Method::PUT);
        assert!(!reply.headers().contains_key("content-type"));
        assert_eq!(reply.body().size_hint().exact(), Some(0));
    }

    #[test]
    fn sends_what_is_made_meanwhile() {
        let (sender, later) = mpsc::channel(2);
        let mut body = streamed(StatusCode::OK, later).into_body();
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        sender.try_send("ab".into()).unwrap();
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
            panic!("no frame");
        };
        assert_eq!(frame.into_data().unwrap(), "ab");
        drop(sender);
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
        assert!(body.is_end_stream());
    }

    #[test]
    fn knows_its_length() {
        let large = Bytes::from(vec![b'x'; WHOLE_FRAME_MIN]);
        let pieces = ["", "ab", "", "c"].map(Bytes::from);
        let mut body = ReplyBody::new(
            [&pieces[..], std::slice::from_ref(&large), &vec!["d".into(); FRAME_BYTES + 1]]
                .concat(),
        );
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut frames = Vec::new();
        assert_eq!(body.size_hint().exact(), Some((3 + WHOLE_FRAME_MIN + FRAME_BYTES + 1) as u64));
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
            frames.push(frame.into_data().unwrap());
        }
        assert_eq!(
            frames,
            ["abc".into(), large, "d".repeat(FRAME_BYTES).into(), "d".into()] as [Bytes; 4]
        );
        assert!(body.is_end_stream());
        assert!(ReplyBody::new(vec![Bytes::new()]).is_end_stream());
    }
}
