//! How bytes are written in a case file, and the encodings a body can be put through.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Text with `\\`, `\r`, `\n`, `\t`, `\xHH` and `\{TEXT*COUNT}` as bytes.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next().unwrap_or_else(|| panic!("bare \\ in {text}"));
        rest = &rest[at + 2..];
        match escape {
            '\\' => out.push(b'\\'),
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            '{' => {
                let (inner, after) = rest.split_once('}').unwrap();
                let (piece, count) = inner.rsplit_once('*').unwrap();
                out.extend(piece.as_bytes().repeat(count.parse().unwrap()));
                rest = after;
            }
            other => panic!("unknown escape \\{other} in {text}"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Bytes as lines of a case file: `| ` before each, `|- ` before one without a line end.
pub(crate) fn lines(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let (mark, line) = match line.strip_suffix(b"\n") {
            Some(line) => ("|", line),
            None => ("|-", line),
        };
        out.push_str(mark);
        if !line.is_empty() {
            out.push(' ');
            out.push_str(&escape(line));
        }
        out.push('\n');
    }
    out
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if out.ends_with(' ') {
        out.pop();
        out.push_str("\\x20");
    }
    out
}

/// `0a ff` and `0aff` as bytes.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let pair = |p: &[char]| u8::from_str_radix(&p.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// What is done to a body before it is sent, in the order of the `@filter` lines.
#[derive(Debug)]
pub(crate) enum Filter {
    Gzip,
    SnappyFramed,
    SnappyBlock,
    Chunked,
    Cut(usize),
    Append(Vec<u8>),
    Flip(usize),
    Twice,
}

impl Filter {
    pub(crate) fn parse(text: &str) -> Filter {
        let (name, argument) = text.split_once(' ').unwrap_or((text, ""));
        match name {
            "gzip" => Filter::Gzip,
            "snappy" => Filter::SnappyFramed,
            "snappy-block" => Filter::SnappyBlock,
            "chunked" => Filter::Chunked,
            "cut" => Filter::Cut(argument.parse().unwrap()),
            "append" => Filter::Append(unescape(argument)),
            "flip" => Filter::Flip(argument.parse().unwrap()),
            "twice" => Filter::Twice,
            _ => panic!("no such filter: {text}"),
        }
    }

    pub(crate) fn apply(&self, mut body: Vec<u8>) -> Vec<u8> {
        match self {
            Filter::Gzip => gzip(&body),
            Filter::SnappyFramed => {
                let mut encoder = snap::write::FrameEncoder::new(Vec::new());
                encoder.write_all(&body).unwrap();
                encoder.into_inner().unwrap()
            }
            Filter::SnappyBlock => snap::raw::Encoder::new().compress_vec(&body).unwrap(),
            Filter::Chunked => {
                let mut out = Vec::new();
                for chunk in body.chunks(7) {
                    out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
                out
            }
            Filter::Cut(n) => {
                body.truncate(body.len() - n);
                body
            }
            Filter::Append(more) => {
                body.extend_from_slice(more);
                body
            }
            Filter::Flip(n) => {
                let at = body.len() - n;
                body[at] ^= 0xff;
                body
            }
            Filter::Twice => body.repeat(2),
        }
    }
}

/// One gzip member.
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = b"a\\b \n\r\xff\n\nx\ty ";
    let text = lines(bytes);
    let mut read = Vec::new();
    for line in text.lines() {
        let (rest, end) = match line.strip_prefix("|-") {
            Some(rest) => (rest, &b""[..]),
            None => (&line[1..], &b"\n"[..]),
        };
        read.extend(unescape(rest.strip_prefix(' ').unwrap_or(rest)));
        read.extend_from_slice(end);
    }
    assert_eq!(read, bytes);
    assert_eq!(unescape("\\{ab*3}c"), b"abababc");
    assert_eq!(hex("0a ff"), [0x0a, 0xff]);
}
