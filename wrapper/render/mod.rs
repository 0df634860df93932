//! What people and scripts read: log sentences, text, JSON. Foreign strings are escaped here.

pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod sweep;
pub(crate) mod text;

use std::io::{self, Write};

use serde_json::Value;

/// Prints to stdout; a reader that has gone (`| head -1`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints one JSON document.
pub(crate) fn print_json(document: &Value) -> io::Result<()> {
    print(&format!("{document:#}\n"))
}
