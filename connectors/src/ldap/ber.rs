//! The subset of BER that LDAP allows (RFC 4511, section 5.1): definite lengths, tags of one byte.
//!
//! Reading is by pulling one element after the other, so nothing recurses on what a server sent.

/// The longest message that is read: a group of some ten thousand members in one entry.
pub(super) const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub(super) const ENUMERATED: u8 = 0x0A;
/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// SET.
pub(super) const SET: u8 = 0x31;

/// Bytes that are not what the protocol has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One element: its tag and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

impl<'a> Element<'a> {
    /// A reader of its content.
    pub(super) fn inside(self) -> Reader<'a> {
        Reader(self.body)
    }

    /// Its content as a number that is not negative and has at most 32 bits.
    pub(super) fn number(self) -> Result<u32, Malformed> {
        match self.body {
            [] => Err(Malformed),
            [first, ..] if *first >= 0x80 || self.body.len() > 5 => Err(Malformed),
            body => {
                u32::try_from(body.iter().fold(0_u64, |all, byte| (all << 8) | u64::from(*byte))).map_err(|_| Malformed)
            }
        }
    }

    /// Its content as text; what is no UTF-8 is replaced.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (header, length) = header(self.0)?.ok_or(Malformed)?;
        let whole = header.checked_add(length).filter(|whole| *whole <= self.0.len()).ok_or(Malformed)?;
        let element = Element { tag: self.0[0], body: &self.0[header..whole] };
        self.0 = &self.0[whole..];
        Ok(Some(element))
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        self.next()?.filter(|element| element.tag == tag).ok_or(Malformed)
    }
}

/// How long the header of what begins here is, and how long its content; `None` while that cannot
/// be told yet.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let [tag, first, rest @ ..] = bytes else {
        return Ok(None);
    };
    if tag & 0x1F == 0x1F {
        return Err(Malformed);
    }
    let count = usize::from(first & 0x7F);
    if first & 0x80 == 0 {
        return Ok(Some((2, count)));
    }
    // No indefinite length, and none that no message may have.
    if count == 0 || count > 4 {
        return Err(Malformed);
    }
    let Some(digits) = rest.get(..count) else {
        return Ok(None);
    };
    let length = digits.iter().fold(0_usize, |all, byte| (all << 8) | usize::from(*byte));
    if length > LONGEST_MESSAGE { Err(Malformed) } else { Ok(Some((2 + count, length))) }
}

/// Writes elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// An element of these bytes.
    pub(super) fn bytes(&mut self, tag: u8, body: &[u8]) -> &mut Self {
        self.0.push(tag);
        match body.len() {
            short @ 0..0x80 => self.0.push(u8::try_from(short).unwrap_or_default()),
            long => {
                let digits = long.to_be_bytes();
                let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len() - 1);
                self.0.push(0x80 | u8::try_from(digits.len() - first).unwrap_or_default());
                self.0.extend_from_slice(&digits[first..]);
            }
        }
        self.0.extend_from_slice(body);
        self
    }

    /// An OCTET STRING.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(OCTETS, text.as_bytes())
    }

    /// A number.
    pub(super) fn number(&mut self, tag: u8, number: u32) -> &mut Self {
        let digits = number.to_be_bytes();
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len() - 1);
        let mut body = Vec::with_capacity(5);
        if digits[first] >= 0x80 {
            body.push(0);
        }
        body.extend_from_slice(&digits[first..]);
        self.bytes(tag, &body)
    }

    /// A BOOLEAN.
    pub(super) fn flag(&mut self, flag: bool) -> &mut Self {
        self.bytes(BOOLEAN, &[if flag { 0xFF } else { 0 }])
    }

    /// An element of elements.
    pub(super) fn of(&mut self, tag: u8, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(tag, &inner.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_numbers_have_their_shortest_form() {
        for (number, bytes) in
            [(0, &[0][..]), (127, &[127]), (128, &[0, 128]), (256, &[1, 0]), (u32::MAX, &[0, 255, 255, 255, 255])]
        {
            let mut written = Writer::default();
            written.number(INTEGER, number);
            assert_eq!(&written.0[2..], bytes);
            assert_eq!(Reader(&written.0).expect(INTEGER).unwrap().number(), Ok(number));
        }
        let mut long = Writer::default();
        long.bytes(OCTETS, &[7; 300]);
        assert_eq!(long.0[..4], [OCTETS, 0x82, 1, 44]);
    }

    #[test]
    fn what_ldap_forbids_is_malformed() {
        for bytes in [
            &[0x30, 0x80, 0, 0][..],
            &[0x3F, 0x81, 1, 0],
            &[4, 5, 1],
            &[4, 0x85, 0, 0, 0, 0, 1],
            &[4, 0x84, 255, 255, 255, 255],
        ] {
            assert!(Reader(bytes).next().is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in 1..0x1F_u8, body in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let mut written = Writer::default();
            written.bytes(tag, &body).bytes(tag, &[]);
            let mut reader = Reader(&written.0);
            prop_assert_eq!(reader.next(), Ok(Some(Element { tag, body: &body })));
            prop_assert_eq!(reader.next(), Ok(Some(Element { tag, body: &[] })));
            prop_assert_eq!(reader.next(), Ok(None));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader(&bytes);
            while let Ok(Some(element)) = reader.next() {
                let _ = (element.number(), element.text());
            }
        }
    }
}
