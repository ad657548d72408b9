use std::io;
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::UnixNanos;

const AT: UnixNanos = UnixNanos(1_795_226_216_400_999_999);

fn line(format: LogFormat, message: &str, fields: &[(&str, Value<'_>)]) -> String {
    let mut line = Line::new(format, AT, LogLevel::Info, "raft/mod.rs:82", message);
    for (key, value) in fields {
        line.field(key, *value);
    }
    line.finish()
}

#[test]
fn lines_have_prometheus_keys() {
    let fields = [("name", Value::Text("a b")), ("n", Value::Bare("7"))];
    assert_eq!(
        line(LogFormat::Logfmt, "state rebuilt", &fields),
        "ts=2026-11-21T01:56:56.400Z level=info caller=raft/mod.rs:82 msg=\"state rebuilt\" \
         name=\"a b\" n=7\n"
    );
    assert_eq!(
        line(LogFormat::Json, "state rebuilt", &fields),
        "{\"ts\":\"2026-11-21T01:56:56.400Z\",\"level\":\"info\",\"caller\":\"raft/mod.rs:82\",\
         \"msg\":\"state rebuilt\",\"name\":\"a b\",\"n\":7}\n"
    );
}

#[test]
fn logfmt_quotes_what_would_be_misread() {
    let table = [
        ("plain", "plain"),
        ("", "\"\""),
        ("a/b:c,{d}", "a/b:c,{d}"),
        ("back\\slash", "back\\slash"),
        ("a b", "\"a b\""),
        ("a=b", "\"a=b\""),
        ("say \"x\"", "\"say \\\"x\\\"\""),
        ("a\\ b", "\"a\\\\ b\""),
        ("a\r\n\tb", "\"a\\r\\n\\tb\""),
        ("\u{1b}[31m", "\"\\u001b[31m\""),
        ("a\u{2028}b", "\"a\\u2028b\""),
        ("\u{85}", "\"\\u0085\""),
        ("日本", "日本"),
    ];
    for (text, expect) in table {
        let line = line(LogFormat::Logfmt, text, &[]);
        assert_eq!(line.split_once("msg=").unwrap().1, format!("{expect}\n"), "{text:?}");
    }
}

#[test]
fn json_reads_back() {
    for text in ["", "plain", "a \"b\" \\ c", "\u{0}\u{1f}\n\r\t\u{7f}", "\u{2028}日本🦀"] {
        let line = line(LogFormat::Json, text, &[("key\n", Value::Text(text))]);
        assert_eq!(line.lines().count(), 1, "{line}");
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["msg"], text);
        assert_eq!(json["key\n"], text);
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged by `events`, without time stamps and line numbers.
fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> Vec<String> {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = subscriber(&LogConfig { level, format }, move || writer.clone());
    tracing::subscriber::with_default(subscriber, events);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let without_place = |line: &str| {
        let (_, rest) = line.split_once("level").unwrap();
        let (before, after) = rest.split_once(".rs:").unwrap_or((rest, ""));
        format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    text.lines().map(without_place).collect()
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] io::Error);

#[test]
fn events_keep_message_and_field_order() {
    let lines = logged(LogLevel::Info, LogFormat::Logfmt, || {
        let err = Outer(io::Error::other("disk gone"));
        let err: &(dyn std::error::Error + 'static) = &err;
        tracing::warn!(b = 1, a = %"x y", r#type = true, f = 0.5, err, o = ?Some(1), "hello {}", 1);
        tracing::info!(only = "fields");
    });
    assert_eq!(
        lines,
        [
            "=warn caller=telemetry/log/tests msg=\"hello 1\" b=1 a=\"x y\" type=true f=0.5 \
             err=\"outer: disk gone\" o=Some(1)",
            "=info caller=telemetry/log/tests msg=\"\" only=fields",
        ]
    );
    let lines = logged(LogLevel::Info, LogFormat::Json, || {
        tracing::error!(n = -1, nan = f64::NAN, "m");
    });
    assert_eq!(
        lines,
        ["\":\"error\",\"caller\":\"telemetry/log/tests\",\"msg\":\"m\",\"n\":-1,\"nan\":\"NaN\"}"]
    );
}

#[test]
fn libraries_are_quieter_than_we_are() {
    let events = || {
        tracing::debug!("our debug");
        tracing::error!("our error");
        tracing::info!(target: "openraft::core", "their info");
        tracing::warn!(target: "openraft::core", "their warning");
        tracing::error!(target: "quorumgatekeeper", "their error");
    };
    let messages = |level| -> Vec<String> {
        let lines = logged(level, LogFormat::Logfmt, events);
        lines.iter().map(|line| line.split_once("msg=").unwrap().1.replace('"', "")).collect()
    };
    assert_eq!(
        messages(LogLevel::Debug),
        ["our debug", "our error", "their warning", "their error"]
    );
    assert_eq!(messages(LogLevel::Info), ["our error", "their error"]);
    assert_eq!(messages(LogLevel::Error), ["our error", "their error"]);
}

#[test]
fn callers_are_short() {
    let table = [
        ("quorumgate::raft", Some("src/raft/mod.rs"), Some(8), "raft/mod.rs:8"),
        ("quorumgate", Some("src/main.rs"), None, "main.rs"),
        ("sled::pagecache", Some("registry/sled/src/a.rs"), Some(3), "sled::pagecache:3"),
        ("quorumgatekeeper", Some("src/a.rs"), Some(3), "quorumgatekeeper:3"),
        ("t", None, None, "t"),
    ];
    for (target, file, line, expect) in table {
        assert_eq!(caller(target, file, line), expect);
    }
}

const ROLE: &str = "QUORUMGATE_TEST_LOG";

/// Does nothing by itself: the test below runs it in a process of its own.
#[test]
fn child() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    init(&LogConfig { level: LogLevel::Info, format: LogFormat::Json });
    init(&LogConfig { level: LogLevel::Debug, format: LogFormat::Logfmt });
    tracing::info!(n = 1, "ours");
    tracing::debug!("ours, too quiet");
    ::log::warn!(target: "sled::tree", "theirs {}", 1);
    ::log::info!(target: "sled::tree", "theirs, too quiet");
    let blobs = "sled::pagecache::blob_io";
    ::log::warn!(target: blobs, "removing 3 blobs that have a higher lsn than our stable log: 7");
    // Only that, and only from there.
    ::log::warn!(target: blobs, "blob 3 failed crc check!");
    ::log::error!(target: blobs, "removing 3 blobs that have a higher lsn than our stable log: 7");
    ::log::warn!(target: "sled", "removing 3 blobs that have a higher lsn than our stable log: 7");
}

#[test]
fn the_process_logs_to_standard_error() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::log::tests::child", "--nocapture"])
        .env(ROLE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> =
        lines.iter().map(|line| (line["level"].as_str(), line["msg"].as_str())).collect();
    let removing = "removing 3 blobs that have a higher lsn than our stable log: 7";
    assert_eq!(
        shown,
        [
            (Some("info"), Some("ours")),
            (Some("warn"), Some("theirs 1")),
            (Some("warn"), Some("blob 3 failed crc check!")),
            (Some("error"), Some(removing)),
            (Some("warn"), Some(removing)),
        ]
    );
    assert!(lines[0]["caller"].as_str().unwrap().starts_with("telemetry/log/tests.rs:"));
    assert!(lines[1]["caller"].as_str().unwrap().starts_with("sled::tree:"));
}
