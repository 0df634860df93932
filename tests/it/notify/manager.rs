//! A service manager as far as its notification socket goes, which reads when the test says so.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
    setsockopt, socket, sockopt,
};

use crate::scene::instance::SOON;
use crate::support::sandbox;

/// What came in one datagram.
#[derive(Debug)]
pub struct Told {
    /// What it says.
    pub text: Vec<u8>,
    /// Who sent it, by the kernel's word.
    pub pid: i32,
    /// What came along; closed by [`Told::close`] alone.
    pub descriptors: Vec<i32>,
}

impl Told {
    /// Lets go of what came along.
    pub fn close(&self) {
        for &fd in &self.descriptors {
            nix::unistd::close(fd).unwrap();
        }
    }

    /// The files that came along, as `/proc` names them.
    pub fn files(&self) -> Vec<PathBuf> {
        let link = |fd: &i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        self.descriptors.iter().map(link).collect()
    }

    /// The text, for comparisons.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// The manager's socket.
pub struct Manager {
    socket: OwnedFd,
    /// What `$NOTIFY_SOCKET` is for what it starts.
    pub address: String,
}

impl Manager {
    /// One with a socket in the file system, as systemd has it.
    pub fn new() -> Self {
        let path = sandbox::scratch().join("notify");
        let manager = Self::bound(&UnixAddr::new(&path).unwrap(), path.to_str().unwrap());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        manager
    }

    /// One with an abstract socket.
    pub fn with_abstract_socket() -> Self {
        // The sandbox has the machine's network namespace, whose pids are unique in it.
        let machine = std::fs::read_link("/proc/self/ns/pid").unwrap();
        let name = format!("shmwarden-test/{}", machine.display());
        Self::bound(&UnixAddr::new_abstract(name.as_bytes()).unwrap(), &format!("@{name}"))
    }

    fn bound(address: &UnixAddr, text: &str) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).unwrap();
        setsockopt(&socket, sockopt::PassCred, &true).unwrap();
        bind(socket.as_raw_fd(), address).unwrap();
        Manager { socket, address: text.to_owned() }
    }

    /// The next notification, which must come soon.
    pub fn next(&self) -> Told {
        self.within(SOON).expect("a notification")
    }

    /// The next notification, if one comes within this time.
    pub fn within(&self, longest: Duration) -> Option<Told> {
        let until = Instant::now() + longest;
        loop {
            if let Some(told) = self.take() {
                return Some(told);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::try_from(left).unwrap()).unwrap();
        }
    }

    fn take(&self) -> Option<Told> {
        let mut bytes = vec![0_u8; 1 << 18];
        let mut data = [IoSliceMut::new(&mut bytes)];
        let mut room = nix::cmsg_space!([i32; 253], nix::sys::socket::UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            recvmsg::<()>(self.socket.as_raw_fd(), &mut data, Some(&mut room), flags).ok()?;
        let (mut pid, mut descriptors) = (0, Vec::new());
        for control in message.cmsgs().unwrap() {
            match control {
                ControlMessageOwned::ScmCredentials(credentials) => pid = credentials.pid(),
                ControlMessageOwned::ScmRights(fds) => descriptors = fds,
                other => panic!("{other:?}"),
            }
        }
        let length = message.bytes;
        bytes.truncate(length);
        Some(Told { text: bytes, pid, descriptors })
    }
}
