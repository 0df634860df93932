//! Plays a kernel whose tmpfs keeps no birth times, by a library that hides them from the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::skip::skip;
use super::{sandbox, warden};

/// Takes the birth time from whatever `statx` says.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
int statx(int dir, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict out) {
    static int (*real)(int, const char *, int, unsigned, struct statx *);
    if (!real) real = dlsym(RTLD_NEXT, "statx");
    int done = real(dir, path, flags, mask, out);
    if (!done && out) {
        out->stx_mask &= ~STATX_BTIME;
        memset(&out->stx_btime, 0, sizeof out->stx_btime);
    }
    return done;
}
"#;

/// Makes the program that [`warden::binary`] names see no birth time from now on, in the sandbox of
/// the test; skips the test where there is no C compiler.
pub fn hide_birth_times() {
    let program = warden::binary();
    let place = sandbox::scratch().join("older");
    fs::create_dir_all(&place).unwrap();
    let (source, library) = (place.join("hide.c"), place.join("hide.so"));
    fs::write(&source, LIBRARY).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    match compiler.output() {
        Ok(made) if made.status.success() => {}
        Ok(made) => skip(format!("cc: {}", String::from_utf8_lossy(&made.stderr))),
        Err(error) => skip(format!("no C compiler cc: {error}")),
    }
    let real = place.join("shmwarden");
    fs::rename(&program, &real).unwrap();
    let preload = format!("LD_PRELOAD={}", library.display());
    let script = format!("#!/bin/sh\n{preload} exec {} \"$@\"\n", real.display());
    for (path, mode) in [(&place, 0o755), (&library, 0o755), (&real, 0o755)] {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    replace(&program, &script);
}

fn replace(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
