//! Splits the command line into flags and their values, by the rules of the upstream program's flag
//! library: they differ from those of Rust's usual ones in almost every corner.
//!
//! A flag has two dashes and takes `=value` or the next argument; a switch takes neither, and has a
//! `--no-` form. `--` ends the flags. `@file` stands for the lines of that file. The first thing that
//! is wrong is the error; whether a *value* is right is looked at only when all of this is.

use std::collections::VecDeque;

use super::flags::{FLAGS, Flag, Settings};

/// One flag as given.
pub(super) enum Given {
    /// `-h`, `--help`, `--help-long`.
    Help,
    /// `--help-man`.
    ManPage,
    /// `--version`.
    Version,
    /// Any other, with its value; `true` or `false` for a switch.
    Flag(&'static Flag, String),
}

enum Token {
    Long(String),
    Short(String),
    Arg(String),
    End,
}

impl Token {
    fn show(&self) -> String {
        match self {
            Token::Long(name) => format!("--{name}"),
            Token::Short(name) => format!("-{name}"),
            Token::Arg(text) => text.clone(),
            Token::End => "<EOL>".to_owned(),
        }
    }
}

/// Files that `@file` may pull in, so that one that names itself comes to an end.
const FILES_MAX: usize = 16;

struct Tokens {
    args: VecDeque<String>,
    /// What followed the `=` of the flag before.
    attached: Option<String>,
    args_only: bool,
    files_seen: usize,
}

impl Tokens {
    fn next(&mut self) -> Result<Token, String> {
        if let Some(value) = self.attached.take() {
            return Ok(Token::Arg(value));
        }
        let Some(arg) = self.args.pop_front() else {
            return Ok(Token::End);
        };
        if self.args_only {
            return Ok(Token::Arg(arg));
        }
        if arg == "--" {
            self.args_only = true;
            return self.next();
        }
        if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            self.attached = value;
            return Ok(Token::Long(name.to_owned()));
        }
        if let Some(short) = arg.strip_prefix('-') {
            let mut letters = short.chars();
            let first = letters.next();
            if !letters.as_str().is_empty() {
                self.args.push_front(format!("-{}", letters.as_str()));
            }
            return Ok(Token::Short(first.map(String::from).unwrap_or_default()));
        }
        match arg.strip_prefix('@') {
            Some(path) => {
                self.expand(path)?;
                self.next()
            }
            None => Ok(Token::Arg(arg)),
        }
    }

    /// Puts the lines of a file in front of the remaining arguments.
    fn expand(&mut self, path: &str) -> Result<(), String> {
        self.files_seen += 1;
        if self.files_seen > FILES_MAX {
            return Err(format!("more than {FILES_MAX} arguments files"));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|why| format!("failed to open arguments file {path:?}: {why}"))?;
        let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
        for line in text.lines().filter(wanted).rev() {
            self.args.push_front(line.to_owned());
        }
        Ok(())
    }
}

/// Reads the whole command line, without the program's name.
pub(super) fn split(args: VecDeque<String>) -> Result<Vec<Given>, String> {
    let mut tokens = Tokens { args, attached: None, args_only: false, files_seen: 0 };
    let mut given = Vec::new();
    loop {
        let token = tokens.next()?;
        match &token {
            Token::End => return Ok(given),
            Token::Arg(text) => return Err(format!("unexpected {text}")),
            Token::Short(name) if name == "h" => given.push(Given::Help),
            Token::Short(_) => return Err(format!("unknown short flag '{}'", token.show())),
            Token::Long(name) => given.push(match name.as_str() {
                "help" | "help-long" => Given::Help,
                "help-man" => Given::ManPage,
                "version" => Given::Version,
                name => flag(name, &token, &mut tokens)?,
            }),
        }
    }
}

fn flag(name: &str, token: &Token, tokens: &mut Tokens) -> Result<Given, String> {
    let unknown = || format!("unknown long flag '{}'", token.show());
    let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name);
    let (flag, negated) = match find(name) {
        Some(flag) => (flag, false),
        None => (name.strip_prefix("no-").and_then(find).ok_or_else(unknown)?, true),
    };
    if (flag.slot)(&mut Settings::defaults()).is_switch() {
        return Ok(Given::Flag(flag, (!negated).to_string()));
    }
    if negated {
        return Err(unknown());
    }
    match tokens.next()? {
        Token::Arg(value) => Ok(Given::Flag(flag, value)),
        _ => Err(format!("expected argument for flag '{}'", token.show())),
    }
}
