//! The grouping key that a push path names.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::gobase64::{self, Corrupt};
use super::router::GroupRoute;
use crate::exposition::goquote::quote;
use crate::exposition::name;
use crate::group::GroupingKey;
use crate::limits::Limits;

const BASE64_SUFFIX: &[u8] = b"@base64";
/// Label names that begin like this are Prometheus' own.
const RESERVED_PREFIX: &str = "__";
const JOB: &str = "job";

/// The grouping labels of a path. Values are bytes: whether they are text is found out only after
/// the body, as upstream does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathLabels(BTreeMap<String, Vec<u8>>);

/// A label value that is not text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8 {
    name: String,
    value: Vec<u8>,
}

impl NotUtf8 {
    /// What a push is told, as if the first of its metrics had been looked at.
    pub(super) fn reason(&self, metric_name: &str) -> String {
        let NotUtf8 { name, value } = self;
        let (quoted_name, quoted_value) = (quote(name.as_bytes()), quote(value));
        format!(
            "collected metric {} {{ label:{{name:{quoted_name}  value:{quoted_value}}}}} has a label \
             named {quoted_name} whose value is not utf8: {quoted_value}",
            quote(metric_name.as_bytes()),
        )
    }
}

impl PathLabels {
    /// Reads job and labels; the first fault from the left is told, but an empty job comes last.
    pub(super) fn parse(route: &GroupRoute, utf8_names: bool) -> Result<PathLabels, ApiError> {
        let job = decoded_job(route)?;
        let mut labels = BTreeMap::new();
        for (name, value) in pairs(&route.labels)? {
            let (name, value) = decoded_label(name, value, utf8_names)?;
            labels.insert(name, value);
        }
        if job.is_empty() {
            return Err(ApiError::GroupingKey("job name is required".to_owned()));
        }
        labels.insert(JOB.to_owned(), job);
        Ok(PathLabels(labels))
    }

    /// Refuses what could never be part of a push.
    pub(super) fn check_limits(&self, limits: &Limits) -> Result<(), ApiError> {
        let labels_max = limits.labels_per_series;
        if self.0.len() > labels_max {
            return Err(ApiError::Labels(format!(
                "more than {labels_max} labels in the path (--limits.labels-per-series)"
            )));
        }
        for (name, value) in &self.0 {
            if name.len() > limits.name_bytes {
                return Err(too_long("name", name.len(), limits.name_bytes, "name-bytes"));
            }
            if value.len() > limits.label_value_bytes {
                let max = limits.label_value_bytes;
                return Err(too_long("value", value.len(), max, "label-value-bytes"));
            }
        }
        Ok(())
    }

    /// The key, if all values are text.
    pub(super) fn into_key(self) -> Result<GroupingKey, NotUtf8> {
        let mut labels = Vec::with_capacity(self.0.len());
        for (name, value) in self.0 {
            match String::from_utf8(value) {
                Ok(value) => labels.push((name, value)),
                Err(error) => return Err(NotUtf8 { name, value: error.into_bytes() }),
            }
        }
        Ok(GroupingKey::new(labels))
    }
}

fn too_long(what: &str, bytes: usize, bytes_max: usize, flag: &str) -> ApiError {
    ApiError::Labels(format!(
        "label {what} of {bytes} bytes in the path, {bytes_max} are allowed (--limits.{flag})"
    ))
}

fn decoded_job(route: &GroupRoute) -> Result<Vec<u8>, ApiError> {
    if !route.job_base64 {
        return Ok(route.job.clone());
    }
    gobase64::decode(&route.job).map_err(|Corrupt { at, decoded }| {
        let decoded = quote(&decoded);
        ApiError::GroupingKey(format!(
            "invalid base64 encoding in job name {decoded}: illegal base64 data at input byte {at}"
        ))
    })
}

/// A label's name and value as they stand in the path.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Names and values in the order of the path.
fn pairs(labels: &[u8]) -> Result<Vec<Pair<'_>>, ApiError> {
    let Some(text) = labels.strip_prefix(b"/").filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut components = text.split(|&byte| byte == b'/');
    let mut pairs = Vec::new();
    while let Some(name) = components.next() {
        let Some(value) = components.next() else {
            let quoted = quote(labels);
            let text = format!("odd number of components in label string {quoted}");
            return Err(ApiError::GroupingKey(text));
        };
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decoded_label(
    raw_name: &[u8],
    value: &[u8],
    utf8_names: bool,
) -> Result<(String, Vec<u8>), ApiError> {
    let stripped = raw_name.strip_suffix(BASE64_SUFFIX);
    let shown_name = stripped.unwrap_or(raw_name);
    let Some(name) = label_name(shown_name, utf8_names) else {
        let quoted = quote(shown_name);
        return Err(ApiError::GroupingKey(format!("improper label name {quoted}")));
    };
    if stripped.is_none() {
        return Ok((name, value.to_vec()));
    }
    match gobase64::decode(value) {
        Ok(decoded) => Ok((name, decoded)),
        Err(Corrupt { at, .. }) => {
            let (shown_name, quoted) = (String::from_utf8_lossy(shown_name), quote(value));
            Err(ApiError::GroupingKey(format!(
                "invalid base64 encoding for label {shown_name}={quoted}: \
                 illegal base64 data at input byte {at}"
            )))
        }
    }
}

/// The label name that stands for `shown` in a path, if that is one.
fn label_name(shown: &[u8], utf8_names: bool) -> Option<String> {
    // The prefix is looked for in the escaped form, so that escaped names can have it, as upstream.
    let shown =
        std::str::from_utf8(shown).ok().filter(|name| !name.starts_with(RESERVED_PREFIX))?;
    let unescaped = if utf8_names { name::unescape_label_name(shown) } else { shown.into() };
    name::is_label_name(&unescaped, utf8_names).then(|| unescaped.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::router::{Decision, Route, Router};
    use proptest::prelude::*;

    fn parsed(path: &str, utf8_names: bool) -> Result<PathLabels, String> {
        let routed = Router::new("", "/metrics", false).route("PUT", path, None);
        let Decision::Handle(Route::Group(route)) = routed.decision else {
            panic!("{path} has no route: {routed:?}");
        };
        PathLabels::parse(&route, utf8_names).map_err(|error| error.text())
    }

    type Expected<'a> = Result<&'a [(&'a str, &'a str)], &'a str>;

    fn check(utf8_names: bool, cases: &[(&str, Expected<'_>)]) {
        for (path, expected) in cases {
            let actual = parsed(path, utf8_names);
            let actual = actual.map(|labels| {
                let key = labels.into_key().unwrap();
                key.labels().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
            });
            let expected = expected
                .map(|labels| labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect())
                .map_err(str::to_owned);
            assert_eq!(actual, expected, "{path}");
        }
    }

    #[test]
    fn reads_grouping_keys() {
        check(
            false,
            &[
                ("/metrics/job/a", Ok(&[("job", "a")])),
                ("/metrics/job/a/", Ok(&[("job", "a")])),
                ("/metrics/job/a/b/c", Ok(&[("b", "c"), ("job", "a")])),
                ("/metrics/job/a/b/", Ok(&[("b", ""), ("job", "a")])),
                ("/metrics/job/x/a@base64/", Ok(&[("a", ""), ("job", "x")])),
                ("/metrics/job/x/a@base64/=/b/c", Ok(&[("a", ""), ("b", "c"), ("job", "x")])),
                ("/metrics/job/a/x/1/x/2", Ok(&[("job", "a"), ("x", "2")])),
                ("/metrics/job/a/job/b", Ok(&[("job", "a")])),
                ("/metrics/job/a/x/b%2Fc/d", Ok(&[("c", "d"), ("job", "a"), ("x", "b")])),
                ("/metrics/job/a+b", Ok(&[("job", "a+b")])),
                ("/metrics/job/x/y/y;z", Ok(&[("job", "x"), ("y", "y;z")])),
                ("/metrics/job/%20%0A%00", Ok(&[("job", " \n\0")])),
                ("/metrics/job@base64/Zm9v=", Ok(&[("job", "foo")])),
                ("/metrics/job%40base64/YQ", Ok(&[("job", "a")])),
                ("/metrics/job/a/p@base64/L3Zhci90bXA", Ok(&[("job", "a"), ("p", "/var/tmp")])),
                (
                    "/metrics/job/a/instance/h/le/1",
                    Ok(&[("instance", "h"), ("job", "a"), ("le", "1")]),
                ),
                ("/metrics/job/a/U__foo_2e_bar/v", Ok(&[("U__foo_2e_bar", "v"), ("job", "a")])),
            ],
        );
    }

    #[test]
    fn tells_what_is_wrong_in_upstreams_words() {
        check(
            false,
            &[
                ("/metrics/job/a/b", Err(r#"odd number of components in label string "/b""#)),
                ("/metrics/job/a/b/c/", Err(r#"odd number of components in label string "/b/c/""#)),
                ("/metrics/job/a%2Fb", Err(r#"odd number of components in label string "/b""#)),
                (
                    "/metrics/job@base64/=/odd",
                    Err(r#"odd number of components in label string "/odd""#),
                ),
                ("/metrics/job@base64/=", Err("job name is required")),
                ("/metrics/job@base64/=/__x/y", Err(r#"improper label name "__x""#)),
                ("/metrics/job/a/__name__/x", Err(r#"improper label name "__name__""#)),
                ("/metrics/job/a/x-y/z", Err(r#"improper label name "x-y""#)),
                ("/metrics/job/a/a:b/z", Err(r#"improper label name "a:b""#)),
                ("/metrics/job/a/1a/z", Err(r#"improper label name "1a""#)),
                ("/metrics/job/a/%C3%A9/z", Err("improper label name \"é\"")),
                ("/metrics/job/a/%FF/z", Err(r#"improper label name "\xff""#)),
                ("/metrics/job/x/a@base64@base64/YQ", Err(r#"improper label name "a@base64""#)),
                ("/metrics/job/x/@base64/YQ", Err(r#"improper label name """#)),
                (
                    "/metrics/job@base64/Z",
                    Err(
                        r#"invalid base64 encoding in job name "": illegal base64 data at input byte 0"#,
                    ),
                ),
                (
                    "/metrics/job@base64/Zm9vYm*/odd",
                    Err(
                        r#"invalid base64 encoding in job name "foo": illegal base64 data at input byte 6"#,
                    ),
                ),
                (
                    "/metrics/job/x/a@base64/Zm9vYm=9v/-/-",
                    Err(
                        r#"invalid base64 encoding for label a="Zm9vYm=9v": illegal base64 data at input byte 6"#,
                    ),
                ),
            ],
        );
    }

    #[test]
    fn reads_any_text_as_a_name_when_allowed() {
        check(
            true,
            &[
                ("/metrics/job/a/U__foo_2e_bar/v", Ok(&[("foo.bar", "v"), ("job", "a")])),
                ("/metrics/job/a/U___55_____/v", Ok(&[("U__", "v"), ("job", "a")])),
                ("/metrics/job/a/U__a__b/v", Ok(&[("a_b", "v"), ("job", "a")])),
                ("/metrics/job/a/U__in_xxx_valid/v", Ok(&[("U__in_xxx_valid", "v"), ("job", "a")])),
                ("/metrics/job/a/foo.bar/v", Ok(&[("foo.bar", "v"), ("job", "a")])),
                ("/metrics/job/a/%C3%A9/v", Ok(&[("job", "a"), ("é", "v")])),
                ("/metrics/job/a/U__job/v", Ok(&[("job", "a")])),
                ("/metrics/job/a/U______name____/v", Ok(&[("__name__", "v"), ("job", "a")])),
                ("/metrics/job/a/U__/v", Err(r#"improper label name "U__""#)),
                ("/metrics/job/a/__a/v", Err(r#"improper label name "__a""#)),
                ("/metrics/job/a/%FF/v", Err(r#"improper label name "\xff""#)),
                ("/metrics/job/a/@base64/YQ", Err(r#"improper label name """#)),
            ],
        );
    }

    #[test]
    fn keeps_values_that_are_not_text_apart() {
        let labels = parsed("/metrics/job/a/x/%FF", false).unwrap();
        let not_utf8 = labels.into_key().unwrap_err();
        assert_eq!(
            not_utf8.reason("m"),
            r#"collected metric "m" { label:{name:"x"  value:"\xff"}} has a label named "x" whose value is not utf8: "\xff""#
        );
        assert!(parsed("/metrics/job@base64/_w", false).unwrap().into_key().is_err());
    }

    #[test]
    fn holds_labels_against_the_limits() {
        let limits = Limits {
            labels_per_series: 3,
            name_bytes: 4,
            label_value_bytes: 5,
            ..Limits::default()
        };
        for (path, expected) in [
            ("/metrics/job/12345/abcd/1/b/2", Ok(())),
            (
                "/metrics/job/a/b/1/c/2/d/3",
                Err("more than 3 labels in the path (--limits.labels-per-series)"),
            ),
            (
                "/metrics/job/a/abcde/1",
                Err("label name of 5 bytes in the path, 4 are allowed (--limits.name-bytes)"),
            ),
            (
                "/metrics/job/123456",
                Err(
                    "label value of 6 bytes in the path, 5 are allowed (--limits.label-value-bytes)",
                ),
            ),
        ] {
            let checked = parsed(path, false).unwrap().check_limits(&limits);
            assert_eq!(checked.map_err(|error| error.text()), expected.map_err(str::to_owned));
        }
    }

    proptest! {
        #[test]
        fn is_total(job: Vec<u8>, labels: Vec<u8>, job_base64: bool, utf8_names: bool) {
            let route = GroupRoute {
                verb: crate::http::router::GroupVerb::Put,
                job_base64,
                job,
                labels,
            };
            drop(PathLabels::parse(&route, utf8_names).map(PathLabels::into_key));
        }
    }
}
