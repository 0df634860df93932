//! The tables of System V objects, which the kernel gives row by row under an index. The three
//! kinds differ in the call only.

use nix::errno::Errno;

use super::Result;

/// Every row from index 0 to the highest, in that order; what is free in between is left out.
///
/// # Errors
/// Whatever the call says other than that an index is free.
pub(super) fn rows<R>(highest: i64, at_index: impl Fn(i32) -> Result<R>) -> Result<Vec<R>> {
    let mut rows = Vec::new();
    for index in 0..=i32::try_from(highest).map_err(|_| Errno::EOVERFLOW)? {
        rows.extend(unless_free(at_index(index))?);
    }
    Ok(rows)
}

/// The row of an id, found under its index, where it is that very id's: the kernel looks at the low
/// bits only.
///
/// # Errors
/// Whatever the call said other than that the index is free.
pub(super) fn row_of<R>(found: Result<R>, is_it: impl Fn(&R) -> bool) -> Result<Option<R>> {
    Ok(unless_free(found)?.filter(is_it))
}

fn unless_free<R>(found: Result<R>) -> Result<Option<R>> {
    match found {
        Ok(row) => Ok(Some(row)),
        Err(Errno::EINVAL | Errno::EIDRM) => Ok(None),
        Err(errno) => Err(errno),
    }
}
