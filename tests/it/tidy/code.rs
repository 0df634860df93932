//! Just enough of Rust's lexical grammar to tell code from comments, literals and tests.

/// The text with each character of a comment or literal replaced by a blank; line breaks stay.
pub fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + length_of_noncode(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            let blanked = chars[at..end].iter().map(|&c| if c == '\n' { c } else { ' ' });
            code.extend(blanked);
            at = end;
        }
    }
    code
}

/// Returns each function of a formatted text with its number of lines, from its name to the brace
/// at the depth of its first line.
pub fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let words = line.split_whitespace();
        let mut name = words.skip_while(|word| *word != "fn").skip(1);
        let Some(name) = name.next().filter(|_| !line.trim_end().ends_with(['}', ';'])) else {
            continue;
        };
        let closes = |line: &&str| line.trim_end() == format!("{}}}", " ".repeat(depth));
        let length = lines[at..].iter().position(closes);
        let name = name.split(['(', '<']).next().unwrap_or_default();
        found.extend(length.map(|length| (name.to_owned(), length + 1)));
    }
    found
}

#[test]
fn the_lines_of_a_function_are_counted() {
    let code =
        "fn a(\n) {\n    b();\n}\nimpl X {\n    fn c() {\n        d()\n    }\n    fn e();\n}\n";
    assert_eq!(functions(code), [("a".to_owned(), 4), ("c".to_owned(), 3)]);
}

/// How many characters from here on are a comment or a literal; 0 where this is code.
fn length_of_noncode(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let starts_word = at == 0 || !is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => 1 + string(&rest[1..]),
        ['\'', '\\', ..] => 3 + until(&rest[3..], &['\'']),
        ['\'', _, '\'', ..] => 3,
        ['r', '"' | '#', ..] if starts_word => raw_string(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if starts_word => raw_string(rest, 2),
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        let (step, change) = match &rest[at..] {
            ['/', '*', ..] => (2, 1),
            ['*', '/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
    }
    at
}

/// From behind the opening quote to behind the closing one.
fn string(rest: &[char]) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') {
        return 0; // r#name
    }
    let start = prefix + hashes + 1;
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    start + until(&rest[start..], &end)
}

/// How far it is until behind `end`.
fn until(rest: &[char], end: &[char]) -> usize {
    let found = rest.windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| at + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands before the tests. A file's tests come last; another test holds that.
pub fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]").map_or(code, |at| &code[..at])
}

/// The first line of code behind the tests, if there is any.
pub fn after_tests(code: &str) -> Option<&str> {
    let tests = &code[code.find("#[cfg(test)]")?..];
    let end = match tests.find(['{', ';']) {
        Some(at) if tests[at..].starts_with('{') => at + matching_brace(&tests[at..]),
        Some(at) => at + 1,
        None => return None,
    };
    tests[end..].lines().find(|line| !line.trim().is_empty())
}

/// From an opening brace to behind the one that closes it.
fn matching_brace(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The modules of the crate's root that are named: `crate::a::b`, `crate::{a, b::c}`.
pub fn crate_imports(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        if rest.starts_with('{') {
            let group = &rest[1..matching_brace(rest) - 1];
            rooms.extend(top_level(group).into_iter().map(first_word));
        } else {
            rooms.push(first_word(rest));
        }
    }
    rooms.retain(|room| room.starts_with(char::is_lowercase)); // crate::Error is re-exported
    rooms
}

/// The parts between those commas that are in no further braces.
fn top_level(group: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts
}

fn first_word(text: &str) -> &str {
    words(text).next().unwrap_or("")
}

/// The identifiers and keywords of a text.
pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// Whether a line says this, not as the end of a longer name.
pub fn says(line: &str, phrase: &str) -> bool {
    let begins_word = phrase.starts_with(is_word);
    line.match_indices(phrase).any(|(at, _)| !(begins_word && line[..at].ends_with(is_word)))
}

/// Whether a line calls a function of a module: `shm::stat(id)`, and not `shm::Row {`.
pub fn calls_function_of(line: &str, module: &str) -> bool {
    let phrase = format!("{module}::");
    let found = line.match_indices(&phrase).filter(|(at, _)| !line[..*at].ends_with(is_word));
    let mut behind = found.map(|(at, _)| &line[at + phrase.len()..]);
    behind.any(|rest| {
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        name.starts_with(|c: char| c.is_lowercase()) && rest[name.len()..].starts_with('(')
    })
}

#[test]
fn comments_and_literals_are_blanked() {
    let text = "a /* b /* c */ d */ e // f\n'x' '\\'' \"g\\\"h\" r#\"i\"j\"# &'k l \"m\nn\" r#o";
    let code = without_comments_and_literals(text);
    assert_eq!(words(&code).collect::<Vec<_>>(), ["a", "e", "k", "l", "r", "o"]);
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn imports_are_found_in_groups() {
    let code = "use crate::{act, ledger::{a, b}, Error};\nlet x = crate::sys::shm::y();";
    assert_eq!(crate_imports(code), ["act", "ledger", "sys"]);
}

#[test]
fn code_behind_tests_is_found() {
    let code = "a();\n#[cfg(test)]\nmod tests {\n    { b(); }\n}\n";
    assert_eq!(without_tests(code), "a();\n");
    assert_eq!(after_tests(code), None);
    assert_eq!(after_tests(&format!("{code}c();\n")), Some("c();"));
    assert_eq!(after_tests("#[cfg(test)]\nmod tests;\n"), None);
}

#[test]
fn a_phrase_is_no_part_of_a_longer_name() {
    assert!(says("    print!(1)", "print!("));
    assert!(!says("    eprint!(1)", "print!("));
    assert!(says("x.unwrap()", ".unwrap()"));
}
