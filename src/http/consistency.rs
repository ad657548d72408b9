//! How fresh a read has to be: what the request says, else what the flags say.

use std::time::Duration;

use super::Options;
use super::error::ApiError;
use super::url;
use crate::raft::Consistency;

/// The longest age that can be asked for.
const STALENESS_MAX: Duration = Duration::from_hours(24);

/// What `?consistency=linearizable|stale` and `?max_staleness=5s` ask for.
pub(super) fn consistency(query: Option<&str>, options: &Options) -> Result<Consistency, ApiError> {
    let (mut stale, mut max) = (options.stale_reads, options.max_staleness);
    for (name, value) in url::query_pairs(query.unwrap_or_default()) {
        match (name.as_str(), value.as_str()) {
            ("consistency", "linearizable") => stale = false,
            ("consistency", "stale") => stale = true,
            ("consistency", other) => {
                return Err(ApiError::Query(format!(
                    "consistency={other}: expected linearizable or stale"
                )));
            }
            ("max_staleness", text) => {
                max = parse_age(text).ok_or_else(|| {
                    ApiError::Query(format!(
                        "max_staleness={text}: expected a time of at most 24h, such as 500ms, 5s or 2m"
                    ))
                })?;
            }
            _ => {}
        }
    }
    Ok(if stale { Consistency::Stale(max) } else { Consistency::Linearizable })
}

/// A whole number and its unit.
fn parse_age(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let age = Duration::from_millis(number.checked_mul(millis)?);
    (age <= STALENESS_MAX).then_some(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        let ms = Duration::from_millis;
        for (text, age) in [
            ("5s", Some(ms(5000))),
            ("5", Some(ms(5000))),
            ("250ms", Some(ms(250))),
            ("2m", Some(ms(120_000))),
            ("24h", Some(ms(86_400_000))),
            ("25h", None),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("5 s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse_age(text), age, "{text:?}");
        }
    }
}
