//! Notifications that wait for a service manager whose socket is full: in order, and bounded.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// One notification.
#[derive(Debug)]
pub(crate) struct Message {
    /// The text of the message.
    pub(crate) bytes: Vec<u8>,
    /// Descriptors sent along; closed when the message is dropped.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Limits of the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    messages: usize,
    bytes: usize,
    descriptors: usize,
}

impl Room {
    /// While the server lives: what does not fit stays in the socket, where its sender waits as it
    /// would for the manager. Behind a message with descriptors nothing is taken, so that the next
    /// one finds all that may be open free.
    pub(crate) const USUAL: Self = Self { messages: 64, bytes: 256 << 10, descriptors: 1 };
    /// For a dead server's last words: nobody waits for them, and later there is no taking them.
    pub(crate) const LAST: Self = Self { messages: 1024, bytes: 4 << 20, descriptors: 512 };
}

/// The messages that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    descriptors: usize,
}

impl Queue {
    /// Checks that another message may be taken in.
    pub(crate) fn has(&self, room: Room) -> bool {
        self.messages.len() < room.messages
            && self.bytes < room.bytes
            && self.descriptors < room.descriptors
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Adds a message behind all others.
    pub(crate) fn push(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        self.descriptors += message.descriptors.len();
        self.messages.push_back(message);
    }

    /// The oldest message.
    pub(crate) fn front(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// Takes the oldest message out, and closes what it carries.
    pub(crate) fn drop_front(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.bytes.len();
            self.descriptors -= message.descriptors.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize, descriptors: usize) -> Message {
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        Message {
            bytes: vec![b'x'; bytes],
            descriptors: std::iter::repeat_with(null).take(descriptors).collect(),
        }
    }

    #[test]
    fn messages_leave_in_the_order_in_which_they_came() {
        let mut queue = Queue::default();
        for length in [3, 1, 2] {
            queue.push(message(length, 0));
        }
        for length in [3, 1, 2] {
            assert_eq!(queue.front().unwrap().bytes.len(), length);
            queue.drop_front();
        }
        assert!(queue.is_empty());
        queue.drop_front();
    }

    #[test]
    fn room_ends_by_number_by_bytes_and_by_descriptors() {
        let room = Room { messages: 2, bytes: 10, descriptors: 2 };
        for full in [vec![(1, 0), (1, 0)], vec![(10, 0)], vec![(1, 2)]] {
            let mut queue = Queue::default();
            for (bytes, descriptors) in &full {
                assert!(queue.has(room), "{full:?}");
                queue.push(message(*bytes, *descriptors));
            }
            assert!(!queue.has(room), "{full:?}");
            queue.drop_front();
            assert!(queue.has(room), "{full:?}");
        }
    }
}
