//! The line by which a file that this program wrote is known again, and told from one that somebody
//! has changed since: it has the checksum of all other lines.

/// What stands before the checksum, and behind it.
const BEFORE: &str = "# Written by shmwarden systemd (checksum ";
const BEHIND: &str = "). --remove takes it back, and leaves it once it was changed.";

/// Whose a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// This program's, as it wrote it.
    Ours,
    /// This program's, changed by somebody since.
    Changed,
    /// Somebody else's.
    Other,
}

/// Puts the line into a text: as the first, or behind the `#!` of a script.
pub(super) fn marked(text: &str) -> String {
    let line = format!("{BEFORE}{:08x}{BEHIND}\n", checksum(text));
    match text.split_once('\n').filter(|_| text.starts_with("#!")) {
        Some((first, rest)) => format!("{first}\n{line}{rest}"),
        None => line + text,
    }
}

/// Tells whose a text is.
pub(super) fn writer(text: &str) -> Writer {
    let is_mark = |line: &&str| line.starts_with(BEFORE);
    let Some(mark) = text.split_inclusive('\n').find(is_mark) else {
        return Writer::Other;
    };
    let others: String = text.split_inclusive('\n').filter(|line| *line != mark).collect();
    match mark.trim_end() == format!("{BEFORE}{:08x}{BEHIND}", checksum(&others)) {
        true => Writer::Ours,
        false => Writer::Changed,
    }
}

fn checksum(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_again_until_somebody_changes_it() {
        for text in ["", "[Service]\nA=b\n", "#!/bin/sh\nexec a\n", "#!/bin/sh"] {
            let marked = marked(text);
            assert_eq!(writer(&marked), Writer::Ours, "{marked}");
            assert_eq!(text.starts_with("#!/"), marked.starts_with("#!/") || text == "#!/bin/sh");
            assert_eq!(writer(&format!("{marked}# mine\n")), Writer::Changed);
            assert_eq!(writer(&marked.replace("checksum ", "checksum 1")), Writer::Changed);
            assert_eq!(writer(text), Writer::Other);
        }
    }
}
