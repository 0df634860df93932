//! The text of a unit with its drop-ins, as `systemctl cat UNIT` prints it, and the command lines
//! in it as they were written: quotes, specifiers (`%i`) and variables stay what they are.

/// The characters that end a line, and those that part words, for systemd (`read_line`,
/// `extract_first_word`). A blank of Unicode is a letter like any other.
const ENDS: [char; 3] = ['\n', '\r', '\0'];
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The settings of `[Service]`, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitText(Vec<(String, String)>);

impl UnitText {
    /// Takes the text apart as `systemd.syntax(7)` says: comments, sections, lines that go on.
    /// The drop-in with the file name `left_out` counts as not there.
    pub(crate) fn parse(text: &str, left_out: &str) -> Self {
        let mut settings = Vec::new();
        let mut in_service = false;
        let mut pending: Option<String> = None;
        let mut leave_out = false;
        for line in text.split(ENDS) {
            let bare = line.trim_matches(BLANKS);
            // `systemctl cat` puts the path in front of each file.
            if let Some(path) = bare.strip_prefix("# /") {
                leave_out = path.rsplit('/').next() == Some(left_out);
            }
            if leave_out {
                continue;
            }
            // A comment inside of a line that goes on does not end it.
            if bare.starts_with(['#', ';']) {
                continue;
            }
            // Blanks at the begin of a line may stand in quotes that an earlier one opened.
            let mut whole = pending.take().unwrap_or_default();
            if let Some(begun) = line.strip_suffix('\\').filter(|_| goes_on(line)) {
                whole.push_str(begun);
                whole.push(' ');
                pending = Some(whole);
                continue;
            }
            whole.push_str(line);
            let whole = whole.trim_matches(BLANKS);
            // What was no UTF-8; systemd ignores such a line.
            if whole.contains('\u{fffd}') {
                continue;
            }
            if whole.starts_with('[') {
                in_service = whole == "[Service]";
            } else if let (true, Some((key, value))) = (in_service, whole.split_once('=')) {
                let (key, value) = (key.trim_matches(BLANKS), value.trim_matches(BLANKS));
                settings.push((key.to_owned(), value.to_owned()));
            }
        }
        Self(settings)
    }

    /// The values of a setting that is a list: an empty one takes back those before it.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, value) in self.0.iter().filter(|(name, _)| name == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }

    /// The command lines of `ExecStart` and its like; one line may hold several.
    pub(crate) fn commands(&self, key: &str) -> Vec<ExecLine> {
        self.list(key).into_iter().flat_map(commands).collect()
    }
}

/// One command line of a unit, in pieces that are written as they stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecLine {
    /// `-`, `:`, `+`, `!`, `!!` and what else stands before the path, `@` left out.
    pub(crate) marks: String,
    /// The name that the program is given instead of its path, where `@` asks for that.
    pub argv0: Option<String>,
    /// The program.
    pub(crate) path: String,
    /// Its arguments.
    pub(crate) rest: String,
}

impl ExecLine {
    /// Takes one command line apart.
    pub(crate) fn of(text: &str) -> Option<Self> {
        command(text)
    }

    /// Returns the program with its arguments.
    pub(crate) fn whole(&self) -> String {
        format!("{} {}", self.path, self.rest)
    }

    /// Checks that it runs the program of that name.
    pub(crate) fn runs(&self, name: &str) -> bool {
        let path = self.path.trim_matches(['"', '\'']);
        path.rsplit('/').next() == Some(name)
    }
}

/// Checks that its last backslash is none that another one escapes. One before a blank ends no
/// line.
fn goes_on(line: &str) -> bool {
    let others = line.trim_end_matches('\\');
    (line.len() - others.len()) % 2 == 1
}

/// `systemd.service(5)`, "Command lines": words with quotes; a lone `;` parts two commands.
fn commands(value: &str) -> Vec<ExecLine> {
    let mut all = Vec::new();
    let mut begin = 0;
    for (at, word) in words(value) {
        if word == ";" {
            all.extend(value.get(begin..at).and_then(command));
            begin = at + 1;
        }
    }
    all.extend(value.get(begin..).and_then(command));
    all
}

fn command(text: &str) -> Option<ExecLine> {
    let text = text.trim_matches(BLANKS);
    let path_at = text.find(|c: char| !"-@:+!|".contains(c))?;
    let (marks, line) = text.split_at(path_at);
    let (_, path) = words(line).next()?;
    let mut rest = line.get(path.len()..)?.trim_start_matches(BLANKS);
    let mut argv0 = None;
    if marks.contains('@') {
        let (_, name) = words(rest).next()?;
        argv0 = Some(name.to_owned());
        rest = rest.get(name.len()..)?.trim_start_matches(BLANKS);
    }
    Some(ExecLine {
        marks: marks.replace('@', ""),
        argv0,
        path: path.to_owned(),
        rest: rest.to_owned(),
    })
}

/// The words of a line with their places, quotes and backslashes left in.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let begin = at + rest.find(|c: char| !BLANKS.contains(&c))?;
        let mut quote = None;
        let mut escaped = false;
        let mut end = line.len();
        for (offset, c) in line.get(begin..)?.char_indices() {
            match (c, quote) {
                _ if escaped => escaped = false,
                ('\\', _) => escaped = true,
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(open)) if c == open => quote = None,
                (_, None) if BLANKS.contains(&c) => {
                    end = begin + offset;
                    break;
                }
                _ => {}
            }
        }
        at = end;
        Some((begin, line.get(begin..end)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> ExecLine {
        let mut all = commands(value);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn line(marks: &str, argv0: Option<&str>, path: &str, rest: &str) -> ExecLine {
        ExecLine {
            marks: marks.to_owned(),
            argv0: argv0.map(str::to_owned),
            path: path.to_owned(),
            rest: rest.to_owned(),
        }
    }

    #[test]
    fn a_drop_in_that_empties_a_list_begins_it_anew() {
        let text = "# /a\n[Unit]\nExecStart=/no\n[Service]\nExecStart=/old\n\n\
            # /b\n[Service]\nExecStart =\nExecStart= /new  -D  %I \n";
        assert_eq!(UnitText::parse(text, "").list("ExecStart"), ["/new  -D  %I"]);
    }

    #[test]
    fn one_drop_in_can_be_left_out() {
        let text = "# /etc/a.service\n[Service]\nExecStart=/a\n# /etc/a.service.d/x.conf\n\
            [Service]\nExecStart=\nExecStart=/x\n# not a path\n# /etc/a.service.d/z.conf\n\
            [Service]\nExecStart=/z";
        assert_eq!(UnitText::parse(text, "x.conf").list("ExecStart"), ["/a", "/z"]);
        assert_eq!(UnitText::parse(text, "").list("ExecStart"), ["/x", "/z"]);
    }

    #[test]
    fn a_line_goes_on_after_a_backslash_and_past_comments() {
        let text = "[Service]\nExecStart=/a \\\n# not this\n  -D /data \\\n; nor this\n  -c x=1\n";
        assert_eq!(UnitText::parse(text, "").list("ExecStart"), ["/a    -D /data    -c x=1"]);
        assert!(UnitText::parse("[Service]\nExecStart=/a \\", "").list("ExecStart").is_empty());
    }

    #[test]
    fn blanks_and_backslashes_are_what_systemd_takes_them_for() {
        let list = |text: &str| {
            let text = UnitText::parse(&format!("[Service]\n{text}"), "");
            text.list("ExecStart").into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(list("ExecStart=/a b\\\\\nUser=c\n"), ["/a b\\\\"], "no line that goes on");
        assert_eq!(list("ExecStart=/a b \\ \nUser=c\n"), ["/a b \\"], "nor this");
        assert_eq!(list("ExecStart=/a \"b\\\n  c\"\n"), ["/a \"b   c\""], "blanks in quotes");
        assert_eq!(list("ExecStart=/a b\rExecStart=/c\0User=d"), ["/a b", "/c"]);
        assert_eq!(list("ExecStart=/a\nExecStart=\u{fffd}\n"), ["/a"], "it is no UTF-8");
        assert_eq!(one("/a\u{a0}b\u{2003}c -D"), line("", None, "/a\u{a0}b\u{2003}c", "-D"));
        assert_eq!(one("/a \u{a0};\u{a0} d"), line("", None, "/a", "\u{a0};\u{a0} d"));
        assert_eq!(one("/a b\u{a0}"), line("", None, "/a", "b\u{a0}"));
    }

    #[test]
    fn marks_are_kept_and_another_name_is_told_apart() {
        assert_eq!(one("/a -D \"b c\""), line("", None, "/a", "-D \"b c\""));
        assert_eq!(one("-/a"), line("-", None, "/a", ""));
        assert_eq!(one("!!:/a $X"), line("!!:", None, "/a", "$X"));
        assert_eq!(one("-@/a 'my name' -D b"), line("-", Some("'my name'"), "/a", "-D b"));
        assert_eq!(one("\"/my dir/a\" b"), line("", None, "\"/my dir/a\"", "b"));
    }

    #[test]
    fn a_lone_semicolon_parts_commands() {
        let two = commands("/a 'x ; y' \\; z;w ; -/b ;");
        assert_eq!(two, [line("", None, "/a", "'x ; y' \\; z;w"), line("-", None, "/b", "")]);
    }

    #[test]
    fn odd_lines_are_no_harm() {
        for value in ["", "-", "@", "@/a", ";", "\"", "'a", "\\", "-@ ;", "ä ; ö"] {
            let _ = commands(value);
        }
    }
}
