//! Error messages about shared memory and semaphores, in words. Pure.
//!
//! A server's message names a call, an errno and numbers; what it hints at is often a disk, and
//! hardly ever the object that is in the way. `recognise` takes the message apart, `answer` puts it
//! beside what there is on this machine.

mod answer;
mod command;
mod errno;
mod here;
mod message;
mod words;

pub(crate) use answer::{Answer, answer};
pub(crate) use command::run;
pub(crate) use errno::Errno;
pub(crate) use here::Scene;
pub(crate) use message::{Call, Message, Topic, recognise};

#[cfg(test)]
mod tests;
