//! What of a server's notification goes on to the service manager: all of it, except the lines
//! that would take the launcher's place. Pure.

/// Fields that are not passed on: with another main process than the launcher the manager could
/// not tell the server's exit status, and who may notify is the unit's to say.
const DROPPED: [&[u8]; 4] = [b"MAINPID=", b"MAINPIDFD=", b"MAINPIDFDID=", b"NOTIFYACCESS="];

/// The purpose of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It tells nothing, and waits until all that was told before has been read: systemd takes it
    /// from anybody, so that a script's `systemd-notify` may wait for what it said as the script.
    Barrier,
    /// Anything else.
    Statement,
}

/// Tells the purpose of a datagram with this many descriptors.
pub(crate) fn kind(datagram: &[u8], descriptors: usize) -> Kind {
    let text = datagram.strip_suffix(b"\n").unwrap_or(datagram);
    if text == b"BARRIER=1" && descriptors == 1 { Kind::Barrier } else { Kind::Statement }
}

/// A datagram without the fields that are not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filtered {
    /// The bytes to send; empty where nothing is.
    pub(crate) bytes: Vec<u8>,
    /// Set where the one descriptor that came along was for a dropped `MAINPIDFD=`.
    pub(crate) without_pidfd: bool,
}

/// Drops what is not to be passed on; everything else stays byte by byte, in order.
pub(crate) fn filter(datagram: &[u8]) -> Filtered {
    let mut bytes = Vec::with_capacity(datagram.len());
    let mut without_pidfd = false;
    for line in lines(datagram) {
        if is_dropped(line) {
            without_pidfd |= names(line, b"MAINPIDFD=");
        } else {
            bytes.extend_from_slice(line);
        }
    }
    if bytes.iter().all(|&byte| is_end(byte)) {
        bytes.clear();
    }
    let stores = lines(&bytes).any(|line| names(line, b"FDSTORE="));
    Filtered { without_pidfd: without_pidfd && !stores, bytes }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The lines of a datagram, each with what ends it, as systemd finds them: LF and CR end a line
/// unless a backslash stands before (`strv_split_newlines`, `extract_first_word`).
fn lines(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut escaped = false;
    datagram.split_inclusive(move |&byte| {
        let ends = is_end(byte) && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn is_dropped(line: &[u8]) -> bool {
    DROPPED.iter().any(|field| names(line, field))
}

/// Checks that a line sets a field, both for a systemd that removes backslashes (246 and later) and
/// for one that does not and sees more lines in it.
fn names(line: &[u8], field: &[u8]) -> bool {
    let parts = |line: &[u8]| line.split(|&byte| is_end(byte)).any(|part| part.starts_with(field));
    parts(line) || parts(&without_escapes(line))
}

/// A line without its backslashes, of which each has the byte behind it stand for itself.
fn without_escapes(line: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let mut plain = Vec::with_capacity(line.len());
    for &byte in line {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn left(datagram: &[u8]) -> Vec<u8> {
        filter(datagram).bytes
    }

    #[test]
    fn what_has_no_line_to_drop_stays_as_it_is() {
        for datagram in [
            &b"READY=1"[..],
            b"READY=1\n",
            b"RELOADING=1\nMONOTONIC_USEC=12345\n",
            b"\n\nSTATUS=MAINPID=5 is no field here\n\r\n",
            b"STATUS=\xff\xfe\x00 not text",
            b"X_MAINPID=5\nmainpid=5\n MAINPID=5",
            b"STATUS=a trailing backslash\\",
        ] {
            assert_eq!(left(datagram), datagram, "{datagram:?}");
        }
    }

    #[test]
    fn lines_that_would_take_the_launchers_place_are_dropped() {
        for (datagram, expected) in [
            (&b"MAINPID=5"[..], &b""[..]),
            (b"MAINPID=5\n", b""),
            (b"MAINPID=5\nMAINPIDFDID=77\n\n", b""),
            (b"READY=1\nMAINPID=5\nSTATUS=up\n", b"READY=1\nSTATUS=up\n"),
            (b"READY=1\nMAINPID=5", b"READY=1\n"),
            (b"NOTIFYACCESS=all\nREADY=1", b"READY=1"),
            (b"READY=1\rMAINPID=5\r\nWATCHDOG=1", b"READY=1\r\nWATCHDOG=1"),
            (b"MAINPID=5\x00\nREADY=1", b"READY=1"),
        ] {
            assert_eq!(left(datagram), expected, "{datagram:?}");
        }
    }

    #[test]
    fn a_field_is_recognised_as_either_dialect_of_systemd_reads_it() {
        for (datagram, expected) in [
            (&b"READY=1\nMAIN\\PID=5\n"[..], &b"READY=1\n"[..]),
            (b"\\MAINPID=5", b""),
            (b"X=\\\nMAINPID=5\nREADY=1", b"READY=1"),
            (b"X=\\\\\nMAINPID=5\nREADY=1", b"X=\\\\\nREADY=1"),
        ] {
            assert_eq!(left(datagram), expected, "{datagram:?}");
        }
    }

    #[test]
    fn a_main_processs_descriptor_goes_with_its_line_and_a_stored_one_stays() {
        assert!(filter(b"MAINPIDFD=1\nREADY=1").without_pidfd);
        assert!(!filter(b"MAINPID=1\nREADY=1").without_pidfd);
        assert!(!filter(b"MAINPIDFD=1\nFDSTORE=1").without_pidfd);
        assert!(!filter(b"FDSTORE=1\nFDNAME=x").without_pidfd);
    }

    #[test]
    fn a_barrier_is_one_assignment_with_one_descriptor() {
        assert_eq!(kind(b"BARRIER=1", 1), Kind::Barrier);
        assert_eq!(kind(b"BARRIER=1\n", 1), Kind::Barrier);
        for (datagram, descriptors) in
            [(&b"BARRIER=1"[..], 0), (b"BARRIER=1", 2), (b"BARRIER=1\nREADY=1", 1), (b"", 1)]
        {
            assert_eq!(kind(datagram, descriptors), Kind::Statement);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_added_and_nothing_forbidden_stays(
            datagram in "([A-Z=\\\\\n\r]|MAINPID=|NOTIFYACCESS=|READY=1){0,40}"
        ) {
            let bytes = left(datagram.as_bytes());
            prop_assert!(!lines(&bytes).any(is_dropped), "{:?}", bytes);
            let mut rest = datagram.as_bytes().iter();
            prop_assert!(bytes.iter().all(|byte| rest.any(|other| other == byte)));
        }

        #[test]
        fn any_bytes_are_taken(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let kept = left(&datagram);
            prop_assert!(kept.len() <= datagram.len());
        }
    }
}
