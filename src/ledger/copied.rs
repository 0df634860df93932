//! The first bytes of a main segment as its server wrote them, copied while it lived: whoever has
//! them need not attach the segment after the death. Pure.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::{Control, Engine, HEADER_BYTES};

/// The header of a main segment, in a ledger's line as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopiedHeader([u8; HEADER_BYTES]);

impl CopiedHeader {
    /// Returns the copy of what a segment begins with, if that is the header of a main segment that
    /// this process of such a server made, and nothing in it is still to come: PostgreSQL names its
    /// control segment some time after the rest, and never another one.
    #[must_use]
    pub fn of(engine: Engine, creator_pid: i32, bytes: &[u8]) -> Option<Self> {
        let main = engine.main_header(bytes)?;
        let names_all = main.control != Control::Unnamed;
        let bytes = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        (main.pid == creator_pid && names_all).then_some(Self(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes as a line may have them, whatever they say.
    #[must_use]
    pub fn any(bytes: [u8; HEADER_BYTES]) -> Self {
        Self(bytes)
    }
}

impl Serialize for CopiedHeader {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        out.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for CopiedHeader {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        of_digits(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "a header that is not {} hexadecimal digits",
                2 * HEADER_BYTES
            ))
        })
    }
}

/// Reads digits as they are written: lower case, no sign.
fn of_digits(text: &str) -> Option<[u8; HEADER_BYTES]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    pairs.map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}
