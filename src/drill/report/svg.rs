//! Pictures: the timeline of one round, and the gaps of all.
//!
//! Colours and fonts come from the classes of the page, so that they follow its light or dark scheme.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::super::course::Round;
use super::super::figures::{Gap, ms};
use super::super::record::Outcome;
use super::{Course, FaultFigures};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
/// Above the first band: the names of the moments.
const TOP: f64 = 44.0;
/// Above each band: the name of the endpoint.
const TITLE: f64 = 22.0;
const BAND: f64 = 104.0;
/// Below the last band: the seconds.
const BOTTOM: f64 = 40.0;
/// The latency at the foot of a band, and at its head.
const LOW_MS: f64 = 0.3;
const HIGH_MS: f64 = 12_000.0;
/// Dots are drawn once for each square of this side.
const GRAIN: f64 = 1.5;
/// The same for what is not a dot, and larger.
const GRAIN_OF_MARKS: f64 = 5.0;

/// Text within a picture.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Where things are in the timeline.
struct Frame<'a> {
    round: &'a Round,
    bands: usize,
}

impl Frame<'_> {
    fn height(&self) -> f64 {
        TOP + band_top(self.bands) - band_top(0) + BOTTOM
    }

    fn x(&self, at: Duration) -> f64 {
        let end = self.round.end.as_secs_f64().max(0.001);
        LEFT + at.as_secs_f64() / end * (WIDTH - LEFT - RIGHT)
    }
}

/// The upper edge of a band.
fn band_top(at: usize) -> f64 {
    TOP + TITLE + count(at) * (BAND + TITLE)
}

/// The height of a latency in a band.
fn height_of(band: usize, latency: Duration) -> f64 {
    let share = (latency.as_secs_f64() * 1e3).clamp(LOW_MS, HIGH_MS) / LOW_MS;
    band_top(band) + BAND * (1.0 - share.log10() / (HIGH_MS / LOW_MS).log10())
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The timeline of a round: a band for each endpoint, a dot for each push at the time when it began
/// and as high as it took long.
pub(super) fn timeline(course: &Course, round: &Round) -> String {
    let frame = Frame { round, bands: course.endpoints.len() };
    let height = frame.height();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"timeline of round {}\">\n",
        round.number
    );
    for band in 0..frame.bands {
        let name = course.names.get(band).map_or("", String::as_str);
        let endpoint = course.endpoints.get(band).map_or("", String::as_str);
        let away = if round.away.contains(&band) { " (away)" } else { "" };
        draw_band(&mut svg, &frame, band, &format!("{endpoint}  {name}{away}"));
    }
    draw_moments(&mut svg, &frame);
    draw_seconds(&mut svg, &frame);
    svg.push_str("</svg>");
    svg
}

/// Writing to a string cannot fail.
fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    svg.write_fmt(line).unwrap_or_default();
    svg.push('\n');
}

fn draw_band(svg: &mut String, frame: &Frame<'_>, band: usize, title: &str) {
    let (top, width) = (band_top(band), WIDTH - LEFT - RIGHT);
    let title = escaped(title);
    put(
        svg,
        format_args!("<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", top - 6.0),
    );
    put(
        svg,
        format_args!(
            "<rect class=\"band\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAND}\"/>"
        ),
    );
    for (grid_ms, label) in
        [(1, "1 ms"), (10, "10 ms"), (100, "100 ms"), (1000, "1 s"), (10_000, "10 s")]
    {
        let y = height_of(band, Duration::from_millis(grid_ms));
        let (from, to) = (LEFT, WIDTH - RIGHT);
        put(svg, format_args!("<path class=\"grid\" d=\"M{from} {y:.1}H{to}\"/>"));
        put(
            svg,
            format_args!(
                "<text class=\"axis end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 6.0,
                y + 3.5
            ),
        );
    }
    draw_gap(svg, frame, band, frame.round.gap_at(band));
    draw_scrapes(svg, frame, band);
    draw_pushes(svg, frame, band);
}

fn draw_gap(svg: &mut String, frame: &Frame<'_>, band: usize, gap: Gap) {
    let (from, to, top) = (frame.x(gap.from), frame.x(gap.to), band_top(band));
    let width = (to - from).max(1.0);
    let length = ms(gap.length());
    put(
        svg,
        format_args!(
            "<rect class=\"gap\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAND}\"/>"
        ),
    );
    // Beside a gap that is too narrow for it.
    let (class, x) = if width > 60.0 {
        ("gaplabel mid", f64::midpoint(from, to))
    } else {
        ("gaplabel", to + 5.0)
    };
    let y = top + 14.0;
    put(
        svg,
        format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{length:.0} ms</text>"),
    );
}

fn draw_scrapes(svg: &mut String, frame: &Frame<'_>, band: usize) {
    let foot = band_top(band) + BAND;
    for scrape in frame.round.account.scrapes.iter().filter(|scrape| scrape.endpoint == band) {
        let class = if scrape.succeeded && scrape.stale == 0 { "scrape" } else { "scrape bad" };
        // One may end after the load.
        let (x, end) = (frame.x(scrape.due), frame.x(scrape.ended.min(frame.round.end)));
        let width = end - x;
        put(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"4\"/>",
                foot - 4.0,
                width.max(1.5)
            ),
        );
    }
}

fn draw_pushes(svg: &mut String, frame: &Frame<'_>, band: usize) {
    let mut drawn = BTreeSet::new();
    let mut dots = String::new();
    for push in frame.round.account.pushes.iter().filter(|push| push.endpoint == band) {
        let (x, y) = (frame.x(push.due), height_of(band, push.latency()));
        // As text they are what the picture shows, and compare.
        let grain = if push.acknowledged() { GRAIN } else { GRAIN_OF_MARKS };
        let place = (format!("{:.0}", x / grain), format!("{:.0}", y / grain), push.outcome as u8);
        if !drawn.insert(place) {
            continue;
        }
        match push.outcome {
            // A line without length has round ends: the shortest dot there is.
            Outcome::Acknowledged => put(&mut dots, format_args!("M{x:.1} {y:.1}h0")),
            Outcome::Failed => {
                put(
                    svg,
                    format_args!(
                        "<path class=\"failed\" d=\"M{:.1} {:.1}l6 6m0 -6l-6 6\"/>",
                        x - 3.0,
                        y - 3.0
                    ),
                );
            }
            Outcome::Unknown => {
                put(
                    svg,
                    format_args!("<circle class=\"unknown\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
                );
            }
        }
    }
    put(svg, format_args!("<path class=\"dots\" d=\"{}\"/>", dots.replace('\n', "")));
}

fn draw_moments(svg: &mut String, frame: &Frame<'_>) {
    let round = frame.round;
    let foot = frame.height() - BOTTOM;
    let moments = [
        (Some(round.fault_at), "fault", 14.0),
        (round.healed_at, "healing begins", 26.0),
        (Some(round.whole_at).filter(|_| round.check.not_whole.is_none()), "whole again", 38.0),
    ];
    for (at, label, y) in moments {
        let Some(x) = at.map(|at| frame.x(at)) else { continue };
        // At the right end there is no room to the right.
        let (anchor, shift) = if x > WIDTH - 120.0 { ("end", -4.0) } else { ("start", 4.0) };
        let begin = y - 9.0;
        put(svg, format_args!("<path class=\"moment\" d=\"M{x:.1} {begin}V{foot:.1}\"/>"));
        put(
            svg,
            format_args!(
                "<text class=\"label\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{y}\">{label}</text>",
                x + shift
            ),
        );
    }
}

/// Seconds since the fault, at most a dozen of them.
fn draw_seconds(svg: &mut String, frame: &Frame<'_>) {
    let round = frame.round;
    let whole = round.end.as_secs();
    let step = [1, 2, 5, 10, 30, 60, 300].into_iter().find(|step| whole / step <= 12);
    let step = Duration::from_secs(step.unwrap_or(600));
    let y = frame.height() - BOTTOM;
    let mut tick = |at: Duration, label: String| {
        let x = frame.x(at);
        put(svg, format_args!("<path class=\"tick\" d=\"M{x:.1} {y:.1}v5\"/>"));
        put(
            svg,
            format_args!(
                "<text class=\"axis mid\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                y + 17.0
            ),
        );
    };
    let mut after = Duration::ZERO;
    while round.fault_at + after <= round.end {
        tick(round.fault_at + after, format!("{}", after.as_secs()));
        after += step;
    }
    let mut before = step;
    while let Some(at) = round.fault_at.checked_sub(before) {
        tick(at, format!("\u{2212}{}", before.as_secs()));
        before += step;
    }
    put(
        svg,
        format_args!(
            "<text class=\"axis mid\" x=\"{:.1}\" y=\"{:.1}\">seconds since the fault</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            y + 33.0
        ),
    );
}

const ROW: f64 = 34.0;
const STRIP_LEFT: f64 = 90.0;
const STRIP_RIGHT: f64 = 110.0;

/// The gaps of all rounds: a row for each fault, a dot for each round, a stroke at the median.
pub(super) fn strips(faults: &[FaultFigures], limit: Duration) -> String {
    let longest = faults.iter().map(FaultFigures::max_gap).max().unwrap_or_default();
    let scale_ms = (longest.as_secs_f64() * 1.1e3).max(10.0);
    let x = |gap: Duration| {
        STRIP_LEFT + gap.as_secs_f64() * 1e3 / scale_ms * (WIDTH - STRIP_LEFT - STRIP_RIGHT)
    };
    let foot = count(faults.len()) * ROW + 6.0;
    let height = foot + 34.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"gaps of all rounds\">\n"
    );
    for (at, figures) in faults.iter().enumerate() {
        let y = count(at) * ROW + ROW / 2.0 + 4.0;
        let name = figures.fault.name();
        put(
            &mut svg,
            format_args!(
                "<text class=\"name\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                STRIP_LEFT - 10.0,
                y + 4.0
            ),
        );
        put(
            &mut svg,
            format_args!(
                "<path class=\"grid\" d=\"M{STRIP_LEFT} {y:.1}H{:.1}\"/>",
                WIDTH - STRIP_RIGHT
            ),
        );
        for gap in &figures.gaps {
            let cx = x(*gap);
            put(
                &mut svg,
                format_args!("<circle class=\"round\" cx=\"{cx:.1}\" cy=\"{y:.1}\" r=\"5\"/>"),
            );
        }
        let (median, top) = (x(figures.median_gap()), y - 11.0);
        put(&mut svg, format_args!("<path class=\"median\" d=\"M{median:.1} {top:.1}v22\"/>"));
        put(
            &mut svg,
            format_args!(
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{:.0} / {:.0} ms</text>",
                WIDTH - STRIP_RIGHT + 10.0,
                y + 4.0,
                ms(figures.median_gap()),
                ms(figures.max_gap())
            ),
        );
    }
    draw_milliseconds(&mut svg, foot, scale_ms, x);
    if limit.as_secs_f64() * 1e3 <= scale_ms {
        let x = x(limit);
        put(&mut svg, format_args!("<path class=\"limit\" d=\"M{x:.1} 2V{foot:.1}\"/>"));
        put(
            &mut svg,
            format_args!("<text class=\"axis\" x=\"{:.1}\" y=\"12\">--max-gap</text>", x + 4.0),
        );
    }
    svg.push_str("</svg>");
    svg
}

fn draw_milliseconds(svg: &mut String, foot: f64, scale_ms: f64, x: impl Fn(Duration) -> f64) {
    let steps = [1_u32, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000];
    let step = steps.into_iter().find(|step| scale_ms / f64::from(*step) <= 12.0);
    let step = Duration::from_millis(step.unwrap_or(600_000).into());
    let mut at = Duration::ZERO;
    while at.as_secs_f64() * 1e3 <= scale_ms {
        let x = x(at);
        put(svg, format_args!("<path class=\"tick\" d=\"M{x:.1} {foot:.1}v5\"/>"));
        put(
            svg,
            format_args!(
                "<text class=\"axis mid\" x=\"{x:.1}\" y=\"{:.1}\">{} ms</text>",
                foot + 18.0,
                at.as_millis()
            ),
        );
        at += step;
    }
}
