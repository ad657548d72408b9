//! An HTTP/1 client that sends exactly the bytes it is given: odd paths, malformed requests, bodies
//! of any kind. One connection per request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header, its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text, for tests that read text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request in parts, for tests that need nothing odd.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(method, "PUT" | "POST") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends a plain request and insists on an answer.
pub(crate) fn send(addr: SocketAddr, method: &str, target: &str, body: &[u8]) -> Response {
    exchange(addr, &request(method, target, &[], body))
        .unwrap_or_else(|e| panic!("{method} {target} got no answer: {e}"))
}

/// Sends raw bytes and reads one answer. An error means that the server closed the connection or
/// said something that is not HTTP.
pub(crate) fn exchange(addr: SocketAddr, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A server may answer and close before it has read everything; then its answer still counts.
    let sent = stream.write_all(bytes);
    let head = bytes.starts_with(b"HEAD ");
    match read_response(&mut stream, head) {
        Err(e) => Err(sent.err().unwrap_or(e)),
        answer => answer,
    }
}

/// Reads the head of an answer and leaves its body where it is.
pub(crate) fn read_head(stream: &mut TcpStream) -> io::Result<Response> {
    stream.set_read_timeout(Some(PATIENCE))?;
    Input { stream, buffer: Vec::new(), at: 0 }.head()
}

/// Reads one answer from an open connection, passing over interim (1xx) ones.
pub(crate) fn read_response(stream: &mut TcpStream, head_only: bool) -> io::Result<Response> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut input = Input { stream, buffer: Vec::new(), at: 0 };
    loop {
        let mut response = input.head()?;
        if response.status / 100 == 1 {
            continue;
        }
        if !head_only && response.status != 204 && response.status != 304 {
            response.body = input.body(&response)?;
        }
        return Ok(response);
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

struct Input<'a> {
    stream: &'a mut TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Input<'_> {
    /// Reads more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let n = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..n]);
        Ok(n > 0)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(n) = self.buffer[self.at..].iter().position(|&b| b == b'\n') {
                let line = &self.buffer[self.at..self.at + n];
                self.at += n + 1;
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"));
            }
        }
    }

    fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.at < n {
            if !self.fill()? {
                return Err(malformed("body cut off"));
            }
        }
        self.at += n;
        Ok(self.buffer[self.at - n..self.at].to_vec())
    }

    fn head(&mut self) -> io::Result<Response> {
        let start = self.line()?;
        let mut words = start.split(' ');
        let protocol = words.next().unwrap_or_default();
        let status = words.next().and_then(|w| w.parse().ok());
        let (true, Some(status)) = (protocol.starts_with("HTTP/1."), status) else {
            return Err(malformed(&start));
        };
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        if response.header("Transfer-Encoding") == Some("chunked") {
            return self.chunks();
        }
        if let Some(length) = response.header("Content-Length") {
            return self.take(length.parse().map_err(|_| malformed(length))?);
        }
        while self.fill()? {}
        Ok(self.buffer[self.at..].to_vec())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| malformed(&line))?;
            body.extend(self.take(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}
