//! Where things are kept from one test run to the next: fetched servers, data directory templates.

use std::path::PathBuf;

use nix::unistd::geteuid;

/// The cache directory; `tests/run` uses the same, and any user can read it.
pub fn directory() -> PathBuf {
    if let Some(path) = std::env::var_os("SHMWARDEN_TEST_CACHE") {
        return path.into();
    }
    if geteuid().is_root() {
        return "/var/cache/shmwarden-tests".into();
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache")
    });
    base.join("shmwarden-tests")
}
