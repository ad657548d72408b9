//! The tokens of the text format.
//!
//! Each token is borrowed from the body unless escapes make that impossible.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use crate::exposition::ParseError;
use crate::exposition::goquote::quote;

/// Why a line cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The body ends within a line.
    End,
    /// What is wrong with the line.
    Message(String),
    /// A limit of the whole push.
    Refused(ParseError),
}

impl Fault {
    pub(super) fn in_line(self, line: usize) -> ParseError {
        let message = match self {
            Fault::End => "unexpected end of input stream".to_owned(),
            Fault::Message(message) => message,
            Fault::Refused(error) => return error,
        };
        ParseError::Syntax(format!("text format parsing error in line {line}: {message}"))
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Fault {
        Fault::Message(message)
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Fault {
        Fault::Refused(error)
    }
}

pub(super) type Step<T> = Result<T, Fault>;

/// Which alphabet an unquoted name has; the two differ in the colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameOf {
    Metric,
    Label,
}

impl NameOf {
    fn word(self) -> &'static str {
        match self {
            NameOf::Metric => "metric",
            NameOf::Label => "label",
        }
    }

    /// The bits of [`CLASSES`] that such names consist of.
    fn class(self) -> u8 {
        match self {
            NameOf::Metric => WORD | COLON,
            NameOf::Label => WORD,
        }
    }
}

const WORD: u8 = 1;
const COLON: u8 = 2;

/// For each byte the classes of names that it may be part of.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            classes[byte as usize] = WORD;
        } else if byte == b':' {
            classes[byte as usize] = COLON;
        }
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

fn class_of(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// A name as it was read.
#[derive(Debug)]
pub(super) struct Name<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Whether it was written without quotes and so is within the legacy alphabet.
    pub(super) is_plain: bool,
}

/// Stands at a byte of the body.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Lexer { rest: body }
    }

    /// The byte under the cursor; `None` at the end of the body.
    pub(super) fn peek_or_end(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The byte under the cursor, where the body must not end.
    pub(super) fn peek(&self) -> Step<u8> {
        self.peek_or_end().ok_or(Fault::End)
    }

    pub(super) fn bump(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    pub(super) fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Moves the cursor onto the byte that `found` says; none found means that the line has no end.
    fn advance(&mut self, found: Option<usize>) -> Step<&'a [u8]> {
        let split = found.and_then(|at| self.rest.split_at_checked(at));
        let (token, rest) = split.ok_or(Fault::End)?;
        self.rest = rest;
        Ok(token)
    }

    /// Everything up to a blank, tab or line break, on which the cursor then stands.
    pub(super) fn until_whitespace(&mut self) -> Step<&'a [u8]> {
        // Values are short: looking byte by byte beats a vectorised search.
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
        self.advance(self.rest.iter().position(is_space))
    }

    /// Everything up to the line break, which is consumed.
    pub(super) fn rest_of_line(&mut self) -> Step<&'a [u8]> {
        let line = self.advance(memchr(b'\n', self.rest))?;
        self.bump();
        Ok(line)
    }

    /// The rest of a line of `# HELP`, its escapes resolved.
    pub(super) fn help(&mut self) -> Step<Cow<'a, [u8]>> {
        let first = self.advance(memchr2(b'\\', b'\n', self.rest))?;
        let mut help = Cow::Borrowed(first);
        while self.peek()? == b'\\' {
            self.bump();
            let escaped = self.escape()?;
            help.to_mut().push(escaped);
            let plain = self.advance(memchr2(b'\\', b'\n', self.rest))?;
            help.to_mut().extend_from_slice(plain);
        }
        self.bump();
        Ok(help)
    }

    /// A label value whose opening quote has been consumed; consumes the closing one.
    pub(super) fn label_value(&mut self) -> Step<Cow<'a, [u8]>> {
        let first = self.advance(memchr3(b'"', b'\\', b'\n', self.rest))?;
        let mut value = Cow::Borrowed(first);
        loop {
            match self.peek()? {
                b'"' => break,
                b'\n' => return Err(unescaped_newline("label value", &value)),
                _ => {}
            }
            self.bump();
            let escaped = self.escape()?;
            value.to_mut().push(escaped);
            let plain = self.advance(memchr3(b'"', b'\\', b'\n', self.rest))?;
            value.to_mut().extend_from_slice(plain);
        }
        self.bump();
        Ok(value)
    }

    /// What the byte after a backslash stands for.
    fn escape(&mut self) -> Step<u8> {
        let byte = self.peek()?;
        self.bump();
        match byte {
            b'\\' | b'"' => Ok(byte),
            b'n' => Ok(b'\n'),
            _ => Err(format!("invalid escape sequence '\\{}'", char::from(byte)).into()),
        }
    }

    /// A name, quoted or not; empty if the cursor stands on no byte that can begin one.
    pub(super) fn name(&mut self, of: NameOf) -> Step<Name<'a>> {
        let class = of.class();
        let plain = self.rest.iter().take_while(|byte| class_of(**byte) & class != 0).count();
        let (token, rest) = self.rest.split_at_checked(plain).ok_or(Fault::End)?;
        if token.first().is_some_and(u8::is_ascii_digit) {
            return Ok(Name { bytes: Cow::Borrowed(&[]), is_plain: true });
        }
        if *rest.first().ok_or(Fault::End)? == b'"' {
            return Ok(Name { bytes: self.name_with_quotes(of)?, is_plain: false });
        }
        self.rest = rest;
        Ok(Name { bytes: Cow::Borrowed(token), is_plain: true })
    }

    /// A name that contains quotes. As upstream does, this reads a quote anywhere in a name as the
    /// beginning of a quoted part, which ends the name: `a"b c"` is the name `ab c`.
    fn name_with_quotes(&mut self, of: NameOf) -> Step<Cow<'a, [u8]>> {
        let plain = self.advance(memchr(b'"', self.rest))?;
        self.bump();
        let quoted = self.advance(memchr3(b'"', b'\\', b'\n', self.rest))?;
        let mut name =
            if plain.is_empty() { Cow::Borrowed(quoted) } else { [plain, quoted].concat().into() };
        loop {
            match self.peek()? {
                b'"' => break,
                b'\n' => return Err(unescaped_newline(&format!("{} name", of.word()), &name)),
                _ => {}
            }
            self.bump();
            let escaped = self.escape()?;
            name.to_mut().push(escaped);
            let more = self.advance(memchr3(b'"', b'\\', b'\n', self.rest))?;
            name.to_mut().extend_from_slice(more);
        }
        self.bump();
        self.peek()?;
        Ok(name)
    }
}

fn unescaped_newline(what: &str, token: &[u8]) -> Fault {
    format!("{what} {} contains unescaped new-line", quote(token)).into()
}
