//! Error messages about shared memory and semaphores, in words. Pure.
//!
//! A server's message names a call, an errno and numbers; what it hints at is often a disk, and
//! hardly ever the object that is in the way. `recognise` takes the message apart, `answer` puts it
//! beside what there is on this machine.

mod answer;
mod errno;
mod here;
mod message;
mod words;

pub use answer::{Answer, answer};
pub use errno::Errno;
pub use here::Scene;
pub use message::{Call, Message, Topic, recognise};

#[cfg(test)]
mod tests;
