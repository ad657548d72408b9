//! Flags in a table, and the command line split by it: shared by all tools.

use std::ffi::OsString;

/// A flag: its name, its value if it takes one, what it does, and the setting that it moves.
pub(crate) struct Flag<T> {
    pub(crate) name: &'static str,
    pub(crate) short: &'static str,
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) set: fn(&mut T, &str) -> Result<(), String>,
}

impl<T> Flag<T> {
    /// Moves the setting, or says why the value will not do.
    pub(crate) fn apply(&self, to: &mut T, value: &str) -> Result<(), String> {
        (self.set)(to, value)
            .map_err(|why| format!("invalid value {value:?} for {}: {why}", self.name))
    }
}

/// A flag as given, with its value.
pub(crate) type Given<T> = (&'static Flag<T>, String);

/// The command line in its parts.
pub(crate) struct Split<T: 'static> {
    pub(crate) words: Vec<String>,
    pub(crate) flags: Vec<Given<T>>,
    pub(crate) help: bool,
}

/// Splits a command line by the flags that there are.
pub(crate) fn split<T>(
    args: impl Iterator<Item = OsString>,
    known: &'static [Flag<T>],
) -> Result<Split<T>, String> {
    let mut split = Split { words: Vec::new(), flags: Vec::new(), help: false };
    let mut args = args.map(|arg| {
        arg.into_string().map_err(|arg| format!("argument \"{}\" is not UTF-8", arg.display()))
    });
    while let Some(arg) = args.next().transpose()? {
        if arg == "--" {
            for rest in args.by_ref() {
                split.words.push(rest?);
            }
        } else if arg == "--help" || arg == "-h" {
            split.help = true;
        } else if arg.len() > 1 && arg.starts_with('-') {
            let (name, attached) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            let flag = known.iter().find(|flag| flag.name == name || flag.short == name);
            let flag = flag.ok_or_else(|| format!("unknown flag {name:?}"))?;
            let value = match (flag.value.is_empty(), attached) {
                (true, None) => String::new(),
                (true, Some(_)) => return Err(format!("flag {name} takes no value")),
                (false, Some(value)) => value,
                (false, None) => {
                    let value = args.next().transpose()?;
                    value.ok_or_else(|| format!("flag {name} needs a value: {}", flag.value))?
                }
            };
            split.flags.push((flag, value));
        } else {
            split.words.push(arg);
        }
    }
    Ok(split)
}
