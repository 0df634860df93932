//! `pg_ctl.conf` of one of Debian's clusters: the one option of `pg_ctl` that names the script.
//! Takes a text and gives one back; every other line, and every other option, stays as it is.

/// The setting.
const NAME: &str = "pg_ctl_options";

/// The line over a setting that was added whole.
const ADDED: &str = "# Added by shmwarden systemd --install:";

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It is as it should be.
    Nothing,
    /// The new text.
    Text(String),
    /// It names another program.
    Other(String),
    /// The line is written in a way that is not understood.
    Odd(String),
}

/// Names the script in a text.
pub(crate) fn named(text: &str, script: &str) -> Edit {
    let Some((at, line)) = setting(text) else {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Edit::Text(format!("{text}{end}{ADDED}\n{NAME} = '-p {script}'\n"));
    };
    let Some((begin, value, end)) = value(line) else {
        return Edit::Odd(line.trim().to_owned());
    };
    match program(value) {
        Some(named) if named == script => Edit::Nothing,
        Some(named) => Edit::Other(named.to_owned()),
        None => {
            let space = if value.trim().is_empty() { "" } else { " " };
            let value = if space.is_empty() { "" } else { value.trim_end() };
            replaced(text, at, line, &format!("{begin}{value}{space}-p {script}{end}"))
        }
    }
}

/// Takes the script's name out of a text.
pub(crate) fn unnamed(text: &str, script: &str) -> Edit {
    let Some((at, line)) = setting(text) else {
        return Edit::Nothing;
    };
    let Some((begin, value, end)) = value(line) else {
        return Edit::Nothing;
    };
    if program(value) != Some(script) {
        return Edit::Nothing;
    }
    let option = format!("-p {script}");
    let Some((before, behind)) = value.split_once(&option) else {
        return Edit::Odd(line.trim().to_owned());
    };
    let rest = format!("{}{behind}", before.strip_suffix(' ').unwrap_or(before));
    let above = text.get(..at).unwrap_or_default();
    let added = above.strip_suffix(&format!("{ADDED}\n")).filter(|_| rest.trim().is_empty());
    match added {
        Some(above) => {
            let below = text.get(at + line.len()..).unwrap_or_default();
            Edit::Text(format!("{above}{}", below.strip_prefix('\n').unwrap_or(below)))
        }
        None => replaced(text, at, line, &format!("{begin}{}{end}", rest.trim_start())),
    }
}

/// The program that a text names for the server.
pub(crate) fn program_of(text: &str) -> Option<&str> {
    let (_, line) = setting(text)?;
    program(value(line)?.1)
}

/// The last line with the setting, which is the one that counts, and where it begins.
fn setting(text: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        let behind = bare.strip_prefix(NAME);
        if behind.is_some_and(|rest| rest.starts_with(|c: char| c == '=' || c.is_whitespace())) {
            found = Some((at, line.strip_suffix('\n').unwrap_or(line)));
        }
        at += line.len();
    }
    found
}

/// A line as what stands before its value, the value, and what stands behind.
fn value(line: &str) -> Option<(&str, &str, &str)> {
    let open = line.find('\'')? + 1;
    let (begin, rest) = line.split_at_checked(open)?;
    let close = rest.find('\'')?;
    let (value, end) = rest.split_at_checked(close)?;
    // A second quote, or one behind a backslash, is part of the value.
    let tail = end.get(1..)?.trim_start();
    let head = begin.trim_start().strip_prefix(NAME)?.trim_start_matches(['=', ' ', '\t', '\'']);
    let is_plain = head.is_empty() && !value.contains('\\');
    (is_plain && (tail.is_empty() || tail.starts_with('#'))).then_some((begin, value, end))
}

/// The program of `-p`.
fn program(value: &str) -> Option<&str> {
    let mut words = value.split_whitespace().skip_while(|word| !word.starts_with("-p"));
    match words.next()?.strip_prefix("-p")? {
        "" => Some(words.next().unwrap_or_default()),
        path => Some(path),
    }
}

fn replaced(text: &str, at: usize, line: &str, by: &str) -> Edit {
    let above = text.get(..at).unwrap_or_default();
    let below = text.get(at + line.len()..).unwrap_or_default();
    Edit::Text(format!("{above}{by}{below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "/etc/shmwarden/in-place/15/postgres";

    #[test]
    fn what_was_named_is_taken_back_to_the_byte() {
        let debians = "# Automatic pg_ctl configuration\n# options\n\npg_ctl_options = ''\n";
        for (text, line) in [
            (debians, format!("pg_ctl_options = '-p {SCRIPT}'")),
            (
                "pg_ctl_options = '-t 30' # slow\nx = 1",
                format!("'-t 30 -p {SCRIPT}' # slow\nx = 1"),
            ),
            ("\tpg_ctl_options='-t 30'\r\n", format!("\tpg_ctl_options='-t 30 -p {SCRIPT}'\r\n")),
            ("pg_ctl_options '-w'", format!("pg_ctl_options '-w -p {SCRIPT}'")),
            ("# pg_ctl_options = '-t 30'\n", format!("{ADDED}\npg_ctl_options = '-p {SCRIPT}'\n")),
            ("", format!("{ADDED}\npg_ctl_options = '-p {SCRIPT}'\n")),
            ("pg_ctl_options = '-p /a'\npg_ctl_options = ''\n", format!("'-p {SCRIPT}'\n")),
        ] {
            let Edit::Text(named) = named(text, SCRIPT) else { panic!("{text}") };
            assert!(named.contains(&line), "{named}");
            assert_eq!(program_of(&named), Some(SCRIPT));
            assert_eq!(super::named(&named, SCRIPT), Edit::Nothing);
            assert_eq!(unnamed(&named, SCRIPT), Edit::Text(text.to_owned()), "{named}");
        }
    }

    #[test]
    fn what_others_wrote_since_stays() {
        let text = format!("pg_ctl_options = '-p {SCRIPT} -t 30'\n");
        assert_eq!(unnamed(&text, SCRIPT), Edit::Text("pg_ctl_options = '-t 30'\n".to_owned()));
        for text in ["", "a", "pg_ctl_options = '-p /other'\n", "pg_ctl_options = ''\n"] {
            assert_eq!(unnamed(text, SCRIPT), Edit::Nothing, "{text}");
        }
    }

    #[test]
    fn another_program_and_odd_lines_are_not_touched() {
        for value in ["-p /other", "-t 3 -p/other -w", "-w   -p   /other"] {
            let text = format!("pg_ctl_options = '{value}'\n");
            assert_eq!(named(&text, SCRIPT), Edit::Other("/other".to_owned()), "{text}");
        }
        let odd = ["= 'a''b'", "= 'a\\'b'", "= ''x", "= word", "= x 'a'", "=", "= 'a"];
        for odd in odd.map(|value| format!("pg_ctl_options {value}")) {
            assert_eq!(named(&odd, SCRIPT), Edit::Odd(odd.clone()));
            assert_eq!(unnamed(&odd, SCRIPT), Edit::Nothing);
        }
        assert!(matches!(named("pg_ctl_options_more = ''\n", SCRIPT), Edit::Text(_)));
    }
}
