//! The command line: the upstream Pushgateway's flags by their names and rules, and ours beside them.
//!
//! Promises: what is accepted means what it means upstream; what this version cannot do is refused,
//! never ignored; an error is one line that says which flag and why. Must never do: print or exit by
//! itself, or look at the environment.

mod args;
mod duration;
mod flags;
mod help;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use args::Given;
use flags::{FLAGS, PERSISTENCE_INTERVAL, Settings};

use crate::config::{
    ClusterConfig, Config, PushConfig, ReadConfig, StorageConfig, WebConfig, check_path,
    route_prefix, split_host_port, url_path,
};
use crate::telemetry::BuildInfo;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Run(Box<Config>),
    /// Write this to standard output and exit with success.
    Print(String),
}

/// Why the command line cannot be followed. Its `Display` is the whole line for standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quorumgate: error: {}, try --help", one_line(.0))]
pub struct UsageError(String);

/// Reads the command line, without the program's name.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let args = args
        .map(|arg| {
            arg.into_string()
                .map_err(|arg| format!("argument \"{}\" is not valid UTF-8", arg.display()))
        })
        .collect::<Result<_, _>>()
        .map_err(UsageError)?;
    command(args).map_err(UsageError)
}

/// Reads how long something may take, as flags of that kind are read.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    value::parse_timeout(text)
}

/// The reference of all flags as a Markdown table, for the documentation.
pub fn reference() -> String {
    help::markdown()
}

fn command(args: std::collections::VecDeque<String>) -> Result<Command, String> {
    // Upstream answers a leading --version before anything else is looked at.
    if args.front().is_some_and(|first| first == "--version") {
        return Ok(Command::Print(BuildInfo::current().version_text()));
    }
    let given = args::split(args)?;
    if given.iter().any(|given| matches!(given, Given::Help)) {
        return Ok(Command::Print(help::help()));
    }
    let mut settings = Settings::defaults();
    let mut seen = BTreeSet::new();
    for given in &given {
        if let Given::Flag(flag, value) = given {
            let first = seen.insert(flag.name);
            let mut slot = (flag.slot)(&mut settings);
            if !first && !slot.repeats() {
                return Err(format!("flag '{}' cannot be repeated", flag.name));
            }
            slot.set(flag.name, value, first)?;
        }
    }
    for given in &given {
        match given {
            Given::ManPage => return Ok(Command::Print(help::man_page())),
            Given::Version => return Ok(Command::Print(BuildInfo::current().version_text())),
            Given::Help | Given::Flag(..) => {}
        }
    }
    let storage_path_given = seen.contains("storage.path");
    Ok(Command::Run(Box::new(check(settings, storage_path_given)?)))
}

/// Makes the configuration, if the settings fit together and this version can follow them.
fn check(mut settings: Settings, storage_path_given: bool) -> Result<Config, String> {
    refuse_unsupported(&settings)?;
    for address in &settings.listen_addresses {
        split_host_port(address)
            .map_err(|why| format!("invalid value {address:?} for --web.listen-address: {why}"))?;
    }
    // The URL was parsed when it was read, so that its path is to be had.
    let external_path = url_path(&settings.external_url)?;
    let prefix = route_prefix(&settings.route_prefix, &external_path);
    if !prefix.is_empty() {
        check_path(&prefix).map_err(|why| format!("the route prefix {prefix:?} {why}"))?;
    }
    let telemetry_path = telemetry_path(&settings.telemetry_path)?;
    if settings.storage_path.is_empty() {
        return Err("invalid value \"\" for --storage.path: must not be empty".to_owned());
    }

    let cluster = cluster(&settings)?;
    let notes = persistence_notes(&settings, storage_path_given);
    // Upstream shows the prefix that it computed, not the one that was asked for.
    prefix.clone_into(&mut settings.route_prefix);
    let storage_path = storage_path(&settings, storage_path_given);
    storage_path.display().to_string().clone_into(&mut settings.storage_path);
    let flags: BTreeMap<String, String> = FLAGS
        .iter()
        .map(|flag| (flag.name.to_owned(), (flag.slot)(&mut settings).show()))
        .collect();

    Ok(Config {
        web: WebConfig {
            listen_addresses: settings.listen_addresses,
            telemetry_path,
            external_url: Some(settings.external_url).filter(|url| !url.is_empty()),
            route_prefix: prefix,
            enable_lifecycle: settings.enable_lifecycle,
            enable_admin_api: settings.enable_admin_api,
            self_metrics: settings.self_metrics,
        },
        push: PushConfig {
            check_consistency: !settings.disable_consistency_check,
            utf8_names: settings.enable_utf8_names,
        },
        storage: StorageConfig {
            path: storage_path,
            snapshot_entries: settings.snapshot_entries,
            snapshot_bytes: settings.snapshot_bytes,
        },
        cluster,
        name: Some(settings.cluster_name).filter(|name| !name.is_empty()),
        read: ReadConfig {
            stale: settings.read_stale,
            max_staleness: settings.read_max_staleness,
            timeout: settings.read_timeout,
        },
        limits: settings.limits,
        log: settings.log,
        flags,
        notes,
    })
}

/// The part of the settings that is about other replicas, if there are to be any.
fn cluster(settings: &Settings) -> Result<Option<ClusterConfig>, String> {
    let join: Vec<String> = settings
        .cluster_join
        .iter()
        .flat_map(|targets| targets.split(','))
        .map(|target| target.trim().to_owned())
        .filter(|target| !target.is_empty())
        .collect();
    let addresses = [
        ("cluster.listen-address", &settings.cluster_listen_address),
        ("cluster.advertise-address", &settings.cluster_advertise_address),
    ];
    let addresses = addresses.into_iter().filter(|(_, address)| !address.is_empty());
    for (flag, address) in addresses.chain(join.iter().map(|target| ("cluster.join", target))) {
        split_host_port(address)
            .map_err(|why| format!("invalid value {address:?} for --{flag}: {why}"))?;
    }
    let (heartbeat, election) =
        (settings.cluster_heartbeat_interval, settings.cluster_election_timeout);
    if election < 3 * heartbeat || heartbeat < Duration::from_millis(5) {
        return Err("--cluster.heartbeat-interval must be at least 5ms, and \
                    --cluster.election-timeout at least three times as long"
            .to_owned());
    }
    if settings.cluster_listen_address.is_empty() {
        if join.is_empty() && settings.cluster_bootstrap_expect < 2 {
            return Ok(None);
        }
        return Err("--cluster.join and --cluster.bootstrap-expect need \
                    --cluster.listen-address, where the other replicas reach this one"
            .to_owned());
    }
    let bootstrap_expect = match settings.cluster_bootstrap_expect {
        0 if join.is_empty() => 1,
        expect => expect,
    };
    if bootstrap_expect > 1 && join.is_empty() {
        return Err("--cluster.bootstrap-expect needs --cluster.join, which says where the other \
                    replicas are"
            .to_owned());
    }
    Ok(Some(ClusterConfig {
        listen_address: settings.cluster_listen_address.clone(),
        advertise_address: settings.cluster_advertise_address.clone(),
        join,
        bootstrap_expect,
        heartbeat_interval: heartbeat,
        election_timeout: election,
        dead_member_timeout: settings.cluster_dead_member_timeout,
        voters_min: settings.cluster_voters_min,
        shutdown_delay: settings.cluster_shutdown_delay,
    }))
}

fn refuse_unsupported(settings: &Settings) -> Result<(), String> {
    if !settings.web_config_file.is_empty() {
        return Err("this version does not support TLS and authentication by \
                    --web.config.file; put a reverse proxy in front"
            .to_owned());
    }
    if settings.systemd_socket {
        return Err("this version does not support --web.systemd-socket; \
                    use --web.listen-address"
            .to_owned());
    }
    match settings.listen_addresses.iter().find(|address| address.starts_with("vsock:")) {
        Some(address) => Err(format!(
            "this version does not support vsock, as in --web.listen-address={address}"
        )),
        None => Ok(()),
    }
}

/// Routes that a scrape must not hide.
const FIXED_ROUTES: [&str; 6] =
    ["/status", "/-/healthy", "/-/ready", "/-/quit", "/-/metrics", "/api/v1"];
/// Folders in which other routes live.
const FIXED_FOLDERS: [&str; 4] = ["/api/v1/", "/static/", "/metrics/job/", "/metrics/job@base64/"];

/// The path of the scrape, without the trailing slash that upstream drops, too.
fn telemetry_path(asked: &str) -> Result<String, String> {
    let refuse = |why: &str| format!("invalid value {asked:?} for --web.telemetry-path: {why}");
    let path = asked.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(asked);
    check_path(path).map_err(refuse)?;
    let taken =
        FIXED_ROUTES.contains(&path) || FIXED_FOLDERS.iter().any(|folder| path.starts_with(folder));
    if taken { Err(refuse("another route has this path")) } else { Ok(path.to_owned()) }
}

/// The data's folder: the one that was asked for, else one beside the persistence file.
///
/// A folder of its own keeps a foreign file's neighbours apart from what is ours.
fn storage_path(settings: &Settings, given: bool) -> PathBuf {
    match Path::new(&settings.persistence_file).parent() {
        Some(folder) if !given => folder.join("quorumgate"),
        _ => PathBuf::from(&settings.storage_path),
    }
}

fn persistence_notes(settings: &Settings, storage_path_given: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !settings.persistence_file.is_empty() {
        let folder = storage_path(settings, storage_path_given);
        notes.push(format!(
            "every push is durable in {}; --persistence.file is neither read nor written",
            folder.display()
        ));
    }
    if settings.persistence_interval != PERSISTENCE_INTERVAL {
        notes.push(
            "--persistence.interval has no effect: every push is on disk before it is answered"
                .to_owned(),
        );
    }
    notes
}

/// Keeps an error on one line whatever the user typed.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control().then(|| c.escape_default());
            let plain = escape.is_none().then_some(c);
            escape.into_iter().flatten().chain(plain)
        })
        .collect()
}
