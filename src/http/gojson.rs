//! JSON as Go's `encoding/json` writes it: `serde_json` escapes fewer characters, and bodies are
//! written straight from stored bytes, in chunks, without a tree in between.

use bytes::Bytes;

use crate::exposition::float;

/// A finished chunk has at least this many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes one JSON document. Commas are placed by the writer, nesting is the caller's duty.
#[derive(Debug, Default)]
pub(super) struct JsonWriter {
    chunks: Vec<Bytes>,
    /// Bytes of `chunks`.
    finished_bytes: usize,
    current: Vec<u8>,
    needs_comma: bool,
}

impl JsonWriter {
    pub(super) fn begin_object(&mut self) {
        self.begin(b'{');
    }

    pub(super) fn end_object(&mut self) {
        self.end(b'}');
    }

    pub(super) fn begin_array(&mut self) {
        self.begin(b'[');
    }

    pub(super) fn end_array(&mut self) {
        self.end(b']');
    }

    /// The key of the member whose value comes next.
    pub(super) fn key(&mut self, key: &str) {
        self.separate();
        self.push_quoted(key);
        self.current.push(b':');
        self.needs_comma = false;
    }

    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        self.push_quoted(text);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.separate();
        self.current.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A small number as a number.
    pub(super) fn integer(&mut self, value: u64) {
        self.separate();
        float::write_integer(&mut self.current, value);
    }

    /// A number as a string, the way the API shows all sample values.
    pub(super) fn quoted_float(&mut self, value: f64) {
        self.separate();
        self.current.push(b'"');
        float::write_float_signed_zero(&mut self.current, value);
        self.current.push(b'"');
    }

    /// A whole number as a string.
    pub(super) fn quoted_integer(&mut self, value: u64) {
        self.separate();
        self.current.push(b'"');
        float::write_integer(&mut self.current, value);
        self.current.push(b'"');
    }

    pub(super) fn member_string(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// An object of strings; the caller brings the members in the order of their keys.
    pub(super) fn strings<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.begin_object();
        for (key, text) in members {
            self.member_string(key, text);
        }
        self.end_object();
    }

    /// Bytes that the document takes so far.
    pub(super) fn bytes(&self) -> usize {
        self.finished_bytes + self.current.capacity()
    }

    /// The document in chunks.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.chunks.push(Bytes::from(self.current));
        self.chunks
    }

    fn begin(&mut self, bracket: u8) {
        self.separate();
        self.current.push(bracket);
        self.needs_comma = false;
    }

    fn end(&mut self, bracket: u8) {
        self.current.push(bracket);
        self.needs_comma = true;
        if self.current.len() >= CHUNK_BYTES {
            // Without the room that growing has left.
            let chunk = std::mem::take(&mut self.current).into_boxed_slice();
            self.finished_bytes += chunk.len();
            self.chunks.push(Bytes::from(chunk));
        }
    }

    fn separate(&mut self) {
        if self.needs_comma {
            self.current.push(b',');
        }
        self.needs_comma = true;
    }

    fn push_quoted(&mut self, text: &str) {
        self.current.push(b'"');
        for character in text.chars() {
            match character {
                '"' => self.current.extend_from_slice(b"\\\""),
                '\\' => self.current.extend_from_slice(b"\\\\"),
                '\n' => self.current.extend_from_slice(b"\\n"),
                '\r' => self.current.extend_from_slice(b"\\r"),
                '\t' => self.current.extend_from_slice(b"\\t"),
                '\u{8}' => self.current.extend_from_slice(b"\\b"),
                '\u{c}' => self.current.extend_from_slice(b"\\f"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    let escaped = format!("\\u{:04x}", u32::from(character));
                    self.current.extend_from_slice(escaped.as_bytes());
                }
                plain => {
                    let mut utf8 = [0; 4];
                    self.current.extend_from_slice(plain.encode_utf8(&mut utf8).as_bytes());
                }
            }
        }
        self.current.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut JsonWriter)) -> String {
        let mut json = JsonWriter::default();
        write(&mut json);
        String::from_utf8(json.finish().concat()).unwrap()
    }

    #[test]
    fn escapes_as_go_does() {
        for (text, expected) in [
            ("", r#""""#),
            ("plain é 日本", "\"plain é 日本\""),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\r\t\u{8}\u{c}", r#""\n\r\t\b\f""#),
            ("\0\u{1f}", r#""\u0000\u001f""#),
            ("\u{7f}", "\"\u{7f}\""),
            ("<a href='x'>&", r#""\u003ca href='x'\u003e\u0026""#),
            ("\u{2028}\u{2029}", r#""\u2028\u2029""#),
        ] {
            assert_eq!(written(|json| json.string(text)), expected);
        }
    }

    #[test]
    fn places_commas() {
        let text = written(|json| {
            json.begin_object();
            json.member_string("status", "success");
            json.key("data");
            json.begin_array();
            for _ in 0..2 {
                json.begin_object();
                json.end_object();
            }
            json.begin_array();
            json.integer(7);
            json.quoted_integer(8);
            json.quoted_float(-0.0);
            json.quoted_float(1e6);
            json.quoted_float(f64::NAN);
            json.boolean(true);
            json.end_array();
            json.end_array();
            json.key("labels");
            json.strings([("a", "1"), ("b", "")]);
            json.key("none");
            json.strings([]);
            json.end_object();
        });
        assert_eq!(
            text,
            r#"{"status":"success","data":[{},{},[7,"8","-0","1e+06","NaN",true]],"labels":{"a":"1","b":""},"none":{}}"#
        );
    }

    #[test]
    fn cuts_long_documents_into_chunks() {
        let mut json = JsonWriter::default();
        json.begin_array();
        for _ in 0..3 {
            json.begin_array();
            json.string(&"x".repeat(CHUNK_BYTES));
            json.end_array();
        }
        json.end_array();
        let chunks = json.finish();
        assert_eq!(chunks.len(), 4);
        let text = String::from_utf8(chunks.concat()).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Vec<String>>>(&text).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn others_read_what_is_written(text in any::<String>()) {
            let json = written(|json| json.string(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
