//! Two texts as a unified diff, as `diff -u` writes it and `patch` reads it.

use std::fmt::Write;

/// Lines that are the same, shown around those that differ.
const CONTEXT: usize = 3;

/// Returns the diff; `None` for a text is a file that is not there.
pub(super) fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    let name = |text: Option<&str>| if text.is_some() { path } else { "/dev/null" }.to_owned();
    let mut out = format!("--- {}\n+++ {}\n", name(before), name(after));
    let lines = |text: Option<&str>| -> Vec<String> {
        text.unwrap_or_default().split_inclusive('\n').map(str::to_owned).collect()
    };
    let rows = rows(&lines(before), &lines(after));
    for (from, to) in hunks(&rows) {
        hunk(&mut out, &rows, from, to);
    }
    out
}

/// A line of the diff: its mark, and the line.
type Row = (char, String);

/// All lines of both texts, the common ones once: the longest common subsequence.
fn rows(before: &[String], after: &[String]) -> Vec<Row> {
    let width = after.len() + 1;
    let mut lengths = vec![0_usize; (before.len() + 1) * width];
    let at = |lengths: &[usize], i: usize, j: usize| lengths.get(i * width + j).copied();
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let longest = match old == new {
                true => at(&lengths, i + 1, j + 1).unwrap_or(0) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)).unwrap_or(0),
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = longest;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut rows = Vec::new();
    loop {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                rows.push((' ', old.clone()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old), new) => {
                let goes = new.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1);
                match new.filter(|_| !goes) {
                    Some(new) => {
                        rows.push(('+', new.clone()));
                        j += 1;
                    }
                    None => {
                        rows.push(('-', old.clone()));
                        i += 1;
                    }
                }
            }
            (None, Some(new)) => {
                rows.push(('+', new.clone()));
                j += 1;
            }
            (None, None) => return rows,
        }
    }
}

/// The rows of each hunk: what differs, with its context.
fn hunks(rows: &[Row]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (index, _) in rows.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ') {
        let (from, to) = (index.saturating_sub(CONTEXT), (index + CONTEXT + 1).min(rows.len()));
        match found.last_mut() {
            Some((_, end)) if from <= *end => *end = to,
            _ => found.push((from, to)),
        }
    }
    found
}

fn hunk(out: &mut String, rows: &[Row], from: usize, to: usize) {
    let shown = rows.get(from..to).unwrap_or_default();
    let count = |rows: &[Row], other: char| rows.iter().filter(|(mark, _)| *mark != other).count();
    let range = |other: char| {
        let lines = count(shown, other);
        let above = count(rows.get(..from).unwrap_or_default(), other);
        format!("{},{lines}", if lines == 0 { above } else { above + 1 })
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range('+'), range('-'));
    for (mark, line) in shown {
        let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
        let _ = write!(out, "{mark}{line}{end}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_file_that_comes_or_goes_is_whole() {
        assert_eq!(
            unified("/a", None, Some("x\ny\n")),
            "--- /dev/null\n+++ /a\n@@ -0,0 +1,2 @@\n+x\n+y\n"
        );
        assert_eq!(
            unified("/a", Some("x"), None),
            "--- /a\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn lines_far_from_each_other_are_hunks_of_their_own() {
        let before: String = (1..30).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n5\n", "\nfive\n").replace("\n25\n", "\n");
        let diff = unified("/a", Some(&before), Some(&after));
        assert!(
            diff.contains(
                "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -22,7 +22,6 @@\n"
            )
        );
        assert!(diff.ends_with(" 24\n-25\n 26\n 27\n 28\n"), "{diff}");
    }

    /// `patch` makes the one text of the other, where it is installed.
    #[test]
    fn patch_takes_it() {
        let texts = ["", "a\n", "a\nb\nc", "x\na\nb\nb\nc\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\n"];
        let pairs = texts.iter().flat_map(|one| texts.map(|other| (*one, other)));
        for (before, after) in pairs.filter(|(before, after)| before != after) {
            let scratch = tempfile::tempdir().unwrap();
            let file = scratch.path().join("f");
            std::fs::write(&file, before).unwrap();
            let diff = unified("f", Some(before), Some(after));
            let mut patch = Command::new("patch");
            patch.args(["-s", "f"]).current_dir(scratch.path()).stdin(Stdio::piped());
            let Ok(mut child) = patch.spawn() else { return };
            child.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{diff}");
            let got = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(got, after, "{diff}");
        }
    }
}
