//! openGauss, as far as its shared memory goes (`sysv_shmem.cpp`).

use super::postgres::Header;

/// Bytes of a segment's header that are looked at.
pub const HEADER_BYTES: usize = 56;

const MAGIC: i32 = 679_834_894;

/// The header of an openGauss segment: magic @0, creator pid @8 (u64), st_dev @40, st_ino @48.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<Header> {
    let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let magic = i32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?);
    let pid = i32::try_from(word(8)?).ok()?;
    (magic == MAGIC).then_some(Header {
        pid,
        control: 0,
        dev: word(40)?,
        ino: word(48)?,
    })
}
