//! Numbers that look random and are the same for the same seed, and the ways a text is spoilt.

/// A generator of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

/// What breaks readers: delimiters of every grammar, odd numbers, odd characters.
const ODD: [&str; 48] = [
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\n",
    "\t",
    "\u{7f}",
    "\u{feff}",
    "\u{200d}",
    "\u{202e}",
    "ß",
    "İ",
    "ﬃ",
    "é",
    "e\u{301}",
    "😀",
    "\u{10ffff}",
    " ",
    "  ",
    "+",
    "%",
    "%20",
    "%00",
    "%zz",
    "%25",
    "/",
    "//",
    "..",
    ".",
    ":",
    "::",
    "$",
    "$ref",
    "-",
    "-1",
    "0",
    "1e400",
    "-0.0",
    "9223372036854775808",
    "0.000000000000000000000000001",
    "null",
    "true",
    "[]",
    "{}",
    ",",
];

/// What nests.
const NESTS: [(&str, &str); 9] = [
    ("(", ")"),
    ("not (", ")"),
    ("emails[", "]"),
    ("[", "]"),
    ("{\"a\":", "}"),
    ("[{\"value\":", "}]"),
    ("not(not (", "))"),
    ("a.b.", ""),
    ("active pr and (", ")"),
];

impl Chance {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        match u64::try_from(n) {
            Ok(n) if n > 0 => usize::try_from(self.next() % n).unwrap_or(0),
            _ => 0,
        }
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them; the first type's default for an empty list.
    pub(crate) fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items.get(self.below(items.len())).copied().unwrap_or_default()
    }

    /// A place in a text that is between characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn range(&mut self, text: &str) -> (usize, usize) {
        let (a, b) = (self.place(text), self.place(text));
        (a.min(b), a.max(b))
    }

    /// Spoils a text a few times. `words` are the grammar's own; `other` is a text to take parts of.
    pub(crate) fn spoil(&mut self, text: &str, words: &[&str], other: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..1 + self.below(4) {
            match self.below(10) {
                0 => {
                    let (from, to) = self.range(&text);
                    text.replace_range(from..to, "");
                }
                1 => {
                    let (from, to) = self.range(&text);
                    let part = text[from..to].to_owned();
                    let at = self.place(&text);
                    text.insert_str(at, &part);
                }
                2 | 3 => {
                    let at = self.place(&text);
                    let word = self.of(words);
                    text.insert_str(at, word);
                }
                4 => {
                    let (from, to) = self.range(&text);
                    let word = self.of(words);
                    text.replace_range(from..to, word);
                }
                5 => {
                    let at = self.place(&text);
                    let odd = self.of(&ODD);
                    text.insert_str(at, odd);
                }
                6 => {
                    let (from, to) = self.range(other);
                    let part = other[from..to].to_owned();
                    let (from, to) = self.range(&text);
                    text.replace_range(from..to, &part);
                }
                7 => {
                    let at = self.place(&text);
                    let c = char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap_or(0)).unwrap_or('?');
                    text.insert(at, c);
                }
                8 => {
                    let upper = self.one_in(2);
                    text = if upper { text.to_uppercase() } else { text.to_lowercase() };
                }
                _ if self.one_in(24) => self.swell(&mut text),
                _ => {
                    let at = self.place(&text);
                    let (open, close) = NESTS[self.below(NESTS.len())];
                    text.insert_str(at, open);
                    text.push_str(close);
                }
            }
            // What is longer is refused for its length alone, which a few inputs are enough to show.
            if text.len() > 1 << 17 {
                break;
            }
        }
        text
    }

    /// Makes a text deep, long or many times itself.
    fn swell(&mut self, text: &mut String) {
        let n = [30, 70, 300, 3_000, 20_000][self.below(5)];
        match self.below(3) {
            0 => {
                let (open, close) = NESTS[self.below(NESTS.len())];
                *text = format!("{}{text}{}", open.repeat(n), close.repeat(n));
            }
            1 => {
                let at = self.place(text);
                let odd = self.of(&ODD).repeat(n);
                text.insert_str(at, &odd);
            }
            _ => {
                let between = self.of(&[" and ", " or ", ",", "&", ".", "", " "]);
                let times = (1 << 16) / (text.len() + between.len() + 1);
                *text = vec![text.as_str(); times.min(n) + 1].join(between);
            }
        }
    }
}
