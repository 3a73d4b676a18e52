//! The messages of LDAP (RFC 4511): what is asked, and what answers hold.

use super::ber::{ENUMERATED, Element, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, Writer};
use super::filter::Filter;

/// Paged results (RFC 2696).
pub(super) const PAGED: &str = "1.2.840.113556.1.4.319";
/// Post-read (RFC 4527).
const POST_READ: &str = "1.3.6.1.1.13.2";
/// Adding a value that is there and deleting one that is not are no errors (Microsoft's; OpenLDAP has it too).
const PERMISSIVE_MODIFY: &str = "1.2.840.113556.1.4.1413";
/// StartTLS (RFC 4511, section 4.14).
pub(super) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// Who am I? (RFC 4532)
pub(super) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";

/// Entries of one answer that are kept; more is a server that does not keep to its page.
const MOST_ENTRIES: usize = 5_000;

/// Result codes (RFC 4511, section 4.1.9).
pub(super) mod code {
    pub(in super::super) const SUCCESS: u16 = 0;
    pub(in super::super) const TIME_LIMIT: u16 = 3;
    pub(in super::super) const SIZE_LIMIT: u16 = 4;
    pub(in super::super) const REFERRAL: u16 = 10;
    pub(in super::super) const ADMIN_LIMIT: u16 = 11;
    pub(in super::super) const NO_SUCH_ATTRIBUTE: u16 = 16;
    pub(in super::super) const CONSTRAINT: u16 = 19;
    pub(in super::super) const VALUE_EXISTS: u16 = 20;
    pub(in super::super) const NO_SUCH_OBJECT: u16 = 32;
    pub(in super::super) const INVALID_CREDENTIALS: u16 = 49;
    pub(in super::super) const OBJECT_CLASS: u16 = 65;
    pub(in super::super) const ENTRY_EXISTS: u16 = 68;
}

/// The values of an attribute.
pub(super) type Values = Vec<Vec<u8>>;
/// Attributes with their values.
pub(super) type Attributes = Vec<(String, Values)>;

/// A part of an attribute's values, as Active Directory gives long lists (`name;range=from-to`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The place of its last value; `None` where that is the attribute's last one.
    pub(super) to: Option<usize>,
    /// The values.
    pub(super) values: Values,
}

/// How far a search reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Base,
    Subtree,
}

/// What a modification does to an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add(String, Vec<Vec<u8>>),
    Delete(String, Vec<Vec<u8>>),
    Replace(String, Vec<Vec<u8>>),
}

/// One request: the encoded operation and its controls.
#[derive(Clone, Debug)]
pub(super) struct Request {
    op: Vec<u8>,
    controls: Vec<u8>,
}

impl Request {
    fn new(write: impl FnOnce(&mut Writer)) -> Self {
        let mut out = Writer::default();
        write(&mut out);
        Self { op: out.0, controls: Vec::new() }
    }

    fn control(mut self, oid: &str, critical: bool, value: Option<&[u8]>) -> Self {
        let mut out = Writer(std::mem::take(&mut self.controls));
        out.of(SEQUENCE, |out| {
            out.text(oid);
            if critical {
                out.flag(true);
            }
            if let Some(value) = value {
                out.bytes(OCTETS, value);
            }
        });
        self.controls = out.0;
        self
    }

    /// A simple bind (section 4.2).
    pub(super) fn bind(name: &str, password: &str) -> Self {
        Self::new(|out| {
            out.of(0x60, |out| {
                out.number(INTEGER, 3).text(name).bytes(0x80, password.as_bytes());
            });
        })
    }

    /// An extended operation without a value (section 4.12).
    pub(super) fn extended(oid: &str) -> Self {
        Self::new(|out| {
            out.of(0x77, |out| {
                out.bytes(0x80, oid.as_bytes());
            });
        })
    }

    /// A search (section 4.5.1) that follows no aliases. `most` entries at most; 0 leaves it to the server.
    pub(super) fn search(base: &str, scope: Scope, filter: &Filter, attributes: &[&str], most: u32) -> Self {
        Self::new(|out| {
            out.of(0x63, |out| {
                out.text(base).number(ENUMERATED, if scope == Scope::Base { 0 } else { 2 });
                out.number(ENUMERATED, 0).number(INTEGER, most).number(INTEGER, 0).flag(false);
                filter.write(out);
                out.of(SEQUENCE, |out| {
                    for attribute in attributes {
                        out.text(attribute);
                    }
                });
            });
        })
    }

    /// Asks for a page of a search's answer, after the cookie of the one before.
    pub(super) fn page(self, size: u32, cookie: &[u8]) -> Self {
        let mut value = Writer::default();
        value.of(SEQUENCE, |out| {
            out.number(INTEGER, size).bytes(OCTETS, cookie);
        });
        self.control(PAGED, true, Some(&value.0))
    }

    /// Adds an entry (section 4.7).
    pub(super) fn add(dn: &str, attributes: &[(String, Values)]) -> Self {
        Self::new(|out| {
            out.of(0x68, |out| {
                out.text(dn).of(SEQUENCE, |out| {
                    for (name, values) in attributes {
                        out.of(SEQUENCE, |out| {
                            out.text(name).of(SET, |out| set(out, values));
                        });
                    }
                });
            });
        })
    }

    /// Changes an entry (section 4.6), all of it or nothing.
    pub(super) fn modify(dn: &str, changes: &[Change]) -> Self {
        Self::new(|out| {
            out.of(0x66, |out| {
                out.text(dn).of(SEQUENCE, |out| {
                    for change in changes {
                        let (kind, name, values) = match change {
                            Change::Add(name, values) => (0, name, values),
                            Change::Delete(name, values) => (1, name, values),
                            Change::Replace(name, values) => (2, name, values),
                        };
                        out.of(SEQUENCE, |out| {
                            out.number(ENUMERATED, kind).of(SEQUENCE, |out| {
                                out.text(name).of(SET, |out| set(out, values));
                            });
                        });
                    }
                });
            });
        })
    }

    /// Renames or moves an entry (section 4.9); the old naming value goes.
    pub(super) fn rename(dn: &str, rdn: &str, parent: Option<&str>) -> Self {
        Self::new(|out| {
            out.of(0x6C, |out| {
                out.text(dn).text(rdn).flag(true);
                if let Some(parent) = parent {
                    out.bytes(0x80, parent.as_bytes());
                }
            });
        })
    }

    /// Deletes an entry (section 4.8).
    pub(super) fn delete(dn: &str) -> Self {
        Self::new(|out| {
            out.bytes(0x4A, dn.as_bytes());
        })
    }

    /// Asks for these attributes of what the write makes, where the server can say.
    pub(super) fn post_read(self, attributes: &[&str]) -> Self {
        let mut value = Writer::default();
        value.of(SEQUENCE, |out| {
            for attribute in attributes {
                out.text(attribute);
            }
        });
        self.control(POST_READ, false, Some(&value.0))
    }

    /// Lets values that are there already, or not there, pass, where the server can.
    pub(super) fn permissive(self) -> Self {
        self.control(PERMISSIVE_MODIFY, false, None)
    }

    /// The whole message.
    pub(super) fn message(&self, id: u32) -> Vec<u8> {
        let mut out = Writer::default();
        out.of(SEQUENCE, |out| {
            out.number(INTEGER, id);
            out.0.extend_from_slice(&self.op);
            if !self.controls.is_empty() {
                out.bytes(0xA0, &self.controls);
            }
        });
        out.0
    }
}

fn set(out: &mut Writer, values: &[Vec<u8>]) {
    for value in values {
        out.bytes(OCTETS, value);
    }
}

/// One entry of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its distinguished name.
    pub(super) dn: String,
    attributes: Attributes,
}

impl Entry {
    /// The values of an attribute; names compare without case.
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values.as_slice())
    }

    /// The first value of an attribute as bytes.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.values(name).first().map(Vec::as_slice)
    }

    /// The first value of an attribute as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The values of an attribute as texts.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The part of an attribute's values that the server gave, where it did not give all.
    pub(super) fn range(&self, name: &str) -> Option<Range> {
        self.attributes.iter().find_map(|(known, values)| {
            let (base, option) = known.split_once(';')?;
            let range = option.get(..6).filter(|word| word.eq_ignore_ascii_case("range=")).map(|_| &option[6..])?;
            let (_, to) = range.split_once('-')?;
            let to = if to == "*" { None } else { Some(to.parse().ok()?) };
            base.eq_ignore_ascii_case(name).then(|| Range { to, values: values.clone() })
        })
    }

    fn read(element: Element<'_>) -> Result<Self, Malformed> {
        let mut inside = element.inside();
        let dn = inside.expect(OCTETS)?.text();
        let mut list = inside.expect(SEQUENCE)?.inside();
        let mut attributes = Vec::new();
        while let Some(one) = list.next()? {
            let mut one = one.inside();
            let name = one.expect(OCTETS)?.text();
            let mut set = one.expect(SET)?.inside();
            let mut values = Vec::new();
            while let Some(value) = set.next()? {
                values.push(value.body.to_vec());
            }
            attributes.push((name, values));
        }
        Ok(Self { dn, attributes })
    }
}

/// What a request came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The result code.
    pub(super) code: u16,
    /// The server's own words.
    pub(super) text: String,
    /// The entries of a search.
    pub(super) entries: Vec<Entry>,
    /// Whether the server sent parts of a search elsewhere.
    pub(super) referred: bool,
    /// The cookie of the next page; empty at the end. `None` where the server did not page.
    pub(super) cookie: Option<Vec<u8>>,
    /// The entry as it is after a write, where that was asked for and the server says.
    pub(super) after: Option<Entry>,
    /// The value of an extended answer.
    pub(super) value: Option<String>,
}

/// What one message was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Of request `id`: it goes on, or (`true`) it is all there.
    Of(u32, bool),
    /// The server ends the connection: its code and words.
    Goodbye(u16, String),
}

/// The id of a message, so that its answer can be found.
pub(super) fn id(message: &[u8]) -> Result<u32, Malformed> {
    Reader(message).expect(SEQUENCE)?.inside().expect(INTEGER)?.number()
}

/// Takes one message into the answer that it belongs to.
pub(super) fn take(message: &[u8], answer: &mut Answer) -> Result<Part, Malformed> {
    let mut inside = Reader(message).expect(SEQUENCE)?.inside();
    let id = inside.expect(INTEGER)?.number()?;
    let op = inside.next()?.ok_or(Malformed)?;
    if id == 0 {
        // Only a notice of disconnection comes unasked (section 4.4.1).
        let mut notice = Answer::default();
        result(op, &mut notice)?;
        return Ok(Part::Goodbye(notice.code, notice.text));
    }
    match op.tag {
        0x64 => {
            if answer.entries.len() >= MOST_ENTRIES {
                return Err(Malformed);
            }
            answer.entries.push(Entry::read(op)?);
            return Ok(Part::Of(id, false));
        }
        0x73 => {
            answer.referred = true;
            return Ok(Part::Of(id, false));
        }
        // IntermediateResponse: nothing that was asked for has one.
        0x79 => return Ok(Part::Of(id, false)),
        0x61 | 0x65 | 0x67 | 0x69 | 0x6B | 0x6D | 0x78 => result(op, answer)?,
        _ => return Err(Malformed),
    }
    if let Some(controls) = inside.next()?.filter(|element| element.tag == 0xA0) {
        let mut list = controls.inside();
        while let Some(one) = list.next()? {
            control(one, answer)?;
        }
    }
    Ok(Part::Of(id, true))
}

/// An `LDAPResult` (section 4.1.9), with the value of an extended answer.
fn result(op: Element<'_>, answer: &mut Answer) -> Result<(), Malformed> {
    let mut inside = op.inside();
    answer.code = u16::try_from(inside.expect(ENUMERATED)?.number()?).map_err(|_| Malformed)?;
    inside.expect(OCTETS)?;
    answer.text = inside.expect(OCTETS)?.text();
    while let Some(more) = inside.next()? {
        match more.tag {
            0xA3 => answer.referred = true,
            0x8B => answer.value = Some(more.text()),
            _ => {}
        }
    }
    Ok(())
}

fn control(element: Element<'_>, answer: &mut Answer) -> Result<(), Malformed> {
    let mut inside = element.inside();
    let oid = inside.expect(OCTETS)?.text();
    let mut value = None;
    while let Some(more) = inside.next()? {
        if more.tag == OCTETS {
            value = Some(more.body);
        }
    }
    let Some(value) = value else {
        return Ok(());
    };
    match oid.as_str() {
        PAGED => {
            let mut inside = Reader(value).expect(SEQUENCE)?.inside();
            inside.expect(INTEGER)?;
            answer.cookie = Some(inside.expect(OCTETS)?.body.to_vec());
        }
        POST_READ => {
            let entry = Reader(value).next()?.ok_or(Malformed)?;
            answer.after = Some(Entry::read(entry)?);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(op: &[u8]) -> Result<(Part, Answer), Malformed> {
        let mut out = Writer::default();
        out.of(SEQUENCE, |out| {
            out.number(INTEGER, 1);
            out.0.extend_from_slice(op);
        });
        let mut answer = Answer::default();
        take(&out.0, &mut answer).map(|part| (part, answer))
    }

    #[test]
    fn a_part_of_many_members_is_told_with_its_place() {
        let mut op = Writer::default();
        op.of(0x64, |out| {
            out.text("cn=g").of(SEQUENCE, |out| {
                out.of(SEQUENCE, |out| {
                    out.text("member").of(SET, |_| {});
                });
                out.of(SEQUENCE, |out| {
                    out.text("member;range=1500-2999").of(SET, |out| {
                        out.text("cn=a");
                    });
                });
            });
        });
        let (part, answer) = answer(&op.0).unwrap();
        assert_eq!(part, Part::Of(1, false));
        let want = Range { to: Some(2999), values: vec![b"cn=a".to_vec()] };
        assert_eq!(answer.entries[0].range("Member"), Some(want));
        assert!(answer.entries[0].values("member").is_empty());
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(op in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&op);
        }

        #[test]
        fn a_damaged_answer_is_malformed_or_read(at in 0..60_usize, byte in any::<u8>()) {
            let mut op = Writer::default();
            op.of(0x65, |out| {
                out.number(ENUMERATED, 4).text("").text("Size limit exceeded, says the server");
            });
            if let Some(place) = op.0.get_mut(at) {
                *place = byte;
            }
            let _ = answer(&op.0);
        }
    }
}
