//! The drop-ins that are shipped are what `shmwarden systemd` prints for those units.

use super::*;

fn line(marks: &str, path: &str, rest: &str) -> ServerStart {
    let (marks, path, rest) = (marks.to_owned(), path.to_owned(), rest.to_owned());
    ServerStart { line: ExecLine { marks, argv0: None, path, rest }, ours: None }
}

/// The start as it stands in a drop-in.
fn start(marks: &str, program: &str, options: &str, dollar: &str, server: &str) -> String {
    let text = format!(
        "\nExecStart={marks}/bin/sh -c 'case $({program} --version 2>/dev/null) in shmwarden*) \
         exec {program} {options} -- \"$0\" \"$@\";; esac; echo \"<3>shmwarden does not run (see \
         shmwarden --version): the server starts without it\" >&2; exec \"$0\" \"$@\"' "
    );
    format!("{}{server}\n", text.replace('$', dollar))
}

fn documented(way: Way) -> DropIn {
    DropIn {
        unit: "pgsql.service".to_owned(),
        program: "/usr/bin/shmwarden".to_owned(),
        way,
        starts: vec![line("", "/usr/local/pgsql/bin/postgres", "-D /usr/local/pgsql/data")],
        is_prefixed: false,
        passes_all: false,
        has_state: false,
        has_pre: false,
        has_record: false,
        has_post: false,
        identifier: Some("postgres".to_owned()),
        cluster: None,
    }
}

fn debian() -> DropIn {
    DropIn {
        unit: "postgresql@15-main.service".to_owned(),
        starts: vec![line("-", "/usr/bin/pg_ctlcluster", "--skip-systemctl-redirect %i start")],
        cluster: Some(Cluster {
            version: "15".to_owned(),
            configuration: "/etc/postgresql/15/main/pg_ctl.conf".to_owned(),
            ledgers: "/var/lib/postgresql/.local/state/shmwarden".to_owned(),
            is_done: false,
        }),
        ..documented(Way::InPlace)
    }
}

#[test]
fn what_is_shipped_is_what_is_printed() {
    let shipped = |name: &str| {
        let path = format!("{}/wrapper/systemd/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let same = |name: &str, printed: &str| {
        assert_eq!(shipped(name), printed, "{name}");
    };
    same("prefix.conf", &documented(Way::Prefix).text());
    same("record.conf", &documented(Way::Record).text());
    same("debian-in-place.conf", &debian().text());
    same("../postgres", &debian().script().unwrap().1);
}

#[test]
fn only_what_is_missing_is_added() {
    let mut drop_in = documented(Way::Prefix);
    drop_in.is_prefixed = true;
    drop_in.has_state = true;
    let text = drop_in.text();
    assert!(!text.contains("\nExecStart=") && !text.contains("\nStateDirectory="), "{text}");
    assert!(text.contains("\nExecStartPre=-") && text.contains("\nExecStopPost=-"), "{text}");
    drop_in.has_pre = true;
    drop_in.has_post = true;
    assert!(drop_in.text().ends_with("[Service]\n# Nothing to add: the unit has all of it.\n"));
}

#[test]
fn marks_and_arguments_stay_what_they_were() {
    let mut drop_in = documented(Way::Prefix);
    drop_in.starts = vec![line("-!!", "\"/my dir/postgres\"", "-D \"${PGDATA}\" -c x=%i")];
    drop_in.passes_all = true;
    drop_in.program = "/opt/my tools/100%/shmwarden".to_owned();
    let text = drop_in.text();
    let program = "\\'/opt/my tools/100%%/shmwarden\\'";
    let server = "\"/my dir/postgres\" -D \"${PGDATA}\" -c x=%i";
    let start = start("-!!", program, "run --notify-access all", "$$", server);
    assert!(text.contains(&format!("\nExecStart={start}")), "{text}\n{start}");
    assert!(text.contains("\nExecStartPre=-!!\"/opt/my tools/100%%/shmwarden\" sweep\n"), "{text}");
}

#[test]
fn a_dollar_in_a_path_is_no_variable_where_it_was_none() {
    let mut drop_in = documented(Way::Prefix);
    drop_in.program = "/opt/a$b/shmwarden".to_owned();
    drop_in.starts = vec![line("", "/opt/${HOME}/pg", "-D ${HOME}"), line(":", "/opt/$c", "$c")];
    let text = drop_in.text();
    let program = "\\'/opt/a$b/shmwarden\\'";
    let first = start("", program, "run", "$$", "/opt/$${HOME}/pg -D ${HOME}");
    assert!(text.contains(&first), "{text}\n{first}");
    let second = start(":", program, "run", "$", "/opt/$c $c");
    assert!(text.contains(&second), "{text}\n{second}");
}

#[test]
fn a_command_line_does_nothing_to_a_terminal() {
    let mut drop_in = documented(Way::Prefix);
    drop_in.starts = vec![line("", "/a", "'\u{1b}[31m' \u{9b}\t\u{202e}\u{e9} \\x41")];
    let text = drop_in.text();
    let wanted = "\"$$@\"' /a '\\x1b[31m' \\xc2\\x9b\t\\xe2\\x80\\xae\u{e9} \\x41\n";
    assert!(text.contains(wanted), "{text:?}");
}

#[test]
fn a_comment_is_never_taken_for_the_begin_of_a_file() {
    for drop_in in [documented(Way::Prefix), documented(Way::Record), debian()] {
        let text = drop_in.text();
        assert!(text.lines().all(|line| !line.starts_with("# /")), "{text}");
    }
}

#[test]
fn the_document_has_every_file_and_finding() {
    let finding = Finding::warn("kill-mode", "text", "fix");
    let document = debian().document(&[finding]);
    assert_eq!(document["way"], "in-place");
    assert_eq!(document["files"][0]["path"].as_str().unwrap().rsplit('/').next(), Some(FILE_NAME));
    assert_eq!(document["files"][1]["mode"], "0755");
    assert_eq!(document["steps"].as_array().unwrap().len(), 2);
    assert_eq!(document["findings"][0]["level"], "warn");
}
