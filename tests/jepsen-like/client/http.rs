//! One request over one connection, all of it within a time limit.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer in full.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// No byte was sent, for there was no connection.
    NotSent(io::Error),
    /// The server may have got all of it.
    Sent(io::Error),
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Sends a request and waits for the whole answer until the time is up.
pub(crate) fn exchange(to: SocketAddr, ask: &Ask<'_>, patience: Duration) -> Result<Answer, Lost> {
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&to, patience).map_err(Lost::NotSent)?;
    let mut wire = Wire { stream: &mut stream, deadline, buffer: Vec::new(), at: 0 };
    wire.exchange(&head_of(ask), ask).map_err(Lost::Sent)
}

fn head_of(ask: &Ask<'_>) -> String {
    let Ask { method, target, key, body } = ask;
    let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: quorumgate\r\nConnection: close\r\n{key}\
         Content-Length: {length}\r\n\r\n"
    )
}

struct Wire<'a> {
    stream: &'a mut TcpStream,
    deadline: Instant,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken.
    at: usize,
}

impl Wire<'_> {
    fn exchange(&mut self, head: &str, ask: &Ask<'_>) -> io::Result<Answer> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(self.left()?))?;
        // A server may answer and close before it has read everything; then its answer still counts.
        let sent = self.stream.write_all(&[head.as_bytes(), ask.body].concat());
        match self.answer() {
            Err(err) => Err(sent.err().unwrap_or(err)),
            answer => answer,
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        }
        Ok(left)
    }

    /// Reads more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..length).unwrap_or_default();
                let line = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
                self.at += length + 1;
                return Ok(line);
            }
            if !self.fill()? {
                return Err(cut_off());
            }
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.at < count {
            if !self.fill()? {
                return Err(cut_off());
            }
        }
        let taken = self.buffer.get(self.at..self.at + count).unwrap_or_default().to_vec();
        self.at += count;
        Ok(taken)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.ok_or_else(cut_off)?, ..Answer::default() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(cut_off)?;
            answer.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if answer.header("Transfer-Encoding") == Some("chunked") {
            answer.body = self.chunks()?;
        } else if let Some(length) = answer.header("Content-Length") {
            let length = length.parse().map_err(|_| cut_off())?;
            answer.body = self.take(length)?;
        } else {
            while self.fill()? {}
            answer.body = self.buffer.split_off(self.at);
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| cut_off())?;
            body.extend(self.take(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off")
}
