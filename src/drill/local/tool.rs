//! Programs of the system.

use std::process::{Command, Stdio};

use crate::ctl::one_line;

/// Runs a program that must succeed.
pub(super) fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|err| format!("`{program}`: {err}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = one_line(&String::from_utf8_lossy(&output.stderr));
    // The first words tell which call it was; a script follows at its flag.
    let words: Vec<&str> =
        args.iter().copied().take_while(|arg| !matches!(*arg, "-e" | "-c")).collect();
    Err(format!("`{program} {}`: {said}", words.join(" ")))
}

/// The first of these programs that can be run with `--version`.
pub(super) fn first_of<'a>(programs: &[&'a str]) -> Option<&'a str> {
    programs.iter().copied().find(|program| run(program, &["--version"]).is_ok())
}

/// Whether this process may do what takes root.
pub(super) fn is_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("needs root".to_owned()) }
}
