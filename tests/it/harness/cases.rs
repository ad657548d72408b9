//! Cases as data: the format of `tests/data/compat/*.txt`, described in the README.md beside them.

use super::body::{self, Filter};

/// A file of cases under one set of flags.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) flags: Vec<String>,
    /// Where the routes are, when a flag moves them.
    pub(crate) prefix: String,
    pub(crate) cases: Vec<Case>,
}

/// Requests that build on each other, beginning with an empty gateway.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Words of `docs/compatibility.md` that say why quorumgate answers otherwise.
    pub(crate) differs: Option<String>,
    pub(crate) steps: Vec<Step>,
}

/// One request with the answers to it, in normal form.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) request: Request,
    /// What the original may answer. Empty: not recorded yet.
    pub(crate) original: Vec<String>,
    /// What quorumgate answers instead.
    pub(crate) gate: Option<String>,
    /// Where in the file an answer can be inserted.
    pub(crate) answer_at: usize,
}

/// A request as written in the file.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    protocol: String,
    headers: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
    filters: Vec<Filter>,
    /// The original would not survive it.
    pub(crate) spare_original: bool,
    /// Nothing is added to what the case says.
    bare: bool,
}

impl Request {
    /// The bytes to send.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut content = self.content.clone();
        for filter in &self.filters {
            content = filter.apply(content);
        }
        let mut out = Vec::new();
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(&self.target);
        out.extend_from_slice(format!(" {}\r\n", self.protocol).as_bytes());
        if !self.bare {
            out.extend_from_slice(b"Host: localhost\r\nConnection: close\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        let framed = self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("transfer-encoding"));
        let may_carry = matches!(self.method.as_str(), "PUT" | "POST") || !content.is_empty();
        if may_carry && !framed && !self.bare {
            out.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&content);
        out
    }
}

/// Whose answer a `<<<` block is.
enum Whose {
    Original,
    Gate,
}

/// Reads a file of cases. Mistakes in it fail the test with the line.
pub(crate) fn parse(file: &str, text: &str) -> Vec<Section> {
    let mut reader = Reader { file, sections: Vec::new(), answer: None };
    for (index, line) in text.lines().enumerate() {
        reader.line(index, line);
    }
    reader.end_answer();
    reader.sections
}

struct Reader<'a> {
    file: &'a str,
    sections: Vec<Section>,
    answer: Option<(Whose, String)>,
}

impl Reader<'_> {
    fn line(&mut self, index: usize, line: &str) {
        let file = self.file;
        let fail = |what: &str| -> ! { panic!("{file}:{}: {what}: {line}", index + 1) };
        if line.trim().is_empty() || line.starts_with("# ") || line == "#" {
            self.end_answer();
        } else if let Some(flags) = line.strip_prefix("flags:") {
            let flags = flags.split_whitespace().map(str::to_owned).collect();
            self.sections.push(Section { flags, prefix: String::new(), cases: Vec::new() });
        } else if let Some(prefix) = line.strip_prefix("prefix:") {
            prefix.trim().clone_into(&mut self.sections.last_mut().unwrap().prefix);
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let case = Case { name: name.to_owned(), differs: None, steps: Vec::new() };
            let Some(section) = self.sections.last_mut() else { fail("a case before `flags:`") };
            section.cases.push(case);
        } else if let Some(why) = line.strip_prefix("differs:") {
            self.case().differs = Some(why.trim().to_owned());
        } else if let Some(start) = line.strip_prefix(">>> ") {
            self.end_answer();
            let request = request_line(start);
            let step = Step {
                line: index + 1,
                request,
                original: Vec::new(),
                gate: None,
                answer_at: index + 1,
            };
            self.case().steps.push(step);
        } else if let Some(start) = line.strip_prefix("<<< ") {
            self.end_answer();
            self.answer = Some(match start.strip_prefix("quorumgate ") {
                Some(rest) => (Whose::Gate, format!("{rest}\n")),
                None => (Whose::Original, format!("{start}\n")),
            });
            self.answer_ends(index + 1);
        } else if let Some((_, answer)) = &mut self.answer {
            answer.push_str(line);
            answer.push('\n');
            self.answer_ends(index + 1);
        } else if let Some(step) = self.case().steps.last_mut() {
            step.answer_at = index + 1;
            request_detail(&mut step.request, line);
        } else {
            fail("not understood");
        }
    }

    fn case(&mut self) -> &mut Case {
        self.sections.last_mut().and_then(|s| s.cases.last_mut()).expect("a case")
    }

    fn answer_ends(&mut self, line: usize) {
        self.case().steps.last_mut().expect("a request before its answer").answer_at = line;
    }

    fn end_answer(&mut self) {
        let Some((whose, answer)) = self.answer.take() else { return };
        let step = self.case().steps.last_mut().expect("a request before its answer");
        match whose {
            Whose::Original => step.original.push(answer),
            Whose::Gate => step.gate = Some(answer),
        }
    }
}

fn request_line(line: &str) -> Request {
    let (method, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (target, protocol) = match rest.rsplit_once(" HTTP/") {
        Some((target, version)) => (target, format!("HTTP/{version}")),
        None => (rest, "HTTP/1.1".to_owned()),
    };
    Request {
        method: method.to_owned(),
        target: body::unescape(target),
        protocol,
        ..Request::default()
    }
}

/// A line between `>>>` and `<<<`: a piece of the body, a directive, or a header.
fn request_detail(request: &mut Request, line: &str) {
    if let Some(rest) = line.strip_prefix("|-") {
        request.content.extend(body::unescape(rest.strip_prefix(' ').unwrap_or(rest)));
    } else if let Some(rest) = line.strip_prefix('|') {
        request.content.extend(body::unescape(rest.strip_prefix(' ').unwrap_or(rest)));
        request.content.push(b'\n');
    } else if let Some(hex) = line.strip_prefix("@hex ") {
        request.content.extend(body::hex(hex));
    } else if let Some(family) = line.strip_prefix("@pb ") {
        request.content.extend(super::proto::delimited(family));
    } else if let Some(filter) = line.strip_prefix("@filter ") {
        request.filters.push(Filter::parse(filter));
    } else if line == "@spare-original" {
        request.spare_original = true;
    } else if line == "@bare" {
        request.bare = true;
    } else {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line}"));
        request.headers.push((name.to_owned(), body::unescape(value.trim())));
    }
}

#[test]
fn a_case_file_is_read_as_its_readme_says() {
    let text = "flags: --x\n[one]\n>>> PUT /a\\{b*2} HTTP/1.0\nX-Y: z\n| a\\x00\n|- b\n<<< 200\n\
                <<< 400\n| no\n<<< quorumgate 401\n\n>>> GET /\n";
    let sections = parse("test", text);
    let steps = &sections[0].cases[0].steps;
    let bytes = steps[0].request.bytes();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "PUT /abb HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nX-Y: z\r\n\
         Content-Length: 4\r\n\r\na\0\nb"
    );
    assert_eq!(steps[0].original, ["200\n", "400\n| no\n"]);
    assert_eq!(steps[0].gate.as_deref(), Some("401\n"));
    assert_eq!((steps[1].answer_at, steps[1].original.len()), (12, 0));
}
