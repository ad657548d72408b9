//! An HTTP/1 client that does as little as possible, so that the server is what is measured: the
//! request is bytes made beforehand, the answer's body is passed on in the pieces it comes in.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is read at once; a scrape has many MiB.
const READ_BYTES: usize = 256 * 1024;

/// A kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The part of the buffer that has not been looked at.
    start: usize,
    end: usize,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr, read_bytes: ReadBytes) -> Connection {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = vec![0; read_bytes.0];
        Connection { stream, buffer, start: 0, end: 0 }
    }

    /// Sends a request that must succeed and hands its answer's body to `sink`. Returns the number
    /// of bytes of the body.
    pub(crate) async fn exchange(&mut self, request: &[u8], mut sink: impl FnMut(&[u8])) -> usize {
        self.stream.write_all(request).await.unwrap();
        let framing = self.head().await;
        let mut bytes = 0;
        match framing {
            Framing::Length(length) => {
                self.pass(length, &mut sink).await;
                bytes += length;
            }
            Framing::Chunked => loop {
                let size = usize::from_str_radix(self.line().await.trim(), 16).unwrap();
                self.pass(size, &mut sink).await;
                assert_eq!(self.line().await, "", "a chunk ends with its length");
                bytes += size;
                if size == 0 {
                    break;
                }
            },
        }
        bytes
    }

    /// As [`Self::exchange`], for an answer of which only the success matters.
    pub(crate) async fn send(&mut self, request: &[u8]) {
        self.exchange(request, |_| ()).await;
    }

    async fn head(&mut self) -> Framing {
        let status = self.line().await;
        assert!(status.contains(" 200 ") || status.contains(" 202 "), "refused: {status}");
        let mut framing = Framing::Length(0);
        loop {
            let line = self.line().await.to_ascii_lowercase();
            if line.is_empty() {
                return framing;
            }
            if let Some(length) = line.strip_prefix("content-length:") {
                framing = Framing::Length(length.trim().parse().unwrap());
            } else if line.starts_with("transfer-encoding:") {
                framing = Framing::Chunked;
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(at) = memchr::memchr(b'\n', unread) {
                line.extend_from_slice(&unread[..at]);
                self.start += at + 1;
                let text = String::from_utf8(line).unwrap();
                return text.trim_end_matches('\r').to_owned();
            }
            line.extend_from_slice(unread);
            self.fill().await;
        }
    }

    async fn pass(&mut self, mut length: usize, sink: &mut impl FnMut(&[u8])) {
        while length > 0 {
            if self.start == self.end {
                self.fill().await;
            }
            let taken = length.min(self.end - self.start);
            sink(&self.buffer[self.start..self.start + taken]);
            self.start += taken;
            length -= taken;
        }
    }

    /// Reads more into the buffer, of which everything has been looked at.
    async fn fill(&mut self) {
        self.start = 0;
        self.end = self.stream.read(&mut self.buffer).await.unwrap();
        assert!(self.end > 0, "the server closed the connection");
    }
}

/// How much a connection reads at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadBytes(usize);

impl ReadBytes {
    /// For answers of a few lines, where there may be hundreds of connections.
    pub(crate) const SMALL: ReadBytes = ReadBytes(4 * 1024);
    /// For scrapes.
    pub(crate) const LARGE: ReadBytes = ReadBytes(READ_BYTES);
}

/// How a scrape is to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// A scrape in the text format.
pub(crate) fn scrape(encoding: Encoding) -> Vec<u8> {
    let accepted = match encoding {
        Encoding::Plain => "identity",
        Encoding::Gzip => "gzip",
    };
    format!(
        "GET /metrics HTTP/1.1\r\nHost: bench\r\n\
         Accept: text/plain;version=0.0.4\r\nAccept-Encoding: {accepted}\r\n\r\n"
    )
    .into_bytes()
}
