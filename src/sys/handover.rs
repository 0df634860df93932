//! Handing an open file over from a helper process (`SCM_RIGHTS`, `unix(7)`).

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use super::Result;

/// One end of a way to hand a file over.
#[derive(Debug)]
pub struct Handover(OwnedFd);

/// Both ends.
///
/// # Errors
/// What `socketpair` says.
pub fn pair() -> Result<(Handover, Handover)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags)?;
    Ok((Handover(one), Handover(other)))
}

impl Handover {
    /// Hands over a file with a number.
    ///
    /// # Errors
    /// What `sendmsg` says.
    pub fn send(&self, file: &File, number: u64) -> Result<()> {
        let bytes = number.to_ne_bytes();
        let fds = [file.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let data = [IoSlice::new(&bytes)];
        sendmsg::<()>(self.0.as_raw_fd(), &data, &rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }

    /// Takes what was handed over, without waiting.
    ///
    /// # Errors
    /// `EAGAIN` where nothing was.
    pub fn take(&self) -> Result<(File, u64)> {
        let mut bytes = [0_u8; 8];
        let mut data = [IoSliceMut::new(&mut bytes)];
        let mut room = nix::cmsg_space!([i32; 1]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut room), flags)?;
        let file = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let fd = file.ok_or(Errno::EBADMSG)?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok((file.into(), u64::from_ne_bytes(bytes)))
    }
}
