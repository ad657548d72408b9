//! Which build this is.
//!
//! All of it is fixed when the program is compiled, so that replicas that run the same binary agree.
//! Who packages the program may set `QUORUMGATE_REVISION`, `QUORUMGATE_BRANCH`,
//! `QUORUMGATE_BUILD_USER` and `QUORUMGATE_BUILD_DATE` while compiling; nothing else is needed.

use crate::pb::client::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// Name and help of the family that shows the build; dashboards know it under upstream's name.
pub(super) const FAMILY: &str = "pushgateway_build_info";
pub(super) const HELP: &str = "A metric with a constant '1' value labeled by version, revision, branch, goversion from which pushgateway was built, and the goos and goarch for the build.";

const UNKNOWN: &str = "unknown";

/// Which build this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The package's version.
    pub version: &'static str,
    /// The source revision, or `unknown`.
    pub revision: &'static str,
    /// The branch, or `unknown`.
    pub branch: &'static str,
    /// Who built it, or `unknown`.
    pub build_user: &'static str,
    /// When it was built, or `unknown`.
    pub build_date: &'static str,
    /// The compiler; it stands where upstream names its version of Go.
    pub compiler: &'static str,
    /// The operating system, by the name that Go gives it.
    pub os: &'static str,
    /// The processor architecture, by the name that Go gives it.
    pub arch: &'static str,
}

/// `$option`, or the fallback when it was not set or empty at compile time.
const fn or(option: Option<&'static str>, fallback: &'static str) -> &'static str {
    match option {
        Some(value) if !value.is_empty() => value,
        _ => fallback,
    }
}

impl BuildInfo {
    /// This program's build.
    pub fn current() -> Self {
        BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
            revision: or(option_env!("QUORUMGATE_REVISION"), UNKNOWN),
            branch: or(option_env!("QUORUMGATE_BRANCH"), UNKNOWN),
            build_user: or(option_env!("QUORUMGATE_BUILD_USER"), UNKNOWN),
            build_date: or(option_env!("QUORUMGATE_BUILD_DATE"), UNKNOWN),
            compiler: or(
                option_env!("QUORUMGATE_RUSTC"),
                concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), " or newer"),
            ),
            os: match std::env::consts::OS {
                "macos" => "darwin",
                os => os,
            },
            arch: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                "x86" => "386",
                "powerpc64" => "ppc64",
                "loongarch64" => "loong64",
                arch => arch,
            },
        }
    }

    /// `build_information` of `/api/v1/status`: upstream's keys, sorted.
    pub fn api_fields(&self) -> [(&'static str, &'static str); 6] {
        [
            ("branch", self.branch),
            ("buildDate", self.build_date),
            ("buildUser", self.build_user),
            ("goVersion", self.compiler),
            ("revision", self.revision),
            ("version", self.version),
        ]
    }

    /// The text of `--version`.
    pub fn version_text(&self) -> String {
        format!(
            "quorumgate, version {} (branch: {}, revision: {})\n  build user:       {}\n  \
             build date:       {}\n  compiler:         {}\n  platform:         {}/{}\n",
            self.version,
            self.branch,
            self.revision,
            self.build_user,
            self.build_date,
            self.compiler,
            self.os,
            self.arch,
        )
    }

    /// The build as one family: the same on all replicas that run the same binary.
    pub fn family(&self) -> MetricFamily {
        MetricFamily {
            name: Some(FAMILY.to_owned()),
            help: Some(HELP.to_owned()),
            r#type: Some(MetricType::Gauge.into()),
            metric: vec![self.metric()],
        }
    }

    pub(super) fn metric(&self) -> Metric {
        let labels = [
            ("branch", self.branch),
            ("goarch", self.arch),
            ("goos", self.os),
            ("goversion", self.compiler),
            ("revision", self.revision),
            ("tags", UNKNOWN),
            ("version", self.version),
        ];
        Metric {
            label: labels
                .iter()
                .map(|(name, value)| LabelPair {
                    name: Some((*name).to_owned()),
                    value: Some((*value).to_owned()),
                })
                .collect(),
            gauge: Some(Gauge { value: Some(1.0) }),
            ..Metric::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_complete_and_sorted() {
        let build = BuildInfo::current();
        assert_eq!(build, BuildInfo::current());
        let fields = build.api_fields();
        assert!(fields.is_sorted_by_key(|(name, _)| *name));
        assert!(fields.iter().all(|(_, value)| !value.is_empty()));

        let labels = build.metric().label;
        assert!(labels.is_sorted_by_key(|label| label.name().to_owned()));
        assert!(labels.iter().all(|label| !label.value().is_empty()));

        let text = build.version_text();
        assert!(text.starts_with(&format!("quorumgate, version {}", build.version)), "{text}");
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    }

    #[test]
    fn an_empty_setting_counts_as_none() {
        assert_eq!(or(Some("a"), "b"), "a");
        assert_eq!(or(Some(""), "b"), "b");
        assert_eq!(or(None, "b"), "b");
    }
}
