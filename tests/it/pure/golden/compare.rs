//! Compares what the program says with a golden file beside this one. With `UPDATE_GOLDEN=1` in
//! the environment the file is written anew instead: look at the difference before you commit it.
//! The unit tests of the program (`wrapper/tests/`) use this file too.

use std::fs;
use std::path::{Path, PathBuf};

/// Every golden file. One that no test compares would be no promise.
pub const FILES: [&str; 23] = [
    "adopt.json",
    "adopt.out",
    "class.txt",
    "doctor.json",
    "doctor.out",
    "error.txt",
    "finding.txt",
    "history.json",
    "history.out",
    "list.json",
    "list.out",
    "outcome.txt",
    "reason.txt",
    "record.json",
    "record.txt",
    "status.json",
    "status.out",
    "status.prom",
    "sweep.json",
    "sweep.out",
    "who.json",
    "who.out",
    "word.txt",
];

/// Returns the folder of the golden files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pure/golden")
}

/// Fails, with the lines that differ, where the text is not that of the golden file.
pub fn compare(name: &str, text: &str) {
    assert!(FILES.contains(&name), "add {name} to FILES");
    let path = folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "what the program says is not what {} has. Where the change is wanted, UPDATE_GOLDEN=1 \
         writes the file anew.\n{}",
        path.display(),
        difference(&golden, text)
    );
}

/// Compares lines of a code, a tabulator and a sentence.
pub fn compare_lines<C: AsRef<str>>(name: &str, lines: impl IntoIterator<Item = (C, String)>) {
    let line = |(code, sentence): (C, String)| {
        assert!(!sentence.contains('\n'), "{name}: {sentence}");
        format!("{}\t{sentence}\n", code.as_ref())
    };
    let text: String = lines.into_iter().map(line).collect();
    compare(name, &text);
}

/// Returns the lines that only the one text has, and those that only the other has, in order.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Lengths of the longest common rest from each pair of lines on.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            common[a][b] = match old[a] == new[b] {
                true => common[a + 1][b + 1] + 1,
                false => common[a + 1][b].max(common[a][b + 1]),
            };
        }
    }
    let (mut a, mut b, mut out) = (0, 0, String::new());
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            (a, b) = (a + 1, b + 1);
        } else if b == new.len() || (a < old.len() && common[a + 1][b] >= common[a][b + 1]) {
            out.push_str(&format!("- {}\n", old[a]));
            a += 1;
        } else {
            out.push_str(&format!("+ {}\n", new[b]));
            b += 1;
        }
    }
    out
}

#[test]
fn a_difference_shows_the_lines_of_the_one_and_of_the_other() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "- b\n+ x\n+ d\n");
    assert_eq!(difference("", "a\n"), "+ a\n");
    assert_eq!(difference("a\n", "a\n"), "");
}
