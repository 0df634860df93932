//! Help that fits 80 columns: clap by itself breaks no line.

/// The columns of a line.
const WIDTH: usize = 80;

/// Breaks the lines of a help text that are too long, each at the column of its words.
pub(crate) fn narrow(help: &str) -> String {
    help.lines().map(|line| broken(line) + "\n").collect()
}

/// Breaks one line between words.
fn broken(line: &str) -> String {
    let line = line.trim_end();
    let indent = column(line);
    let (head, words) = line.split_at_checked(indent).unwrap_or(("", line));
    let mut out = head.to_owned();
    let mut at = indent;
    for word in words.split(' ') {
        let length = word.chars().count();
        if at > indent && at + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            at = indent;
        } else if at > indent {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += length;
    }
    out
}

/// Returns the column at which the words of a line begin: behind an option, or a value in a list,
/// and its blanks.
fn column(line: &str) -> usize {
    let begin = line.rfind("  ").map_or(0, |at| at + 2);
    let behind = line.get(begin..).filter(|rest| rest.starts_with("- "));
    begin + behind.and_then(|rest| rest.find(": ")).map_or(0, |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::narrow;

    #[test]
    fn a_line_is_broken_at_the_column_of_its_words() {
        let long = "word ".repeat(20);
        let long = long.trim_end();
        for (head, indent) in [("", 0), ("  -q, --quiet  ", 15), ("          - term: ", 18)] {
            let text = narrow(&format!("{head}{long}"));
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= 80), "{text}");
            assert!(lines[0].starts_with(head), "{text}");
            assert_eq!(lines[1].len() - lines[1].trim_start().len(), indent, "{text}");
        }
        assert_eq!(narrow("short\n\n  -q  short\n"), "short\n\n  -q  short\n");
    }
}
