//! What fuzz targets call: the parts of this edge that take apart what strangers send, and those
//! that show what was pushed.

use std::io::Read as _;
use std::sync::LazyLock;

use super::budget::Budget;
use super::decode::gzip::{self, Header};
use super::decode::snappy;
use super::path::PathLabels;
use super::router::{Decision, Route, Router};
use crate::clock::UnixNanos;
use crate::group::{
    Batch, GroupStore, GroupingKey, Mutation, PushMode, RequestId, StateLimits, View,
};
use crate::group::{PushRules, prepare_push};
use crate::limits::Limits;

/// Small, so that the fuzzer finds the bound.
const DECODED_BYTES_MAX: usize = 1 << 20;

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new("", "/metrics", true));
static PREFIXED: LazyLock<Router> = LazyLock::new(|| Router::new("/prefix", "/scrape", false));

/// Routes a request and reads the grouping key. The first byte chooses options, the rest is the path.
pub(crate) fn path(data: &[u8]) {
    let Some((options, path)) = data.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let router = if options & 1 == 0 { &ROUTER } else { &PREFIXED };
    let method = if options & 4 == 0 { "PUT" } else { "GET" };
    match router.route(method, path, Some("x=1")).decision {
        Decision::Handle(Route::Group(group)) => {
            let utf8_names = options & 8 == 0;
            if let Ok(labels) = PathLabels::parse(&group, utf8_names)
                && let Ok(key) = labels.into_key()
            {
                assert!(!key.job().is_empty(), "a grouping key has a job");
                delete_from_page(&key, utf8_names);
            }
        }
        Decision::Redirect { location, .. } => {
            assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "fit for a header");
            let target = location.strip_suffix("?x=1").expect("the query stays");
            if let Decision::Redirect { location: next, .. } =
                router.route(method, target, Some("x=1")).decision
            {
                assert_ne!(next, location, "a redirect leads on");
            }
        }
        _ => {}
    }
}

/// Checks that the status page's button deletes the group it stands beside.
fn delete_from_page(key: &GroupingKey, utf8_names: bool) {
    let mut store = GroupStore::new([0; 16]);
    let rules = PushRules { labels_max: usize::MAX, own: &[] };
    let change = prepare_push(key.clone(), PushMode::Merge, Vec::new(), &rules);
    let mutations = vec![Mutation { id: RequestId([0; 16]), change }];
    let batch = Batch { at: UnixNanos(0), limits: StateLimits::default(), mutations };
    store.apply(1, &batch);
    for path in super::status_page::delete_paths(&store.view(), utf8_names) {
        let named = match ROUTER.route("DELETE", &format!("/{path}"), None).decision {
            Decision::Handle(Route::Group(group)) => PathLabels::parse(&group, utf8_names).ok(),
            _ => None,
        };
        let named = named.and_then(|labels| labels.into_key().ok());
        assert_eq!(named.as_ref(), Some(key), "{path} names the group");
    }
}

/// Shows a state in the API and on the status page.
pub(crate) fn show(view: &View) {
    let mut lease = Budget::of_answers(&Limits::default()).lease();
    let Ok(json) = super::api_v1::write_groups(view, &mut lease) else { return };
    let json = json.concat();
    assert!(std::str::from_utf8(&json).is_ok(), "the API speaks UTF-8");
    // A crate of the tests alone.
    #[cfg(test)]
    assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "the API speaks JSON");
    let paths = super::status_page::delete_paths(view, true);
    assert_eq!(paths.len() as u64, view.group_count());
}

/// Decodes a compressed body. The first byte chooses the encoding, the rest is the body.
pub(crate) fn body(data: &[u8]) {
    let Some((encoding, body)) = data.split_first() else { return };
    let mut lease = Budget::of_bodies(&Limits::default()).lease();
    if encoding & 1 == 0 {
        let is_gzip = matches!(Header::read(body), Header::Complete(_));
        let decoded = gzip::decode(body, DECODED_BYTES_MAX, &mut lease);
        assert!(is_gzip || decoded.is_err(), "the check before routing agrees with the decoder");
        if let Ok(decoded) = decoded {
            assert!(decoded.len() <= DECODED_BYTES_MAX, "the bound holds");
            let mut other = Vec::new();
            let read = flate2::bufread::MultiGzDecoder::new(body).read_to_end(&mut other);
            // It refuses reserved flags, which Go passes over.
            assert!(read.is_err() || other == decoded, "another decoder says the same");
        }
    } else if let Ok(decoded) = snappy::decode(body, DECODED_BYTES_MAX, &mut lease) {
        assert!(decoded.len() <= DECODED_BYTES_MAX, "the bound holds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn targets_are_total(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            path(&data);
            body(&data);
        }

        #[test]
        fn paths_are_total(options: u8, text in "/(metrics/job(@base64)?/)?[a-zA-Z0-9/@%=._-]{0,40}") {
            path(&[&[options], text.as_bytes()].concat());
        }
    }
}
