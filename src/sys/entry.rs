//! The state that this process inherited, before std's start-up changed it.
//!
//! std sets SIGPIPE to ignored and opens `/dev/null` on closed descriptors 0 to 2 before `main`.
//! A constructor runs earlier still (`.init_array`, ELF) and remembers what was inherited; so it
//! does of SIGXFSZ, which this program ignores: a file that may not grow is an error then.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static SIGXFSZ_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: AtomicU8 = AtomicU8::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        SIGPIPE_IGNORED.store(super::signals::is_ignored(libc::SIGPIPE), Ordering::Relaxed);
        SIGXFSZ_IGNORED.store(super::signals::is_ignored(libc::SIGXFSZ), Ordering::Relaxed);
        let mut closed = 0;
        for fd in 0..3_u8 {
            // SAFETY: F_GETFD touches no memory, whatever the descriptor.
            if unsafe { libc::fcntl(fd.into(), libc::F_GETFD) } == -1 {
                closed |= 1 << fd;
            }
        }
        CLOSED.store(closed, Ordering::Relaxed);
    }
    look
};

/// Checks that SIGPIPE was ignored when this program was executed.
#[must_use]
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

/// Checks that SIGXFSZ was ignored when this program was executed.
#[must_use]
pub fn sigxfsz_was_ignored() -> bool {
    SIGXFSZ_IGNORED.load(Ordering::Relaxed)
}

/// From now on a write beyond RLIMIT_FSIZE fails with `EFBIG` (`setrlimit(2)`), and ends nothing.
pub fn outlive_the_file_size_limit() {
    super::signals::dispose(libc::SIGXFSZ, true);
}

/// Returns which of the descriptors 0, 1, 2 were closed when this program was executed.
#[must_use]
pub fn closed_descriptors() -> [bool; 3] {
    let closed = CLOSED.load(Ordering::Relaxed);
    [closed & 1 != 0, closed & 2 != 0, closed & 4 != 0]
}

/// The environment entry by entry, as it was given: std leaves out what has no `=`.
#[must_use]
pub fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: environ is null, or a list of C strings that ends with null (environ(7)); nothing in
    // this process of one thread changes it.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
    }
    entries
}
