//! The relay between a server's notifications and its service manager, which heeds the launcher
//! alone: it is the unit's main process.
//!
//! What the server sends goes on as it came, in order and with its descriptors. Nothing here waits:
//! what a full socket does not take is queued, and where the queue is full the sender waits in its
//! own `sendmsg`, as it would for the manager.

pub(crate) mod datagram;
mod queue;
pub(crate) mod status;

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use shmwarden::sys::notify::{Listener, Outlet, Received};

use super::events;
use crate::cli::Notify;
use datagram::Kind;
use queue::{Message, Queue, Room};

/// The variable that names the manager's socket.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";
/// Room for one datagram in bytes; systemd itself takes 4096.
const LONGEST: usize = 64 << 10;
/// Datagrams that are taken before signals are looked at again.
const A_TURN: usize = 32;
/// Datagrams that are taken at the server's death, those of strangers included. A socket holds
/// `net.unix.max_dgram_qlen`, 512 where systemd has set it.
const AT_DEATH: usize = 4096;
/// The longest that the launcher's own end waits for a manager that does not read.
const FOR_MANAGER: Duration = Duration::from_secs(1);
/// Pause where the kernel has no memory for a message, or too many descriptors are on their way.
const PAUSE: Duration = Duration::from_millis(50);
/// Such pauses before a message is given up.
const MOST_PAUSES: u32 = 100;
/// Failed tries to receive, one after the other, before no more is tried.
const MOST_FAILURES: u32 = 100;

/// The relay's two sockets, and what is between them.
pub(crate) struct Relay {
    /// `None` once nothing can be received: a socket that nobody reads would have the server wait
    /// for ever in its `sendmsg`.
    listener: Option<Listener>,
    /// Its name as `$NOTIFY_SOCKET` gives it.
    address: Vec<u8>,
    outlet: Outlet,
    manager: Vec<u8>,
    queue: Queue,
    buffer: Vec<u8>,
    pauses: u32,
    not_before: Option<Instant>,
    failures: u32,
    complained: bool,
}

impl Relay {
    /// Opens one where `$NOTIFY_SOCKET` has this value. `None` where there is nothing to relay, and
    /// where no relay can be had: the server comes first, and keeps the manager's own socket.
    pub(crate) fn open(choice: Notify, manager: Option<&OsStr>) -> Option<Self> {
        let manager = manager.map(OsStrExt::as_bytes).filter(|address| !address.is_empty())?;
        // A virtual machine's manager takes notifications from anybody: it is told no sender.
        if choice == Notify::Pass || manager.starts_with(b"vsock") {
            return None;
        }
        match Self::between(manager) {
            Ok(relay) => Some(relay),
            Err(errno) => {
                log::warn!(
                    "cannot relay the server's notifications to {}: {}; the server is given that \
                     address itself, and is heeded there only with NotifyAccess=all in its unit",
                    manager.escape_ascii(),
                    errno.desc()
                );
                None
            }
        }
    }

    fn between(manager: &[u8]) -> Result<Self, Errno> {
        let outlet = Outlet::connect(manager)?;
        let listener = Listener::open(format!("shmwarden/{}", std::process::id()).as_bytes())?;
        let address = [b"@", listener.name()?.as_slice()].concat();
        Ok(Self {
            listener: Some(listener),
            address,
            outlet,
            manager: manager.to_vec(),
            queue: Queue::default(),
            buffer: vec![0; LONGEST],
            pauses: 0,
            not_before: None,
            failures: 0,
            complained: false,
        })
    }

    /// Returns the value of `$NOTIFY_SOCKET` for the server.
    pub(crate) fn address(&self) -> &[u8] {
        &self.address
    }

    /// Returns the descriptor to wait on for datagrams; `None` while the queue is full.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().filter(|_| self.queue.has(Room::USUAL)).map(AsFd::as_fd)
    }

    /// Returns the descriptor to wait on for sending; `None` while nothing is queued.
    pub(crate) fn writable(&self) -> Option<BorrowedFd<'_>> {
        let waits = !self.queue.is_empty() && self.not_before.is_none();
        waits.then(|| self.outlet.as_fd())
    }

    /// Returns the time to send again, after the kernel had no room.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.queue.is_empty())
    }

    /// Passes on what is there, up to a bound: whoever floods the socket delays nothing else.
    pub(crate) fn turn(&mut self, may_send: impl Fn(i32, Kind) -> bool) {
        self.send();
        self.take(A_TURN, Room::USUAL, may_send);
    }

    /// Takes everything that was sent up to now. Call it while a dead sender is unreaped, so that
    /// its pid is its own.
    pub(crate) fn drain(&mut self, may_send: impl Fn(i32, Kind) -> bool) {
        self.take(AT_DEATH, Room::LAST, may_send);
    }

    /// Sends something of the launcher's own, behind what the server has sent.
    pub(crate) fn say(&mut self, text: String) {
        if self.queue.has(Room::LAST) {
            self.queue.push(Message { bytes: text.into_bytes(), descriptors: Vec::new() });
            self.send();
        }
    }

    /// Sends the rest, waiting a moment for a manager that is busy.
    pub(crate) fn finish(mut self) {
        let until = Instant::now() + FOR_MANAGER;
        self.send();
        while !self.queue.is_empty() && Instant::now() < until {
            let until = self.retry_at().unwrap_or(until).min(until);
            events::wait(&[], self.writable(), Some(until));
            self.send();
        }
        if !self.queue.is_empty() {
            log::warn!(
                "the service manager does not read its socket {}: the server's last {} \
                 notifications are lost",
                self.manager.escape_ascii(),
                self.queue.len()
            );
        }
    }

    fn take(&mut self, most: usize, room: Room, may_send: impl Fn(i32, Kind) -> bool) {
        for _ in 0..most {
            if !self.queue.has(room) {
                return;
            }
            let Some(listener) = &self.listener else { return };
            match listener.receive(&mut self.buffer) {
                Ok(received) => {
                    self.failures = 0;
                    self.judge(received, &may_send);
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.failures += 1;
                    if self.failures == MOST_FAILURES {
                        self.listener = None;
                        log::error!(
                            "cannot receive the server's notifications: {}; they are no longer \
                             relayed",
                            errno.desc()
                        );
                    }
                    return;
                }
            }
        }
    }

    /// Passes a datagram on, or drops it and closes what came with it.
    fn judge(&mut self, received: Received, may_send: impl Fn(i32, Kind) -> bool) {
        let Received { length, sender, mut descriptors, is_truncated } = received;
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let kind = datagram::kind(datagram, descriptors.len());
        // 0 is what the kernel says of a sender that it does not name here.
        if sender <= 0 || !may_send(sender, kind) {
            log::debug!("a notification of process {sender} is not relayed");
            return;
        }
        if is_truncated {
            log::warn!(
                "a notification of process {sender} is not relayed: it is longer than {LONGEST} \
                 bytes, or carries more descriptors than may be open here (ulimit -Hn)"
            );
            return;
        }
        let filtered = datagram::filter(datagram);
        if filtered.bytes.is_empty() {
            return;
        }
        if filtered.without_pidfd && descriptors.len() == 1 {
            descriptors.clear();
        }
        self.queue.push(Message { bytes: filtered.bytes, descriptors });
        self.send();
    }

    /// Sends what waits, as far as the manager takes it.
    fn send(&mut self) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.not_before = None;
        while let Some(message) = self.queue.front() {
            let mut sent = self.outlet.send(&message.bytes, &message.descriptors);
            if matches!(sent, Err(Errno::ECONNREFUSED | Errno::ENOTCONN)) {
                // The manager may have opened its socket anew since.
                if let Ok(outlet) = Outlet::connect(&self.manager) {
                    self.outlet = outlet;
                    sent = self.outlet.send(&message.bytes, &message.descriptors);
                }
            }
            match sent {
                Ok(()) => {}
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => continue,
                Err(Errno::ENOMEM | Errno::ENOBUFS | Errno::ETOOMANYREFS)
                    if self.pauses < MOST_PAUSES =>
                {
                    self.pauses += 1;
                    self.not_before = Some(Instant::now() + PAUSE);
                    return;
                }
                Err(errno) => {
                    if !std::mem::replace(&mut self.complained, true) {
                        log::warn!(
                            "cannot pass a notification on to the service manager at {}: {}",
                            self.manager.escape_ascii(),
                            errno.desc()
                        );
                    }
                }
            }
            self.pauses = 0;
            self.queue.drop_front();
        }
    }
}
