use std::time::Duration;

use super::*;
use crate::cli::duration::{GoDuration, parse_duration, show_duration};
use crate::config::SelfMetrics;
use crate::limits::Limits;
use crate::telemetry::{LogFormat, LogLevel};

fn parse_words(words: &[&str]) -> Result<Command, UsageError> {
    parse(words.iter().map(OsString::from))
}

fn config(words: &[&str]) -> Config {
    match parse_words(words) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn printed(words: &[&str]) -> String {
    match parse_words(words) {
        Ok(Command::Print(text)) => text,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn error(words: &[&str]) -> String {
    let line = parse_words(words).expect_err(&format!("{words:?}")).to_string();
    let rest = line.strip_prefix("quorumgate: error: ").expect(&line);
    rest.strip_suffix(", try --help").expect(&line).to_owned()
}

/// Every flag with its default as the status page shows it, another value, and how that is shown.
const FLAG_TABLE: &[(&str, &str, &str, &str)] = &[
    ("cluster.advertise-address", "", "g.example:9092", "g.example:9092"),
    ("cluster.bootstrap-expect", "0", "1", "1"),
    ("cluster.dead-member-timeout", "0s", "10m", "10m0s"),
    ("cluster.election-timeout", "250ms", "2s", "2s"),
    ("cluster.heartbeat-interval", "50ms", "20ms", "20ms"),
    ("cluster.join", "", "", ""),
    ("cluster.listen-address", "", ":9092", ":9092"),
    ("cluster.name", "", "gate-0", "gate-0"),
    ("cluster.shutdown-delay", "3s", "0", "0s"),
    ("cluster.voters-min", "3", "1", "1"),
    ("limits.answer-bytes", "1GiB", "4KiB", "4KiB"),
    ("limits.body-bytes", "64MiB", "1GiB", "1GiB"),
    ("limits.body-timeout", "30s", "1m30s", "1m30s"),
    ("limits.concurrent-requests", "1024", "1", "1"),
    ("limits.connections", "8192", "16384", "16384"),
    ("limits.decoded-body-bytes", "256MiB", "1025", "1025"),
    ("limits.disk-free-bytes", "64MiB", "0", "0"),
    ("limits.groups", "1000000", "5", "5"),
    ("limits.header-bytes", "1MiB", "8192", "8KiB"),
    ("limits.header-timeout", "10s", "24h", "24h0m0s"),
    ("limits.inflight-bytes", "1GiB", "3MiB", "3MiB"),
    ("limits.label-value-bytes", "1MiB", "2048KiB", "2MiB"),
    ("limits.labels-per-series", "128", "64", "64"),
    ("limits.name-bytes", "64KiB", "100", "100"),
    ("limits.request-timeout", "10s", "0.25s", "250ms"),
    ("limits.series", "10000000", "7", "7"),
    ("limits.series-per-push", "1000000", "8", "8"),
    ("limits.shutdown-timeout", "20s", "1ns", "1ns"),
    ("limits.state-bytes", "4GiB", "9MiB", "9MiB"),
    ("log.format", "logfmt", "json", "json"),
    ("log.level", "info", "WARN", "warn"),
    ("persistence.file", "", "/var/lib/p.data", "/var/lib/p.data"),
    ("persistence.interval", "5m0s", "0s", "0s"),
    ("push.disable-consistency-check", "false", "true", "true"),
    ("push.enable-utf8-names", "false", "true", "true"),
    ("read.consistency", "linearizable", "stale", "stale"),
    ("read.max-staleness", "10s", "1m", "1m0s"),
    ("read.timeout", "8s", "3s", "3s"),
    ("storage.path", "data", "/srv/x", "/srv/x"),
    ("storage.snapshot-bytes", "64MiB", "1MiB", "1MiB"),
    ("storage.snapshot-entries", "20000", "10", "10"),
    ("web.config.file", "", "", ""),
    ("web.enable-admin-api", "false", "true", "true"),
    ("web.enable-lifecycle", "false", "true", "true"),
    ("web.external-url", "", "http://x.example/", "http://x.example/"),
    ("web.listen-address", ":9091", "[::1]:0", "[::1]:0"),
    ("web.route-prefix", "", "foo/", "/foo"),
    ("web.self-metrics", "separate", "inline", "inline"),
    ("web.systemd-socket", "false", "false", "false"),
    ("web.telemetry-path", "/metrics", "/tele", "/tele"),
];

#[test]
fn every_flag_has_its_default_and_takes_a_value() {
    let defaults = config(&[]).flags;
    let names: Vec<&str> = FLAG_TABLE.iter().map(|(name, ..)| *name).collect();
    assert!(defaults.keys().map(String::as_str).eq(names.iter().copied()));

    for (name, default, value, shown) in FLAG_TABLE {
        assert_eq!(defaults[*name], *default, "{name}");
        let forms = match *value {
            "true" => vec![vec![format!("--{name}")]],
            "false" => vec![vec![format!("--no-{name}")]],
            value => {
                vec![vec![format!("--{name}={value}")], vec![format!("--{name}"), value.to_owned()]]
            }
        };
        for words in forms {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let flags = config(&words).flags;
            assert_eq!(flags[*name], *shown, "{words:?}");
            let others = |(other, value): &(&String, &String)| {
                // The storage folder follows the persistence file.
                let follows = *name == "persistence.file" && other.as_str() == "storage.path";
                other.as_str() != *name && !follows && defaults[*other] != **value
            };
            assert_eq!(flags.iter().find(others), None, "{words:?}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_limits() {
    let Config { web, push, storage, cluster, name, read, limits, log, flags: _, notes } =
        config(&[]);
    assert_eq!((cluster, name), (None, None));
    let (max_staleness, timeout) = (Duration::from_secs(10), Duration::from_secs(8));
    assert_eq!(read, ReadConfig { stale: false, max_staleness, timeout });
    assert_eq!(limits, Limits::default());
    assert_eq!(
        web,
        WebConfig {
            listen_addresses: vec![":9091".to_owned()],
            telemetry_path: "/metrics".to_owned(),
            external_url: None,
            route_prefix: String::new(),
            enable_lifecycle: false,
            enable_admin_api: false,
            self_metrics: SelfMetrics::Separate,
        }
    );
    assert_eq!(push, PushConfig { check_consistency: true, utf8_names: false });
    assert_eq!(storage.path, Path::new("data"));
    assert_eq!((storage.snapshot_entries, storage.snapshot_bytes), (20_000, 64 << 20));
    assert_eq!((log.level, log.format), (LogLevel::Info, LogFormat::Logfmt));
    assert!(notes.is_empty());
}

/// Each limit has a flag and each flag its own limit: without the pattern being complete, this does
/// not compile; with two flags on one limit, two numbers are equal.
#[test]
fn every_limit_has_a_flag() {
    let words: Vec<String> = FLAGS
        .iter()
        .filter(|flag| flag.name.starts_with("limits."))
        .enumerate()
        .map(|(i, flag)| match (flag.slot)(&mut Settings::defaults()) {
            value::Slot::Timeout(_) => format!("--{}={}ns", flag.name, 10_000 + i),
            _ => format!("--{}={}", flag.name, 10_000 + i),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Limits {
        body_bytes,
        decoded_body_bytes,
        series_per_push,
        labels_per_series,
        name_bytes,
        label_value_bytes,
        groups,
        series,
        state_bytes,
        concurrent_requests,
        inflight_bytes,
        answer_bytes,
        connections,
        header_bytes,
        header_timeout,
        body_timeout,
        request_timeout,
        shutdown_timeout,
        disk_free_bytes,
    } = config(&words).limits;
    let nanos = |time: Duration| usize::try_from(time.as_nanos()).unwrap();
    let moved = [
        body_bytes,
        decoded_body_bytes,
        series_per_push,
        labels_per_series,
        name_bytes,
        label_value_bytes,
        groups,
        series,
        usize::try_from(state_bytes).unwrap(),
        concurrent_requests,
        inflight_bytes,
        answer_bytes,
        connections,
        header_bytes,
        nanos(header_timeout),
        nanos(body_timeout),
        nanos(request_timeout),
        nanos(shutdown_timeout),
        usize::try_from(disk_free_bytes).unwrap(),
    ];
    assert!(moved.into_iter().eq(10_000..10_000 + moved.len()), "{moved:?}");
}

#[test]
fn settings_arrive_where_they_belong() {
    let config = config(&[
        "--web.listen-address=:1",
        "--web.listen-address",
        "h:2",
        "--web.external-url=https://x.example/ext/",
        "--web.telemetry-path=/tele/",
        "--web.enable-lifecycle",
        "--web.self-metrics=inline",
        "--push.disable-consistency-check",
        "--push.enable-utf8-names",
        "--no-web.enable-admin-api",
        "--log.level=debug",
        "--log.format=json",
    ]);
    assert_eq!(config.web.listen_addresses, [":1", "h:2"]);
    assert_eq!(config.flags["web.listen-address"], ":1,h:2");
    assert_eq!(config.web.external_url.as_deref(), Some("https://x.example/ext/"));
    assert_eq!(config.web.route_prefix, "/ext");
    assert_eq!(config.flags["web.route-prefix"], "/ext");
    assert_eq!(config.web.telemetry_path, "/tele");
    assert_eq!(config.flags["web.telemetry-path"], "/tele/");
    assert!(config.web.enable_lifecycle && !config.web.enable_admin_api);
    assert_eq!(config.web.self_metrics, SelfMetrics::Inline);
    assert_eq!(config.push, PushConfig { check_consistency: false, utf8_names: true });
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
}

#[test]
fn the_persistence_file_chooses_the_folder() {
    let table: &[(&[&str], &str, usize)] = &[
        (&["--persistence.file="], "data", 0),
        (&["--persistence.file=/var/lib/pgw/metrics.db"], "/var/lib/pgw/quorumgate", 1),
        (&["--persistence.file=metrics.db"], "quorumgate", 1),
        (&["--persistence.file=/a/b", "--storage.path=/c"], "/c", 1),
        (&["--persistence.interval=5m"], "data", 0),
        (&["--persistence.interval=1m"], "data", 1),
        (&["--persistence.file=/a/b", "--persistence.interval=-1s"], "/a/quorumgate", 2),
    ];
    for (words, folder, notes) in table {
        let config = config(words);
        assert_eq!(config.storage.path, Path::new(folder), "{words:?}");
        assert_eq!(config.flags["storage.path"], *folder, "{words:?}");
        assert_eq!(config.notes.len(), *notes, "{words:?}: {:?}", config.notes);
    }
    let notes = config(&["--persistence.file=/a/b"]).notes;
    assert!(notes[0].contains("every push is durable in /a/quorumgate"), "{notes:?}");
}

/// What the upstream program, version 1.5.1, answered to the same words, apart from the quotes
/// around log levels and formats, which 1.11 no longer has.
#[test]
fn errors_read_as_upstream() {
    let table: &[(&[&str], &str)] = &[
        (&["--nope"], "unknown long flag '--nope'"),
        (&["--nope=1"], "unknown long flag '--nope'"),
        (&["--no-nope"], "unknown long flag '--no-nope'"),
        (&["--=foo"], "unknown long flag '--'"),
        (&["--no-web.telemetry-path=x"], "unknown long flag '--no-web.telemetry-path'"),
        (&["-x"], "unknown short flag '-x'"),
        (&["-x=3"], "unknown short flag '-x'"),
        (&["-hx"], "unknown short flag '-x'"),
        (&["-"], "unknown short flag '-'"),
        (&["foo"], "unexpected foo"),
        (&["foo", "--nope"], "unexpected foo"),
        (&["--", "--foo"], "unexpected --foo"),
        (&[""], "unexpected "),
        (&["--help=foo"], "unexpected foo"),
        (&["--help", "--nope"], "unknown long flag '--nope'"),
        (&["--nope", "--version"], "unknown long flag '--nope'"),
        (&["--web.enable-lifecycle=true"], "unexpected true"),
        (&["--web.enable-lifecycle", "true"], "unexpected true"),
        (&["--no-web.enable-lifecycle=false"], "unexpected false"),
        (
            &["--web.enable-lifecycle", "--no-web.enable-lifecycle"],
            "flag 'web.enable-lifecycle' cannot be repeated",
        ),
        (
            &["--web.telemetry-path=/a", "--web.telemetry-path=/a"],
            "flag 'web.telemetry-path' cannot be repeated",
        ),
        (&["--web.telemetry-path"], "expected argument for flag '--web.telemetry-path'"),
        (
            &["--web.telemetry-path", "--web.enable-lifecycle"],
            "expected argument for flag '--web.telemetry-path'",
        ),
        (&["--persistence.interval=1d"], "time: unknown unit \"d\" in duration \"1d\""),
        (&["--persistence.interval="], "time: invalid duration \"\""),
        (&["--log.level=foo"], "unrecognized log level foo"),
        (&["--log.format=foo"], "unrecognized log format foo"),
        (&["--log.format=JSON"], "unrecognized log format JSON"),
        (&["--web.external-url=:foo"], "invalid URL: parse \":foo\": missing protocol scheme"),
    ];
    for (words, expect) in table {
        assert_eq!(error(words), *expect, "{words:?}");
    }
}

#[test]
fn our_own_errors_name_flag_and_reason() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--web.config.file=web.yml"],
            "this version does not support TLS and authentication by --web.config.file; put a \
             reverse proxy in front",
        ),
        (
            &["--web.systemd-socket"],
            "this version does not support --web.systemd-socket; use --web.listen-address",
        ),
        (
            &["--web.listen-address=vsock://:9091"],
            "this version does not support vsock, as in --web.listen-address=vsock://:9091",
        ),
        (
            &["--web.listen-address=9091"],
            "invalid value \"9091\" for --web.listen-address: missing port in address",
        ),
        (
            &["--web.telemetry-path=metrics"],
            "invalid value \"metrics\" for --web.telemetry-path: must begin with \"/\"",
        ),
        (
            &["--web.telemetry-path=/-/metrics"],
            "invalid value \"/-/metrics\" for --web.telemetry-path: another route has this path",
        ),
        (
            &["--web.route-prefix=a//b"],
            "the route prefix \"/a//b\" must not contain empty, \".\" or \"..\" segments",
        ),
        (&["--storage.path="], "invalid value \"\" for --storage.path: must not be empty"),
        (
            &["--limits.groups=0"],
            "invalid value \"0\" for --limits.groups: must be from 1 to 281474976710656",
        ),
        (&["--limits.groups=1k"], "invalid value \"1k\" for --limits.groups: expected a number"),
        (
            &["--limits.body-bytes=1MB"],
            "invalid value \"1MB\" for --limits.body-bytes: expected bytes: a number, or one \
             followed by KiB, MiB or GiB",
        ),
        (
            &["--limits.body-bytes=99999999999GiB"],
            "invalid value \"99999999999GiB\" for --limits.body-bytes: is too large",
        ),
        (
            &["--limits.header-bytes=1KiB"],
            "invalid value \"1KiB\" for --limits.header-bytes: must be from 8192 to 67108864",
        ),
        (
            &["--limits.body-timeout=-1s"],
            "invalid value \"-1s\" for --limits.body-timeout: must be above 0s and at most 24h",
        ),
        (
            &["--limits.body-timeout=5"],
            "invalid value \"5\" for --limits.body-timeout: time: missing unit in duration \"5\"",
        ),
        (
            &["--web.self-metrics=x"],
            "invalid value \"x\" for --web.self-metrics: expected separate or inline",
        ),
        (&["two\nlines\u{1b}"], "unexpected two\\nlines\\u{1b}"),
    ];
    for (words, expect) in table {
        assert_eq!(error(words), *expect, "{words:?}");
    }
}

#[cfg(unix)]
#[test]
fn refuses_what_is_not_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let word = OsString::from_vec(b"--storage.path=/\xff".to_vec());
    let error = parse([word].into_iter()).unwrap_err().to_string();
    assert!(error.contains("is not valid UTF-8"), "{error}");
}

#[test]
fn help_shows_each_flag_once_and_fits_the_terminal() {
    let help = printed(&["--help"]);
    for words in [&["-h"][..], &["--help-long"], &["--log.level=x", "--help"]] {
        assert_eq!(printed(words), help);
    }
    assert!(help.starts_with("usage: quorumgate [<flags>]\n"), "{help}");
    assert!(help.ends_with('\n') && help.lines().all(|line| line.len() <= 80), "{help}");
    for (name, ..) in FLAG_TABLE {
        let begins = |line: &&str| {
            let flag = line.trim_start().strip_prefix("--");
            flag.map(|flag| flag.strip_prefix("[no-]").unwrap_or(flag))
                .is_some_and(|flag| flag.split(['=', ' ']).next() == Some(*name))
        };
        assert_eq!(help.lines().filter(begins).count(), 1, "{name}");
    }
    for line in [
        "      --[no-]web.enable-lifecycle",
        "      --web.listen-address=:9091 ...",
        "      --web.route-prefix=\"\"  Prefix of all HTTP routes. When empty, the path of",
        "      --persistence.interval=5m",
        "      --limits.body-bytes=64MiB",
    ] {
        assert!(help.lines().any(|found| found == line), "{line}\n{help}");
    }
}

#[test]
fn prints_manual_version_and_reference() {
    let man = printed(&["--help-man"]);
    let reference = reference();
    for (name, ..) in FLAG_TABLE {
        assert!(man.contains(&name.replace('-', "\\-")), "{name}");
        let rows = reference.lines().filter(|row| {
            row.starts_with(&format!("| `--{name}`"))
                || row.starts_with(&format!("| `--[no-]{name}`"))
        });
        assert_eq!(rows.count(), 1, "{name}");
    }
    for words in [&["--version"][..], &["--version", "--nope"], &["--log.level=info", "--version"]]
    {
        assert!(printed(words).starts_with("quorumgate, version "), "{words:?}");
    }
}

#[test]
fn takes_arguments_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("ok"), "# comment\n--storage.path\n/x y\n\n--log.level=warn\n").unwrap();
    std::fs::write(path("loop"), format!("@{}\n", path("loop"))).unwrap();

    let given = format!("@{}", path("ok"));
    let config = config(&["--web.enable-lifecycle", &given, "--log.format=json"]);
    assert_eq!(config.storage.path, Path::new("/x y"));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Warn, LogFormat::Json));
    assert!(config.web.enable_lifecycle);

    assert_eq!(error(&[&format!("@{}", path("loop"))]), "more than 16 arguments files");
    let missing = error(&[&format!("@{}", path("none"))]);
    assert!(missing.starts_with("failed to open arguments file"), "{missing}");
    assert_eq!(error(&["--", "@x"]), "unexpected @x");
}

#[test]
fn durations_are_read_as_go_reads_them() {
    let table = [
        ("0", "0s"),
        ("-0", "0s"),
        ("0s", "0s"),
        ("5m", "5m0s"),
        ("1h", "1h0m0s"),
        ("1h30m", "1h30m0s"),
        ("90s", "1m30s"),
        ("1.5h", "1h30m0s"),
        (".5m", "30s"),
        ("1.m", "1m0s"),
        ("+1s", "1s"),
        ("-1.5s", "-1.5s"),
        ("1h1ms", "1h0m0.001s"),
        ("100ms", "100ms"),
        ("1us", "1\u{b5}s"),
        ("1\u{b5}s", "1\u{b5}s"),
        ("1\u{3bc}s", "1\u{b5}s"),
        ("1500ns", "1.5\u{b5}s"),
        ("0.3333333333333333333h", "19m59.999999999s"),
        ("9223372036854775807ns", "2562047h47m16.854775807s"),
        ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
    ];
    for (text, expect) in table {
        assert_eq!(parse_duration(text).map(show_duration).as_deref(), Ok(expect), "{text}");
    }
    let table = [
        ("", "invalid duration \"\""),
        ("-", "invalid duration \"-\""),
        ("x", "invalid duration \"x\""),
        (".s", "invalid duration \".s\""),
        ("\"", "invalid duration \"\\\"\""),
        ("5", "missing unit in duration \"5\""),
        ("-5", "missing unit in duration \"-5\""),
        ("1.5", "missing unit in duration \"1.5\""),
        ("1h x", "unknown unit \"h x\" in duration \"1h x\""),
        ("1d", "unknown unit \"d\" in duration \"1d\""),
        ("1\u{e9}", "unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\""),
        ("9223372036854775808ns", "invalid duration \"9223372036854775808ns\""),
        ("99999999999999999999s", "invalid duration \"99999999999999999999s\""),
        ("9999999999h", "invalid duration \"9999999999h\""),
    ];
    for (text, expect) in table {
        assert_eq!(parse_duration(text), Err(format!("time: {expect}")), "{text}");
    }
}

/// `WRITE_FLAGS_DOC=1 cargo test --lib cli::` writes the page anew.
#[test]
fn the_reference_in_the_documentation_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/flags.md");
    let page = format!(
        "# Flags\n\n\
         Each is given as `--name=value` or `--name value`; a switch as `--name` or `--no-name`.\n\
         Flags of the Pushgateway keep their names, and what differs in their meaning is said here \
         and in [compatibility.md](compatibility.md).\n\n\
         {}\n\
         This page is made from the table in `src/cli/flags.rs`: \
         `WRITE_FLAGS_DOC=1 cargo test --lib cli::` writes it anew.\n",
        reference()
    );
    if std::env::var_os("WRITE_FLAGS_DOC").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, page, "run WRITE_FLAGS_DOC=1 cargo test --lib cli::");
}

proptest::proptest! {
    #[test]
    fn any_duration_reads_back_as_shown(nanos: i64) {
        let duration = GoDuration(nanos);
        proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
    }

    #[test]
    fn any_words_are_read_or_refused_in_one_line(words in proptest::collection::vec(word(), 0..4)) {
        if let Err(error) = parse(words.iter().map(OsString::from)) {
            proptest::prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}

/// A flag of ours with any value, or any text that is not the name of a file.
fn word() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let value = prop_oneof!["\\PC*", "(?s).*", "[-+0-9.a-zKMGiB/:%\\[\\]@]*"];
    let flag = proptest::sample::select(FLAG_TABLE).prop_map(|(name, ..)| name);
    prop_oneof![
        (flag.clone(), value).prop_map(|(name, value)| format!("--{name}={value}")),
        flag.prop_map(|name| format!("--no-{name}")),
        "[^@](?s).*",
        "--.*",
    ]
}
