//! What servers write into shared memory, as their sources lay it out.

/// A PostgreSQL's main segment (`pg_shmem.h`).
pub fn main_of_postgres(pid: i32, control: u32, (dev, ino): (u64, u64)) -> Vec<u8> {
    let mut bytes = vec![0; 56];
    bytes[0..4].copy_from_slice(&679_834_894_i32.to_ne_bytes());
    bytes[4..8].copy_from_slice(&pid.to_ne_bytes());
    bytes[8..16].copy_from_slice(&56_u64.to_ne_bytes());
    bytes[24..28].copy_from_slice(&control.to_ne_bytes());
    bytes[40..48].copy_from_slice(&dev.to_ne_bytes());
    bytes[48..56].copy_from_slice(&ino.to_ne_bytes());
    bytes
}

/// An openGauss's segment.
pub fn main_of_gauss(pid: i32, (dev, ino): (u64, u64)) -> Vec<u8> {
    let mut bytes = vec![0; 56];
    bytes[0..4].copy_from_slice(&679_834_894_i32.to_ne_bytes());
    bytes[8..16].copy_from_slice(&u64::from(pid.unsigned_abs()).to_ne_bytes());
    bytes[16..24].copy_from_slice(&4096_u64.to_ne_bytes());
    bytes[24..32].copy_from_slice(&56_u64.to_ne_bytes());
    bytes[40..48].copy_from_slice(&dev.to_ne_bytes());
    bytes[48..56].copy_from_slice(&ino.to_ne_bytes());
    bytes
}

/// A PostgreSQL's list of its dynamic shared memory (`dsm.c`), with room for some more.
pub fn list(major: u32, handles: &[u32]) -> Vec<u8> {
    let item = if major <= 13 { 24 } else { 40 };
    let (count, room) = (handles.len(), handles.len() + 3);
    let mut bytes = Vec::new();
    for word in [0x9a50_3d32, u32::try_from(count).unwrap(), u32::try_from(room).unwrap(), 0] {
        bytes.extend(u32::to_ne_bytes(word));
    }
    for handle in handles {
        bytes.extend(handle.to_ne_bytes());
        bytes.extend(2_u32.to_ne_bytes());
        bytes.extend(vec![0; item - 8]);
    }
    bytes.resize(16 + room * item, 0);
    bytes
}

/// The key of a handle (`dsm_impl.c`), of those that are thrown here.
pub fn key_of(handle: u32) -> i32 {
    i32::try_from(handle).unwrap()
}

/// The name of a handle.
pub fn name_of(handle: u32) -> String {
    format!("PostgreSQL.{handle}")
}
