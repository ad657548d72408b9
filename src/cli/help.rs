//! Help, manual page and reference, all derived from the table of flags.

use std::fmt::Write as _;

use super::flags::{FLAGS, Flag, Settings};
use super::value::Slot;

const ABOUT: &str = "A Prometheus Pushgateway with a quorum: durable and drop-in.";
const BUILT_IN: [(&str, &str); 3] = [
    ("-h, --help", "Show this help (also --help-long and --help-man)."),
    ("    --help-man", "Show this help as a manual page."),
    ("    --version", "Show the version."),
];

/// Where the explanations begin, and where lines end.
const COLUMN: usize = 29;
const WIDTH: usize = 80;

/// The text of `--help`.
pub(super) fn help() -> String {
    let mut text = format!("usage: quorumgate [<flags>]\n\n{ABOUT}\n\n\nFlags:\n");
    for (form, help) in BUILT_IN {
        push_entry(&mut text, form, help);
    }
    for flag in FLAGS {
        push_entry(&mut text, &format!("    {}", form(flag)), flag.help);
    }
    text.push_str(
        "\nTools, each with a --help of its own:\n\
         \x20 quorumgate ctl <command>     Look at a cluster, change it, back it up.\n\
         \x20 quorumgate recover           Go on after the quorum was lost for good.\n\
         \x20 quorumgate drill             Rehearse a failover, and see what clients notice.\n",
    );
    text
}

/// The text of `--help-man`.
pub(super) fn man_page() -> String {
    let mut text = format!(
        ".TH quorumgate 1 \"\" \"quorumgate {}\" \"\"\n.SH NAME\nquorumgate \\- {}\n\
         .SH SYNOPSIS\n.B quorumgate\n[<flags>]\n.SH OPTIONS\n",
        env!("CARGO_PKG_VERSION"),
        roff(ABOUT.trim_end_matches('.')),
    );
    let built_in = BUILT_IN.iter().map(|(form, help)| (form.trim().to_owned(), *help));
    for (form, help) in built_in.chain(FLAGS.iter().map(|flag| (form(flag), flag.help))) {
        push(&mut text, format_args!(".TP\n\\fB{}\\fR\n{}\n", roff(&form), roff(help)));
    }
    text
}

/// The reference of all flags as a Markdown table.
pub(super) fn markdown() -> String {
    let mut text = "| flag | default | meaning |\n|---|---|---|\n".to_owned();
    for flag in FLAGS {
        let default = default_of(flag);
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let name = if is_switch(flag) { "[no-]" } else { "" };
        push(&mut text, format_args!("| `--{name}{}` | {default} | {} |\n", flag.name, flag.help));
    }
    text
}

/// A flag with its dashes and default, as in `--log.level=info` and `--[no-]web.enable-lifecycle`.
fn form(flag: &Flag) -> String {
    let mut settings = Settings::defaults();
    let slot = (flag.slot)(&mut settings);
    match slot {
        Slot::Bool(_) => format!("--[no-]{}", flag.name),
        Slot::Text(_) => format!("--{}={:?}", flag.name, slot.show()),
        Slot::Texts(_) => format!("--{}={} ...", flag.name, slot.show()),
        _ => format!("--{}={}", flag.name, default_of(flag)),
    }
}

fn is_switch(flag: &Flag) -> bool {
    (flag.slot)(&mut Settings::defaults()).is_switch()
}

fn default_of(flag: &Flag) -> String {
    let mut settings = Settings::defaults();
    let slot = (flag.slot)(&mut settings);
    let shown = slot.show();
    match slot {
        // `5m0s` reads better as `5m`; a user may write either.
        Slot::Timeout(_) | Slot::Delay(_) | Slot::GoDuration(_) => {
            match shown.strip_suffix("m0s") {
                Some(minutes) => format!("{minutes}m"),
                None => shown,
            }
        }
        _ => shown,
    }
}

fn push_entry(text: &mut String, form: &str, help: &str) {
    let mut line = format!("  {form}");
    if line.len() + 2 > COLUMN {
        push(text, format_args!("{line}\n"));
        line.clear();
    }
    let mut column = COLUMN;
    push(text, format_args!("{line:COLUMN$}"));
    for (i, word) in help.split_whitespace().enumerate() {
        if column + word.len() + 1 > WIDTH && i > 0 {
            push(text, format_args!("\n{:COLUMN$}", ""));
            column = COLUMN;
        } else if i > 0 {
            text.push(' ');
        }
        text.push_str(word);
        column += word.len() + 1;
    }
    text.push('\n');
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(what).unwrap_or_default();
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
