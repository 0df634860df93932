//! Just enough of PostgreSQL's protocol to write rows and to read them again.
//!
//! A server is often installed without its client programs. Protocol 3.0, the simple query, text
//! values; authentication by `trust`, as the demo's own `initdb` sets it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest silence of the server.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest message that is read.
const LARGEST_BYTES: u32 = 1 << 20;
/// Protocol 3.0 (`src/include/libpq/pqcomm.h`).
const PROTOCOL: u32 = 3 << 16;

/// A connection that is ready for a query.
#[derive(Debug)]
pub(super) struct Session(UnixStream);

impl Session {
    /// Connects as the superuser `postgres`.
    ///
    /// # Errors
    /// While the server does not listen yet, or refuses.
    pub(super) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut session = Self(stream);
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
        session.send(None, &body)?;
        session.until_ready().map(|_| session)
    }

    /// Runs statements; the values of the first column of all rows.
    ///
    /// # Errors
    /// What the server says against them.
    pub(super) fn ask(&mut self, statements: &str) -> io::Result<Vec<String>> {
        let mut body = statements.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.0.write_all(&message)
    }

    /// Reads up to "ready for query". Before the first one an error ends the connection instead.
    fn until_ready(&mut self) -> io::Result<Vec<String>> {
        let mut rows = Vec::new();
        let mut said = None;
        loop {
            let message = match (self.message(), said.take()) {
                (Err(_), Some(sentence)) => return Err(io::Error::other(sentence)),
                (message, before) => {
                    said = before;
                    message?
                }
            };
            match message {
                (b'Z', _) => break,
                (b'D', body) => rows.extend(first_value(&body)),
                (b'E', body) => said = Some(sentence(&body)),
                (b'R', body) if body != [0; 4] => {
                    return Err(io::Error::other("the server wants a password"));
                }
                _ => {}
            }
        }
        said.map_or(Ok(rows), |sentence| Err(io::Error::other(sentence)))
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0_u8; 5];
        self.0.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length).saturating_sub(4);
        if length > LARGEST_BYTES {
            return Err(io::Error::other("a message of the server is too long"));
        }
        let mut body = vec![0_u8; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

/// The first value of a row: a count of columns, then length and bytes of each.
fn first_value(row: &[u8]) -> Option<String> {
    let (length, rest) = row.get(2..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    Some(String::from_utf8_lossy(rest.get(..length)?).into_owned())
}

/// The text of an error: fields of a letter and a string each; `M` is the sentence.
fn sentence(fields: &[u8]) -> String {
    let mut fields = fields.split(|&byte| byte == 0);
    let found = fields.find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(found.unwrap_or(b"an error without a text")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_row_is_read() {
        assert_eq!(first_value(b"\0\x01\0\0\0\x02ab"), Some("ab".to_owned()));
        assert_eq!(first_value(b"\0\x01\xff\xff\xff\xff"), None); // null
        assert_eq!(first_value(b"\0\x01\0\0\0\x09ab"), None); // cut short
    }

    #[test]
    fn the_sentence_of_an_error_is_read() {
        assert_eq!(sentence(b"SFATAL\0C57P03\0Mstarting up\0\0"), "starting up");
        assert_eq!(sentence(b""), "an error without a text");
    }
}
