//! The source files of the package, each in the three forms that the rules are about.

use std::fs;
use std::path::Path;

use super::code;

/// A Rust file.
pub struct Source {
    /// From the root of the package: `src/sweep/remove.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// With comments and literals blanked out, line by line the same.
    pub code: String,
    /// As `code`, without what is compiled for tests alone.
    pub production: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        Self::of(path.strip_prefix(root).unwrap().to_str().unwrap(), &text)
    }

    /// A file as it would be with this text.
    pub fn of(path: &str, text: &str) -> Self {
        let (path, text) = (path.to_owned(), text.to_owned());
        let code = code::without_comments_and_literals(&text);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let production =
            if is_test { String::new() } else { code::without_tests(&code).to_owned() };
        Source { path, text, code, production }
    }

    /// `src/sweep/remove.rs` is of the room sweep, `wrapper/doctor/check.rs` of the command doctor.
    pub fn room(&self) -> &str {
        let path = self.path.trim_start_matches("src/").trim_start_matches("wrapper/");
        path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// What, repeated in front of a name, would lead from here out of the room.
    pub fn way_out(&self) -> String {
        let modules = self.path.trim_end_matches("/mod.rs").matches('/').count();
        "super::".repeat(modules)
    }
}

/// The files of the library and of the program.
pub fn program_sources() -> Vec<Source> {
    below(&["src", "wrapper"])
}

/// These and the tests.
pub fn all_sources() -> Vec<Source> {
    below(&["src", "wrapper", "tests"])
}

fn below(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in folders {
        collect(root, &root.join(folder), &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source::read(root, &path));
        }
    }
}
