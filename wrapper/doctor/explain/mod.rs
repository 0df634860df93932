//! Error messages about shared memory and semaphores, in words. Pure.
//!
//! A server's message names a call, an errno and numbers; what it hints at is often a disk, and
//! hardly ever the object that is in the way. A text is cut into messages (`text`), each taken
//! apart by what it is about (`catalogue`, `message`) and why (`errno`); `answer` puts the one that
//! matters beside what there is on this machine (`here`).

mod answer;
mod call;
mod catalogue;
mod command;
mod errno;
mod here;
mod message;
mod text;

pub(crate) use answer::{Answer, answer};
pub(crate) use call::Call;
pub(crate) use command::run;
pub(crate) use errno::name as errno_name;
pub(crate) use here::Scene;
pub(crate) use message::{Message, Topic, recognise};

#[cfg(test)]
mod tests;
