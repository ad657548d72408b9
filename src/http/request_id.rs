//! What a change is called, so that a repetition of it takes effect only once.

use std::hash::Hasher as _;

use http::request::Parts;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::router::GroupRoute;
use crate::group::RequestId;

/// The header with which a client names a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The name of a push or delete. The same key, method and group get the same one, and nothing else
/// does.
pub(super) fn of_group_change(request: &Parts, route: &GroupRoute) -> RequestId {
    let base64: &[u8] = if route.job_base64 { b"base64" } else { b"" };
    of(request, &[base64, &route.job, &route.labels])
}

/// The name of a wipe.
pub(super) fn of_wipe(request: &Parts) -> RequestId {
    // No change of a group has this in its first place.
    of(request, &[b"wipe"])
}

/// A name made of the client's key, the method and what is to be changed; one by chance without a key.
fn of(request: &Parts, what: &[&[u8]]) -> RequestId {
    let key = request.headers.get(IDEMPOTENCY_KEY).map(http::HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return RequestId(rand::random());
    };
    // Every replica must come to the same result, so the hash has no secret.
    let mut hasher = SipHasher13::new();
    let method = request.method.as_str().as_bytes();
    for part in std::iter::once(&method).chain(what).chain([&key]) {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    RequestId(hasher.finish128().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::router::GroupVerb;
    use super::*;

    fn request(method: &str, key: &[&str]) -> Parts {
        let mut request = http::Request::builder().method(method);
        for key in key {
            request = request.header(IDEMPOTENCY_KEY, *key);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn id(method: &str, job: &str, key: &[&str]) -> RequestId {
        let route = GroupRoute {
            verb: GroupVerb::Put,
            job_base64: false,
            job: job.as_bytes().to_vec(),
            labels: Vec::new(),
        };
        of_group_change(&request(method, key), &route)
    }

    #[test]
    fn names_a_repeated_request_the_same() {
        let wipe = |key: &[&str]| of_wipe(&request("PUT", key));
        assert_eq!(id("PUT", "a", &["k"]), id("PUT", "a", &["k"]));
        assert_eq!(wipe(&["k"]), wipe(&["k"]));
        let others = [
            id("PUT", "a", &["k"]),
            id("PUT", "a", &["l"]),
            id("PUT", "b", &["k"]),
            id("POST", "a", &["k"]),
            id("PUT", "a", &[]),
            id("PUT", "a", &[]),
            id("PUT", "a", &[""]),
            id("PUT", "wipe", &["k"]),
            id("PUT", "", &["k"]),
            wipe(&["k"]),
            wipe(&["l"]),
            wipe(&[]),
            wipe(&[]),
        ];
        for (at, one) in others.iter().enumerate() {
            assert!(others[at + 1..].iter().all(|other| other != one));
        }
    }
}
