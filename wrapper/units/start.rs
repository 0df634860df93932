//! The two forms in which a command line starts this program: by itself, or by a shell that looks
//! first whether the program runs and starts the server alone where it does not.

/// The name of this program's file.
const NAME: &str = "shmwarden";

/// The shells that a unit may have the question asked by.
const SHELLS: [&str; 3] = ["sh", "bash", "dash"];

/// A command line that starts this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    /// The path of this program.
    pub(crate) program: &'a str,
    /// Its sub-command and options, up to the server's command.
    pub(crate) options: &'a str,
    /// The server's command; empty where there is none.
    pub(crate) server: &'a str,
    /// Set where a shell starts the server alone if this program does not run.
    pub(crate) is_guarded: bool,
}

impl<'a> Start<'a> {
    /// Takes a command line apart, as a unit has it or as systemd shows it (without quotes).
    pub(crate) fn of(line: &'a str) -> Option<Self> {
        let (first, rest) = word(line)?;
        if is_own(first) {
            return Some(Self::behind(first, rest));
        }
        let (option, script) = word(rest)?;
        if !SHELLS.contains(&base(first)) || option != "-c" {
            return None;
        }
        // The path may have blanks in it, in quotes that may be gone.
        let executed = script.match_indices("exec ").filter_map(|(at, found)| {
            let (program, rest) = script.get(at + found.len()..)?.split_once(" run ")?;
            let is_one = !program.contains("exec ") && is_own(program);
            is_one.then(|| (program, script.get(script.len() - rest.len() - "run ".len()..)))
        });
        let (program, rest) = executed.last()?;
        let (options, behind) = rest?.split_once("-- ")?;
        let options = options.trim_end();
        let alone = ["exec \"$$0\" \"$$@\"", "exec \"$0\" \"$@\""];
        let alone = alone.iter().find_map(|alone| {
            let (_, server) = behind.rsplit_once(alone)?;
            Some(server.trim_start_matches(['\'', '"']).trim_start())
        });
        let server = alone.unwrap_or(behind);
        Some(Self { program, options, server, is_guarded: alone.is_some() })
    }

    /// Returns the start of this program by itself, with the arguments behind its path.
    pub(super) fn behind(program: &'a str, arguments: &'a str) -> Self {
        let (options, server) = arguments.split_once(" -- ").unwrap_or((arguments, ""));
        Self { program, options, server, is_guarded: false }
    }

    /// Checks that it is this sub-command.
    pub(crate) fn is(&self, command: &str) -> bool {
        let mut words = self.options.split_whitespace();
        words.find(|word| !word.starts_with('-')) == Some(command)
    }

    /// Checks for an option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.split_whitespace().any(|word| word == option)
    }
}

/// The first word of a line, and what stands behind it.
fn word(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (!first.is_empty()).then_some((first, rest))
}

/// Checks that a path is that of this program.
pub(super) fn is_own(path: &str) -> bool {
    base(path) == NAME
}

/// The file name of a program, marks and quotes taken off.
fn base(path: &str) -> &str {
    path.trim_matches(['"', '\'', '\\']).rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (&str, &str, &str, bool) {
        let start = Start::of(line).unwrap_or_else(|| panic!("{line}"));
        (start.program, start.options, start.server, start.is_guarded)
    }

    #[test]
    fn the_program_by_itself_is_seen() {
        assert_eq!(of("/usr/bin/shmwarden sweep"), ("/usr/bin/shmwarden", "sweep", "", false));
        let line = "shmwarden -q run --name a -- /a -D b -- c";
        assert_eq!(of(line), ("shmwarden", "-q run --name a", "/a -D b -- c", false));
        assert!(Start::of(line).unwrap().is("run") && !Start::of(line).unwrap().is("sweep"));
    }

    #[test]
    fn the_program_behind_a_shell_is_seen_quoted_or_not() {
        let script = "case $$(/opt/shmwarden --version 2>/dev/null) in shmwarden*) exec \
            /opt/shmwarden run --in-place -- \"$$0\" \"$$@\";; esac; echo \"a\" >&2; exec \"$$0\" \
            \"$$@\"";
        for line in [format!("/bin/sh -c '{script}' /a -D b"), format!("sh -c {script} /a -D b")] {
            for line in [line.clone(), line.replace("$$", "$")] {
                assert_eq!(of(&line), ("/opt/shmwarden", "run --in-place", "/a -D b", true));
                assert!(Start::of(&line).unwrap().has("--in-place"));
            }
        }
        let odd = "/bin/sh -c exec '/opt/my tools/shmwarden' run -- \"$0\" \"$@\";; esac; exec \
            \"$0\" \"$@\" /a";
        assert_eq!(of(odd), ("'/opt/my tools/shmwarden'", "run", "/a", true));
        let short = "/bin/sh -c '/opt/shmwarden --version >/dev/null 2>&1 && exec /opt/shmwarden \
            run -- \"$$0\" \"$$@\"; exec \"$$0\" \"$$@\"' /a";
        assert_eq!(of(short), ("/opt/shmwarden", "run", "/a", true));
        let unasked = "/bin/sh -c 'exec shmwarden run -- /a -D b'";
        assert_eq!(of(unasked), ("shmwarden", "run", "/a -D b'", false));
    }

    #[test]
    fn other_commands_are_none_of_ours() {
        for line in ["", " ", "/usr/bin/postgres run", "/bin/sh", "/bin/sh -c", "sh -c 'exec a'"] {
            assert_eq!(Start::of(line), None, "{line}");
        }
        assert_eq!(Start::of("/bin/sh /opt/start.sh shmwarden run -- a"), None);
        assert_eq!(Start::of("/bin/echo -c exec shmwarden run -- a"), None);
    }
}
