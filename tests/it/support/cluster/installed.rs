//! Where the servers of each major are: Debian's packages, else what `tests/postgres/fetch` got.

use std::path::{Path, PathBuf};

use crate::support::cache;
use crate::support::skip::skip;

/// The directory with `postgres` and `initdb` of a major; skips the test where there is none.
pub fn binaries(major: u32) -> PathBuf {
    let fetched = cache::directory().join(format!("postgresql-{major}"));
    let candidates = [PathBuf::from(format!("/usr/lib/postgresql/{major}")), fetched];
    let found = candidates.iter().map(|base| base.join("bin")).find(|bin| has(bin, "initdb"));
    found.unwrap_or_else(|| {
        skip(format!("there is no PostgreSQL {major} here, in neither of {candidates:?}"))
    })
}

/// A client program of PostgreSQL, of any major: what was fetched has none of its own.
pub fn client(name: &str) -> PathBuf {
    let majors = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = majors.map(|major| major.path().join("bin")).find(|bin| has(bin, name));
    match found {
        Some(bin) => bin.join(name),
        None => skip(format!("there is no {name} here (package postgresql-client)")),
    }
}

fn has(bin: &Path, program: &str) -> bool {
    bin.join(program).exists()
}
