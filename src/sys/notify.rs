//! Notification sockets (`sd_notify(3)`, `unix(7)`): receiving datagrams with their sender's
//! credentials and descriptors, and sending them on. Nothing here waits.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect,
    getsockname, sendmsg, setsockopt, socket, sockopt,
};

use super::{Result, check};

/// Words of room for control data: credentials, and the 253 descriptors that one message may carry
/// (`SCM_MAX_FD`), with their headers.
const CONTROL_WORDS: usize = 160;

/// An abstract datagram socket that tells who sends to it.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// One datagram.
#[derive(Debug)]
pub struct Received {
    /// The number of bytes of the buffer that it has filled.
    pub length: usize,
    /// The process that sent it, as this PID namespace numbers it; 0 where the kernel names none.
    pub sender: i32,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Set where bytes or descriptors of it are lost.
    pub is_truncated: bool,
}

impl Listener {
    /// Opens one of this name, or, where that is taken, of a name that the kernel picks.
    ///
    /// # Errors
    /// What `socket`, `setsockopt` and `bind` say.
    pub fn open(name: &[u8]) -> Result<Self> {
        let fd = datagram_socket()?;
        // Before the socket has a name: no datagram comes without credentials.
        setsockopt(&fd, sockopt::PassCred, &true)?;
        match bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name)?) {
            Err(Errno::EADDRINUSE) => bind(fd.as_raw_fd(), &UnixAddr::new_unnamed())?,
            other => other?,
        }
        Ok(Self(fd))
    }

    /// Its abstract name, without the leading NUL.
    ///
    /// # Errors
    /// What `getsockname` says.
    pub fn name(&self) -> Result<Vec<u8>> {
        let address: UnixAddr = getsockname(self.0.as_raw_fd())?;
        address.as_abstract().map(<[u8]>::to_vec).ok_or(Errno::EADDRNOTAVAIL)
    }

    /// Takes the next datagram into `buffer`.
    ///
    /// # Errors
    /// `EAGAIN` where there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received> {
        let mut control = [0_u64; CONTROL_WORDS];
        let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: a msghdr of zeros is one without address, data and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut data;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: data and control point to buffers of the sizes that are named, and outlive it.
        let got = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, flags) };
        let got = check(got as libc::c_long)?;
        // SAFETY: the kernel has just filled in message and its control data, taken here once.
        let (sender, descriptors) = unsafe { take_control(&message) };
        Ok(Received {
            length: usize::try_from(got).unwrap_or(0).min(buffer.len()),
            sender,
            descriptors,
            is_truncated: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The sender's pid and the descriptors in the control data of a message. What of the descriptors
/// came before the room ended is there even where the message is truncated: it has to be closed.
///
/// # Safety
/// `message` has come from `recvmsg`, its control data is still there and was not taken before.
unsafe fn take_control(message: &libc::msghdr) -> (i32, Vec<OwnedFd>) {
    let mut sender = 0;
    let mut descriptors = Vec::new();
    // SAFETY: the CMSG functions stay within the control data, whose length the kernel has set;
    // what they point to is read unaligned, and each descriptor is owned by nobody else yet.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(one) = header.as_ref() {
            let length: usize = one.cmsg_len as _; // a u32 with musl
            let bytes = length.saturating_sub(libc::CMSG_LEN(0) as usize);
            let content = libc::CMSG_DATA(one);
            match (one.cmsg_level, one.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if bytes >= size_of::<libc::ucred>() => {
                    sender = content.cast::<libc::ucred>().read_unaligned().pid;
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..bytes / size_of::<RawFd>() {
                        let fd = content.cast::<RawFd>().add(index).read_unaligned();
                        descriptors.push(OwnedFd::from_raw_fd(fd));
                    }
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    (sender, descriptors)
}

/// A datagram socket that is connected to a service manager's, so that `poll` tells when that has
/// room again.
#[derive(Debug)]
pub struct Outlet(OwnedFd);

impl Outlet {
    /// Connects to `$NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// `EINVAL` where the address is neither; what `socket` and `connect` say.
    pub fn connect(address: &[u8]) -> Result<Self> {
        let to = match address {
            [b'@', name @ ..] if !name.is_empty() => UnixAddr::new_abstract(name)?,
            [b'/', ..] => UnixAddr::new(address)?,
            _ => return Err(Errno::EINVAL),
        };
        let fd = datagram_socket()?;
        connect(fd.as_raw_fd(), &to)?;
        Ok(Self(fd))
    }

    /// Sends a datagram with copies of these descriptors.
    ///
    /// # Errors
    /// `EAGAIN` where the manager's socket is full; what `sendmsg` says.
    pub fn send(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<()> {
        let fds: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(bytes)], rights, flags, None).map(drop)
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn datagram_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Datagram, flags, None)
}
