//! Scrapes: order, headers, own families, escaping, and what is kept between two of them.

use std::fmt::Write as _;

use super::*;
use crate::group::stored::CHUNK_BYTES;
use crate::pb::client::{Gauge, LabelPair, Metric, MetricType};

fn own(name: &str, kind: MetricType, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    match kind {
        MetricType::Counter => metric.counter.get_or_insert_default().value = Some(value),
        _ => metric.gauge = Some(Gauge { value: Some(value) }),
    }
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some(format!("own {name}")),
        r#type: Some(kind.into()),
        metric: vec![metric],
    }
}

fn without_times(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("push_"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_first_help_that_is_not_empty_counts() {
    let fixture = Fixture::with([
        put("c", "# HELP a third\n# TYPE a gauge\na 3\n"),
        put("b", "# HELP a second\n# TYPE a gauge\na 2\n"),
        put("a", "# TYPE a gauge\na 1\n"),
    ]);
    assert_eq!(
        without_times(&fixture.text()),
        "# HELP a second\n# TYPE a gauge\n\
         a{instance=\"\",job=\"a\"} 1\na{instance=\"\",job=\"b\"} 2\na{instance=\"\",job=\"c\"} 3\n"
    );
}

#[test]
fn own_families_are_merged_by_name() {
    let fixture = Fixture::with([put(
        "j",
        "b 1\n# HELP d pushed\n# TYPE d gauge\nd 4\n# TYPE e gauge\ne 5\nf 6\n",
    )]);
    let own = [
        own("z", MetricType::Gauge, 26.0),
        own("a", MetricType::Counter, 1.0),
        own("d", MetricType::Gauge, 40.0),
        own("e", MetricType::Counter, 50.0),
        MetricFamily { metric: vec![], ..own("c", MetricType::Gauge, 0.0) },
    ];
    let view = fixture.store.view();
    let text = String::from_utf8(view.exposition(&own, TEXT, false).to_vec()).unwrap();
    let labels = "{instance=\"\",job=\"j\"}";
    let expected = format!(
        "# HELP a own a\n# TYPE a counter\na 1\n\
         # TYPE b untyped\nb{labels} 1\n\
         # HELP d own d\n# TYPE d gauge\nd 40\nd{labels} 4\n\
         # TYPE e gauge\ne{labels} 5\n\
         # TYPE f untyped\nf{labels} 6\n\
         # HELP z own z\n# TYPE z gauge\nz 26\n"
    );
    assert_eq!(without_times(&text), expected);
    all_bodies(&view, &own);
}

#[test]
fn own_families_alone_are_a_scrape() {
    let view = GroupStore::new(HASH_KEY).view();
    let own = [own("a", MetricType::Gauge, 1.0)];
    let text = view.exposition(&own, TEXT, false).to_vec();
    assert_eq!(text, b"# HELP a own a\n# TYPE a gauge\na 1\n");
    all_bodies(&view, &own);
    assert_eq!(view.exposition(&[], TEXT, false), crate::group::Exposition::default());
}

#[test]
fn names_are_escaped_as_asked() {
    let metric = Metric {
        label: vec![LabelPair { name: Some("x-y".to_owned()), value: Some("1".to_owned()) }],
        gauge: Some(Gauge { value: Some(1.0) }),
        ..Metric::default()
    };
    let family = MetricFamily { metric: vec![metric], ..own("foo.bar", MetricType::Gauge, 0.0) };
    let change = prepare_push(key("j"), PushMode::Merge, vec![family], &RULES);
    let fixture = Fixture::with([change, put("k", "foo_baz 1\n")]);
    let view = fixture.store.view();
    for (escaping, expected) in [
        (Escaping::AllowUtf8, "{\"foo.bar\",instance=\"\",job=\"j\",\"x-y\"=\"1\"} 1"),
        (Escaping::Underscores, "foo_bar{instance=\"\",job=\"j\",x_y=\"1\"} 1"),
        (Escaping::Values, "U__foo_2e_bar{instance=\"\",job=\"j\",U__x_2d_y=\"1\"} 1"),
    ] {
        for gzip in [true, false, true] {
            let body = view.exposition(&[], Format { escaping, ..TEXT }, gzip).to_vec();
            let body = if gzip { gunzip(&body) } else { body };
            let text = String::from_utf8(body).unwrap();
            assert!(text.lines().any(|line| line == expected), "{text}");
        }
    }
    all_bodies(&view, &[]);
}

/// Two large families and many small ones in 100 groups.
fn large() -> Fixture {
    let body = |group: usize| {
        let mut body = String::new();
        for family in 0..20 {
            writeln!(body, "small_{family}_{} {group}", group % 7).unwrap();
        }
        for series in 0..3 {
            writeln!(body, "large{{series=\"{series}\"}} {series}").unwrap();
        }
        body
    };
    Fixture::with((0..100).map(|group| put(&format!("job{group}"), &body(group))))
}

#[test]
fn a_large_state_has_the_same_bytes_however_it_came_about() {
    let fixture = large();
    let view = fixture.store.view();
    let large = view.families().get("large").unwrap();
    assert!(large.bytes > 3 * CHUNK_BYTES as u64 && large.members.chunks().count() > 2);
    let mut restore = crate::group::Restore::new(HASH_KEY);
    for item in view.items() {
        restore.push(&item.key, &item.value).unwrap();
    }
    let restored = restore.finish().unwrap();
    assert_eq!(all_bodies(&view, &[]), all_bodies(&restored.view(), &[]));
    let own = [own("large", MetricType::Untyped, 1.0), own("small_2_2", MetricType::Gauge, 1.0)];
    assert_eq!(all_bodies(&view, &own), all_bodies(&restored.view(), &own));
}

#[test]
fn what_did_not_change_is_neither_rendered_nor_copied_again() {
    let mut fixture = large();
    let before = fixture.store.view();
    let first = before.exposition(&[], TEXT, true);
    let kept = before.cache_bytes();
    assert!(kept > 0 && kept < first.len as u64);
    assert_eq!(before.exposition(&[], TEXT, true), first);
    assert_eq!(before.cache_bytes(), kept);
    fixture.apply(post("job5", "large{series=\"0\"} 77\n"));
    let after = fixture.store.view();
    let left = after.cache_bytes();
    assert!(left > kept * 3 / 4, "{left} of {kept} bytes are still good");
    assert_ne!(gunzip(&after.exposition(&[], TEXT, true).to_vec()), gunzip(&first.to_vec()));
    assert_eq!(before.exposition(&[], TEXT, true), first, "the old picture stays");
}

#[test]
fn who_passes_by_gets_the_same_bytes_and_leaves_nothing_behind() {
    let fixture = large();
    let view = fixture.store.view();
    let delimited = Format { encoding: Encoding::ProtoDelimited, ..TEXT };
    for (format, gzip) in [(TEXT, false), (TEXT, true), (delimited, false), (delimited, true)] {
        let kept = view.cache_bytes();
        let first = passing(&view, &[], format, gzip);
        assert_eq!(view.cache_bytes(), kept);
        assert_eq!(view.exposition(&[], format, gzip).to_vec(), first);
        assert!(view.cache_bytes() > kept);
        assert_eq!(passing(&view, &[], format, gzip), first);
    }
}

/// What is never kept stands in its place among what is.
#[test]
fn who_passes_by_gets_everything_in_its_order() {
    let fixture = large();
    let own = [own("large", MetricType::Untyped, 1.0), own("small_2_2", MetricType::Gauge, 1.0)];
    let escaped = Format { escaping: Escaping::Underscores, ..TEXT };
    for (format, gzip) in [(TEXT, false), (TEXT, true), (escaped, false), (escaped, true)] {
        let view = fixture.store.view();
        let first = passing(&view, &own, format, gzip);
        let first = if gzip { gunzip(&first) } else { first };
        let kept = view.exposition(&own, format, gzip).to_vec();
        assert_eq!(first, if gzip { gunzip(&kept) } else { kept });
    }
}

fn passing(view: &View, own: &[MetricFamily], format: Format, gzip: bool) -> Vec<u8> {
    let wish = Wish { gzip, keep: false };
    view.exposition_within(own, format, wish, &mut |_| true).unwrap().to_vec()
}

/// What is shared with the state's caches needs no room, what a body holds alone does.
#[test]
fn a_body_is_given_up_where_there_is_no_room_for_it() {
    let fixture = large();
    let view = fixture.store.view();
    for encoding in
        [Encoding::Text, Encoding::ProtoDelimited, Encoding::ProtoText, Encoding::ProtoCompact]
    {
        for (gzip, keep) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("{encoding:?} gzip {gzip} keep {keep}");
            let format = Format { encoding, ..TEXT };
            let within = |max: usize| {
                let mut asked = 0;
                let mut room = |bytes: usize| {
                    asked = asked.max(bytes);
                    bytes <= max
                };
                let made = view.exposition_within(&[], format, Wish { gzip, keep }, &mut room);
                (made, asked)
            };
            let (whole, most) = within(usize::MAX);
            let whole = whole.unwrap();
            // Compressed, the pieces of this state are so short that they are copied.
            if keep && !gzip && encoding == Encoding::Text {
                assert!(most < whole.len / 2, "{what}: {most} of {} bytes", whole.len);
            } else if !keep && !gzip {
                assert!(most >= whole.len, "{what}: {most} of {} bytes", whole.len);
            }
            assert_eq!(within(most).0, Some(whole), "{what}");
            let (none, asked) = within(most / 2);
            assert_eq!(none, None, "{what}");
            // It is given up where the room ends, not at the end of the body.
            assert!(asked < most / 2 + most / 4 + (64 << 10), "{what}: {asked} of {most}");
        }
    }
}

#[test]
fn large_pieces_are_frames_of_their_own() {
    let lines: Vec<String> = (0..2000).map(|n| format!("a{{n=\"{n}\"}} 1\n")).collect();
    let body = lines.concat();
    let fixture = Fixture::with([put("j", &body)]);
    let view = fixture.store.view();
    let [first, second] = [(); 2].map(|()| view.exposition(&[], TEXT, false));
    let shared = |frame: &&bytes::Bytes| second.frames.iter().any(|f| f.as_ptr() == frame.as_ptr());
    let bytes: usize = first.frames.iter().filter(shared).map(bytes::Bytes::len).sum();
    assert!(bytes > 60_000, "{bytes} bytes shared");
}
