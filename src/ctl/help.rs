//! The texts of `--help`, derived from the tables.

use std::fmt::Write as _;

use super::args::{FLAGS, Operand, VERBS, Verb};
use super::flags::Flag;

const WIDTH: usize = 80;
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is well
  1  failed or refused; one line on standard error says why
  2  bad usage
  3  done, but the cluster is not healthy or was not compared completely
  4  replicas disagree about what is stored
";

/// Help for all verbs that begin with some words.
pub(super) fn of_group(words: &str) -> String {
    let mut text = format!("usage: quorumgate {words} <command> [<flags>]\n\nCommands:\n");
    for verb in VERBS {
        if verb.words.starts_with(words) || words == "ctl" {
            let first = verb.help.split_inclusive(". ").next().unwrap_or_default();
            entry(&mut text, &synopsis(verb), first.trim_end_matches(['.', ' ']));
        }
    }
    text.push_str("\nEach has a --help of its own, with examples.\n\n");
    text.push_str(EXIT_CODES);
    text
}

/// Help for one verb.
pub(super) fn of_verb(verb: &Verb) -> String {
    let mut text = format!("usage: quorumgate {} [<flags>]\n\n", synopsis(verb));
    wrap(&mut text, verb.help, 0);
    text.push_str("\nFlags:\n");
    flags(&mut text, FLAGS.iter().filter(|flag| verb.flags.contains(&flag.name)));
    text.push_str("\nExamples:\n");
    for example in verb.examples {
        text.push_str("  quorumgate ");
        text.push_str(example);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(EXIT_CODES);
    text
}

/// An entry for each flag, and one for `--help`.
pub(crate) fn flags<T: 'static>(text: &mut String, flags: impl Iterator<Item = &'static Flag<T>>) {
    for flag in flags {
        let short = if flag.short.is_empty() { String::new() } else { format!("{}, ", flag.short) };
        let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
        entry(text, &format!("{short}{}{value}", flag.name), flag.help);
    }
    entry(text, "-h, --help", "Show this help.");
}

fn synopsis(verb: &Verb) -> String {
    match verb.operand {
        Operand::None => verb.words.to_owned(),
        Operand::One(name) => format!("{} {name}", verb.words),
        Operand::Maybe(name) => format!("{} [{name}]", verb.words),
    }
}

fn entry(text: &mut String, form: &str, help: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "  {form}").unwrap_or_default();
    wrap(text, help, 8);
}

/// Breaks words into lines.
pub(crate) fn wrap(text: &mut String, words: &str, indent: usize) {
    let mut column = 0;
    for word in words.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        }
        if column == 0 {
            write!(text, "{:indent$}", "").unwrap_or_default();
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
}
