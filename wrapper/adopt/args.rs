//! The options of `adopt`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::duration;

/// Options of `adopt`.
#[derive(Debug, Args)]
#[command(after_help = "Without an ID every orphan is meant that the filters take: not in use, \
    creator dead, in no ledger, and no process of its owner or creator alive. An object that is \
    named by its ID may have living processes of its user; nothing else is waived. Nothing is \
    removed: shmwarden sweep does that, after it has looked at everything again.")]
pub(crate) struct AdoptArgs {
    /// Say what would be adopted, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only objects of these owners, by name or number
    #[arg(long, value_name = "USER", value_delimiter = ',', conflicts_with = "objects")]
    pub(crate) owner: Vec<String>,
    /// Only objects whose key has the leading BITS of KEY, as in 0x00f42400/24; 0 for private ones
    #[arg(long, value_name = "KEY/BITS", value_parser = family, conflicts_with = "objects")]
    pub(crate) key_family: Option<KeyFamily>,
    /// Only objects that were made or changed at least so long ago
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) min_age: Duration,
    /// Ledger to record them in (default: adopted.ledger in the state directory)
    #[arg(long, value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,
    /// Objects: the number of a segment, sem:NUMBER of a semaphore set, msg:NUMBER of a queue,
    /// /NAME of a file in /dev/shm
    #[arg(value_name = "ID")]
    pub(crate) objects: Vec<OsString>,
}

/// Keys that have their leading bits in common, as in CIDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyFamily {
    key: u32,
    bits: u32,
}

impl KeyFamily {
    /// The family of the keys around one, as `adopt` groups them: a server's ports and collisions.
    pub(crate) fn around(key: i32) -> Self {
        let bits = 24;
        Self { key: unsigned(key) & mask(bits), bits }
    }

    /// Checks that a key is in it; `IPC_PRIVATE` is none, and in its own family only.
    pub(crate) fn takes(self, key: i32) -> bool {
        let private = Self { key: 0, bits: 32 };
        let in_it = unsigned(key) & mask(self.bits) == self.key & mask(self.bits);
        in_it && (key != 0 || self == private)
    }
}

impl std::fmt::Display for KeyFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:08x}/{}", self.key, self.bits)
    }
}

fn unsigned(key: i32) -> u32 {
    u32::from_ne_bytes(key.to_ne_bytes())
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)
}

fn family(text: &str) -> Result<KeyFamily, String> {
    let (key, bits) = text.split_once('/').unwrap_or((text, "32"));
    let key = match key.strip_prefix("0x").or_else(|| key.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => key.parse().ok(),
    };
    let bits: Option<u32> = bits.parse().ok().filter(|bits| *bits <= 32);
    let wrong = || "write it as in 0x00f42400/24: a key, and how many of its 32 bits are fixed";
    Ok(KeyFamily { key: key.ok_or_else(wrong)?, bits: bits.ok_or_else(wrong)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_fixes_the_leading_bits() {
        let of = |text| family(text).unwrap();
        assert!(of("0x00f42400/24").takes(0x00f4_2401) && of("0x00f424ff/24").takes(0x00f4_2401));
        assert!(!of("0x00f42400/24").takes(0x00f4_2501));
        assert!(of("16000001").takes(0x00f4_2401) && !of("16000001").takes(0x00f4_2402));
        assert!(of("0x80000000/1").takes(-1) && !of("0x80000000/1").takes(1));
        assert!(of("0/0").takes(-1) && of("0/0").takes(7));
        assert_eq!(KeyFamily::around(0x00f4_2413).to_string(), "0x00f42400/24");
    }

    #[test]
    fn private_objects_are_a_family_of_their_own() {
        let of = |text| family(text).unwrap();
        assert!(of("0").takes(0) && of("0x0/32").takes(0));
        assert!(!of("0/0").takes(0) && !of("0/24").takes(0));
    }

    #[test]
    fn what_is_no_family_is_refused() {
        for text in ["", "/", "x", "1/33", "0x1ffffffff", "0x+1", "-1", "1/", "/8", "1/8/8"] {
            assert!(family(text).is_err(), "{text}");
        }
    }
}
