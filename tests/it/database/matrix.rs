//! The combinations that the main promises are held for: three majors, two kinds of main segment,
//! two kinds of dynamic shared memory.

use crate::support::cluster::Cluster;

/// A server as it is set up.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its major version; a test whose major is not here is skipped.
    pub major: u32,
    /// `shared_memory_type`.
    pub main: &'static str,
    /// `dynamic_shared_memory_type`.
    pub dynamic: &'static str,
}

impl Kind {
    /// A new cluster of this kind; `port` also says what keys PostgreSQL 12 takes.
    pub fn cluster(self, port: &str) -> Cluster {
        let settings = [
            ("shared_memory_type", self.main),
            ("dynamic_shared_memory_type", self.dynamic),
            ("port", port),
        ];
        Cluster::new(self.major, &settings)
    }
}

/// What the tests run on that need not be run on everything.
pub const USUAL: Kind = Kind { major: 15, main: "sysv", dynamic: "posix" };

/// As [`USUAL`], with all of its memory in System V segments.
pub const ALL_SYSV: Kind = Kind { dynamic: "sysv", ..USUAL };

/// One test for each combination, which calls a function with its [`Kind`] in a sandbox: that of
/// `run_within`, or as `sandbox` has another one.
macro_rules! for_every_kind {
    ($run:ident, $limit:expr) => {
        $crate::database::matrix::for_every_kind! { run_within, $run, $limit }
    };
    ($sandbox:ident, $run:ident, $limit:expr) => {
        $crate::database::matrix::for_every_kind! {
            $sandbox, $run, $limit,
            postgresql_12_sysv_and_posix 12 "sysv" "posix",
            postgresql_12_sysv_and_sysv 12 "sysv" "sysv",
            postgresql_12_mmap_and_posix 12 "mmap" "posix",
            postgresql_12_mmap_and_sysv 12 "mmap" "sysv",
            postgresql_15_sysv_and_posix 15 "sysv" "posix",
            postgresql_15_sysv_and_sysv 15 "sysv" "sysv",
            postgresql_15_mmap_and_posix 15 "mmap" "posix",
            postgresql_15_mmap_and_sysv 15 "mmap" "sysv",
            postgresql_18_sysv_and_posix 18 "sysv" "posix",
            postgresql_18_sysv_and_sysv 18 "sysv" "sysv",
            postgresql_18_mmap_and_posix 18 "mmap" "posix",
            postgresql_18_mmap_and_sysv 18 "mmap" "sysv",
        }
    };
    (
        $sandbox:ident, $run:ident, $limit:expr,
        $($name:ident $major:literal $main:literal $dynamic:literal,)*
    ) => {
        $(
            #[test]
            fn $name() {
                $crate::support::sandbox::$sandbox($limit, || {
                    $run($crate::database::matrix::Kind {
                        major: $major,
                        main: $main,
                        dynamic: $dynamic,
                    });
                });
            }
        )*
    };
}

pub(crate) use for_every_kind;
