//! The words by which a shell starts the server also where this program does not run: it is gone,
//! a library of it is, or it is for another processor. Also how a path is written for a shell.
//!
//! What is asked for is the answer and not the exit status: an empty file, which a full disk
//! leaves, is a script to a shell, and ends well.

/// What a shell says where this program does not run.
const SAYS: &str = "shmwarden does not run (see shmwarden --version): the server starts without it";

/// The script of a unit's `ExecStart=`. `$0` and `$@` are the server's command.
pub(super) fn of_unit(program: &str, options: &str) -> String {
    let server = "\"$0\" \"$@\"";
    format!(
        "case $({program} --version 2>/dev/null) in shmwarden*) exec {program} {options} -- \
         {server};; esac; echo \"<3>{SAYS}\" >&2; exec {server}"
    )
}

/// The script that stands for a server's program: `pg_ctl -p` takes a path and no options.
pub(super) fn of_program(program: &str, server: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Where shmwarden does not run, the server starts without it.\n\
         case $({program} --version 2>/dev/null) in\n\
         shmwarden*) exec {program} run --in-place -- {server} \"$@\" ;;\n\
         esac\n\
         echo \"{SAYS}\" >&2\n\
         exec {server} \"$@\"\n"
    )
}

/// A path as a word of a shell's command line.
pub(super) fn for_shell(path: &str) -> String {
    if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c)) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// A script as one word of a unit's command line (`systemd.syntax(7)`, `systemd.unit(5)`).
/// Variables are put into it unless the command has the mark `:`.
pub(super) fn for_unit(script: &str, has_variables: bool) -> String {
    let script = script.replace('\\', "\\\\").replace('\'', "\\'").replace('%', "%%");
    let script = if has_variables { script.replace('$', "$$") } else { script };
    format!("'{script}'")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn program(path: &Path, text: &[u8]) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// What a shell starts with both scripts, where this is the program's file.
    fn started(text: Option<&[u8]>) -> [(String, String); 2] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("my $tools'");
        fs::create_dir(&path).unwrap();
        let path = path.join("shmwarden");
        if let Some(text) = text {
            program(&path, text);
        }
        let server = scratch.path().join("server");
        program(&server, b"#!/bin/sh\nprintf '%s|' server \"$@\"\n");
        let own = for_shell(path.to_str().unwrap());
        let script = scratch.path().join("postgres");
        program(&script, of_program(&own, server.to_str().unwrap()).as_bytes());
        let arguments = ["-c", "a  b", "$x", "%n", "'\"", "\\"];
        let mut of_unit = Command::new("/bin/sh");
        of_unit.args(["-c", &of_unit_text(&own)]).arg(&server).args(arguments);
        let mut of_program = Command::new(&script);
        of_program.args(arguments);
        [of_unit, of_program].map(|mut command| {
            let output = command.output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&output.stdout), text(&output.stderr))
        })
    }

    fn of_unit_text(own: &str) -> String {
        of_unit(own, "run --name a")
    }

    #[test]
    fn a_program_that_runs_gets_the_servers_command() {
        let ours = b"#!/bin/sh\n[ \"$1\" != --version ] || exec echo shmwarden 1\n\
            while [ \"$1\" != -- ]; do shift; done; shift 2; printf '%s|' ours \"$@\"\n";
        for (out, err) in started(Some(ours)) {
            assert_eq!((&*out, &*err), ("ours|-c|a  b|$x|%n|'\"|\\|", ""));
        }
    }

    #[test]
    fn the_server_starts_where_the_program_is_gone_or_broken() {
        let broken: [Option<&[u8]>; 7] = [
            None,
            Some(b""),
            Some(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0"),
            Some(b"#!/nowhere/at/all\n"),
            Some(b"#!/bin/sh\nexit 0\n"),
            Some(b"#!/bin/sh\nexit 127\n"),
            Some(b"#!/bin/sh\nkill -SEGV $$\n"),
        ];
        for text in broken {
            for (out, err) in started(text) {
                assert_eq!(out, "server|-c|a  b|$x|%n|'\"|\\|", "{text:?}: {err}");
                assert!(err.contains(SAYS), "{text:?}: {err}");
            }
        }
    }

    #[test]
    fn a_script_is_one_word_of_a_unit() {
        assert_eq!(for_unit("a '$0' 5% \\", true), "'a \\'$$0\\' 5%% \\\\'");
        assert_eq!(for_unit("\"$0\"", false), "'\"$0\"'");
    }
}
