//! The kinds of flag values: how each is read and shown.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration::{GoDuration, parse_duration, show_duration};
use crate::config::SelfMetrics;
use crate::telemetry::{LogFormat, LogLevel};

/// A borrowed setting, with the kind that says how to read and show it.
pub(super) enum Slot<'a> {
    Bool(&'a mut bool),
    Text(&'a mut String),
    /// Each use of the flag adds one; the first replaces the default.
    Texts(&'a mut Vec<String>),
    Url(&'a mut String),
    /// Any duration, also negative.
    GoDuration(&'a mut GoDuration),
    /// A time that something may take.
    Timeout(&'a mut Duration),
    /// A time that something may take, or none at all.
    Delay(&'a mut Duration),
    Count(Number<'a>, RangeInclusive<u64>),
    Bytes(Number<'a>, RangeInclusive<u64>),
    Level(&'a mut LogLevel),
    Format(&'a mut LogFormat),
    SelfMetrics(&'a mut SelfMetrics),
    /// Whether reads may be older than what was acknowledged before they began.
    Stale(&'a mut bool),
}

/// An unsigned setting of either width.
pub(super) enum Number<'a> {
    Size(&'a mut usize),
    Wide(&'a mut u64),
}

impl<'a> From<&'a mut usize> for Number<'a> {
    fn from(target: &'a mut usize) -> Self {
        Number::Size(target)
    }
}

impl<'a> From<&'a mut u64> for Number<'a> {
    fn from(target: &'a mut u64) -> Self {
        Number::Wide(target)
    }
}

impl Number<'_> {
    fn get(&self) -> u64 {
        match self {
            Number::Size(target) => **target as u64,
            Number::Wide(target) => **target,
        }
    }

    fn set(&mut self, value: u64, range: &RangeInclusive<u64>) -> Result<(), String> {
        let out_of_range = || format!("must be from {} to {}", range.start(), range.end());
        if !range.contains(&value) {
            return Err(out_of_range());
        }
        match self {
            Number::Size(target) => {
                **target = usize::try_from(value).map_err(|_| out_of_range())?;
            }
            Number::Wide(target) => **target = value,
        }
        Ok(())
    }
}

/// The longest timeout: more would be a mistake, and far more would overflow the runtime's clock.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

impl Slot<'_> {
    /// Whether the flag takes no value and has a `--no-` form.
    pub(super) fn is_switch(&self) -> bool {
        matches!(self, Slot::Bool(_))
    }

    /// Whether the flag may be given more than once.
    pub(super) fn repeats(&self) -> bool {
        matches!(self, Slot::Texts(_))
    }

    /// Reads `value`, or says why not. `first` is false when the flag was given before.
    pub(super) fn set(&mut self, flag: &str, value: &str, first: bool) -> Result<(), String> {
        let named = |why: String| format!("invalid value {value:?} for --{flag}: {why}");
        match self {
            Slot::Bool(target) => **target = value == "true",
            Slot::Text(target) => value.clone_into(target),
            Slot::Texts(target) => {
                if first {
                    target.clear();
                }
                target.push(value.to_owned());
            }
            Slot::Url(target) => {
                crate::config::url_path(value).map_err(|why| format!("invalid URL: {why}"))?;
                value.clone_into(target);
            }
            Slot::GoDuration(target) => **target = parse_duration(value)?,
            Slot::Timeout(target) => **target = parse_timeout(value).map_err(named)?,
            Slot::Delay(target) => match value {
                "0" | "0s" => **target = Duration::ZERO,
                value => **target = parse_timeout(value).map_err(named)?,
            },
            Slot::Stale(target) => {
                **target = match value {
                    "linearizable" => false,
                    "stale" => true,
                    _ => return Err(named("expected linearizable or stale".to_owned())),
                };
            }
            Slot::Count(target, range) => {
                let number = value.parse().map_err(|_| named("expected a number".to_owned()))?;
                target.set(number, range).map_err(named)?;
            }
            Slot::Bytes(target, range) => {
                let bytes = parse_bytes(value).map_err(named)?;
                target.set(bytes, range).map_err(named)?;
            }
            Slot::Level(target) => {
                **target = LogLevel::from_name(&value.to_ascii_lowercase())
                    .ok_or_else(|| format!("unrecognized log level {value}"))?;
            }
            Slot::Format(target) => {
                **target = LogFormat::from_name(value)
                    .ok_or_else(|| format!("unrecognized log format {value}"))?;
            }
            Slot::SelfMetrics(target) => {
                **target = match value {
                    "separate" => SelfMetrics::Separate,
                    "inline" => SelfMetrics::Inline,
                    _ => return Err(named("expected separate or inline".to_owned())),
                };
            }
        }
        Ok(())
    }

    /// The value as the status page shows it.
    pub(super) fn show(&self) -> String {
        match self {
            Slot::Bool(target) => target.to_string(),
            Slot::Text(target) | Slot::Url(target) => (**target).clone(),
            Slot::Texts(target) => target.join(","),
            Slot::GoDuration(target) => show_duration(**target),
            Slot::Stale(true) => "stale".to_owned(),
            Slot::Stale(false) => "linearizable".to_owned(),
            Slot::Timeout(target) | Slot::Delay(target) => {
                show_duration(GoDuration(i64::try_from(target.as_nanos()).unwrap_or(i64::MAX)))
            }
            Slot::Count(target, _) => target.get().to_string(),
            Slot::Bytes(target, _) => show_bytes(target.get()),
            Slot::Level(target) => target.name().to_owned(),
            Slot::Format(target) => target.name().to_owned(),
            Slot::SelfMetrics(SelfMetrics::Separate) => "separate".to_owned(),
            Slot::SelfMetrics(SelfMetrics::Inline) => "inline".to_owned(),
        }
    }
}

pub(super) fn parse_timeout(value: &str) -> Result<Duration, String> {
    let nanos = parse_duration(value)?.0;
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(timeout) if !timeout.is_zero() && timeout <= TIMEOUT_MAX => Ok(timeout),
        _ => Err("must be above 0s and at most 24h".to_owned()),
    }
}

const BYTE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn parse_bytes(value: &str) -> Result<u64, String> {
    let (digits, unit) = BYTE_UNITS
        .iter()
        .find_map(|(name, unit)| value.strip_suffix(name).map(|digits| (digits, *unit)))
        .unwrap_or((value, 1));
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected bytes: a number, or one followed by KiB, MiB or GiB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "is too large".to_owned())
}

fn show_bytes(bytes: u64) -> String {
    match BYTE_UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}
