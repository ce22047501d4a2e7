//! `stator completions` and `stator man`: what shells and `man` know of the command line, made from the same definitions.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;

/// Options of `stator completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell to make a script for, which goes to standard output
    shell: Shell,
}

/// Options of `stator man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory for the pages, one a command; made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints a script of completions.
///
/// # Errors
/// When standard output does not take it.
pub(crate) fn completions(options: &Completions) -> io::Result<()> {
    let script = script(options.shell);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "stator", &mut script);
    script
}

/// Writes the pages.
///
/// # Errors
/// When the directory cannot be made or written to.
pub(crate) fn man(options: &Man) -> io::Result<()> {
    fs::create_dir_all(&options.out)?;
    clap_mangen::generate_to(Arguments::command(), &options.out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All commands, with those above them, as pages are named.
    fn commands(command: &clap::Command, above: &str, names: &mut BTreeSet<String>) {
        let name = match above {
            "" => command.get_name().to_owned(),
            above => format!("{above}-{}", command.get_name()),
        };
        for below in command.get_subcommands() {
            commands(below, &name, names);
        }
        names.insert(name);
    }

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("man1");
        man(&Man { out: out.clone() }).unwrap();
        let mut names = BTreeSet::new();
        commands(&Arguments::command(), "", &mut names);
        let pages: BTreeSet<String> = fs::read_dir(&out)
            .unwrap()
            .map(|page| page.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected: BTreeSet<String> = names.iter().map(|name| format!("{name}.1")).collect();
        assert_eq!(pages, expected);
        let page = fs::read_to_string(out.join("stator-config-check.1")).unwrap();
        assert!(page.contains("Configuration of a node"), "{page}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for command in Arguments::command().get_subcommands() {
                assert!(
                    script.contains(command.get_name()),
                    "{shell}: {}",
                    command.get_name()
                );
            }
        }
    }
}
