//! Which paths a route is for, exactly and nearly.

use super::{GroupRoute, GroupVerb, Route};

/// One route: a method, the paths it is for, and what it leads to.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) method: &'static str,
    pub(super) pattern: Pattern,
    pub(super) target: Target,
}

/// Paths that belong together.
#[derive(Debug)]
pub(super) enum Pattern {
    /// This path alone.
    Exact(String),
    /// Everything below this path, which ends with a slash.
    Below(String),
    /// A job and labels after this path, which ends with a slash.
    Group(String),
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Target {
    /// This route.
    Plain(Route),
    /// A group that the path names; the flag tells whether its job is base64-encoded.
    Group(GroupVerb, bool),
}

impl Entry {
    /// The route, if the path is one of its paths.
    pub(super) fn matches(&self, path: &[u8]) -> Option<Route> {
        match (&self.pattern, &self.target) {
            (Pattern::Exact(exact), Target::Plain(route)) => {
                (path == exact.as_bytes()).then(|| route.clone())
            }
            (Pattern::Below(root), Target::Plain(route)) => {
                path.starts_with(root.as_bytes()).then(|| route.clone())
            }
            (Pattern::Group(root), &Target::Group(verb, job_base64)) => {
                let rest = path.strip_prefix(root.as_bytes()).filter(|rest| !rest.is_empty())?;
                let job_len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
                let (job, labels) = rest.split_at_checked(job_len)?;
                let (job, labels) = (job.to_vec(), labels.to_vec());
                Some(Route::Group(GroupRoute { verb, job_base64, job, labels }))
            }
            _ => None,
        }
    }

    /// Whether `path`, which does not match, should be redirected to the same with its trailing
    /// slash added or removed.
    pub(super) fn redirects_to(&self, path: &[u8], toggled: &[u8]) -> bool {
        // A job left empty: upstream sends the client to a path that then is not found.
        let empty_job = matches!(&self.target, Target::Group(_, false))
            && matches!(&self.pattern, Pattern::Group(root) if path == root.as_bytes());
        empty_job || self.matches(toggled).is_some()
    }

    /// The path that this route has for one that differs in case, or in case and trailing slash.
    pub(super) fn matches_folded(&self, path: &[u8]) -> Option<Vec<u8>> {
        match &self.pattern {
            Pattern::Exact(exact) => {
                let toggled = toggled_slash(path);
                let same = |other: &[u8]| other.eq_ignore_ascii_case(exact.as_bytes());
                (same(path) || toggled.as_deref().is_some_and(same))
                    .then(|| exact.clone().into_bytes())
            }
            Pattern::Below(root) => {
                if let Some(rest) = strip_prefix_folded(path, root) {
                    return Some([root.as_bytes(), rest].concat());
                }
                let bare = root.trim_end_matches('/').as_bytes();
                path.eq_ignore_ascii_case(bare).then(|| root.clone().into_bytes())
            }
            Pattern::Group(root) => {
                let rest = strip_prefix_folded(path, root).filter(|rest| !rest.is_empty())?;
                Some([root.as_bytes(), rest].concat())
            }
        }
    }
}

fn strip_prefix_folded<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (head, rest) = path.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}

/// The path with its trailing slash added or removed; the root has only itself.
pub(super) fn toggled_slash(path: &[u8]) -> Option<Vec<u8>> {
    match path.strip_suffix(b"/") {
        Some(b"") => None,
        Some(bare) => Some(bare.to_vec()),
        None => Some([path, b"/"].concat()),
    }
}
