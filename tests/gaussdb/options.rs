//! What a stand-in is to be: openGauss's own settings, and settings of the stand-in.

use std::path::PathBuf;

/// What it is to be.
pub(crate) struct Options {
    /// `-D`, absolute.
    pub(crate) data: PathBuf,
    /// `-p`; 0 for a standalone backend.
    pub(crate) port: u16,
    /// `shared_memory`: bytes of the segment.
    pub(crate) bytes: usize,
    /// `enable_huge_pages` (`knl_guc` of that name).
    pub(crate) huge_pages: bool,
    /// `sets`: how many (one for 16 sessions).
    pub(crate) sets: usize,
    /// `threads`: how many take and release semaphores.
    pub(crate) threads: usize,
    /// `fenced_udf`: forks a fenced UDF master (python builds, `PythonFencedMasterModel`).
    pub(crate) fenced: bool,
    /// `recovering`: stays in `PM_STARTUP`.
    pub(crate) starts: bool,
}

/// For `map_err`.
pub(crate) fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}
