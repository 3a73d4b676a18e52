//! One source of chance: the same seed, the same numbers (splitmix64).

/// A die.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The die of a seed.
    pub fn new(seed: u64) -> Self {
        // Seeds in a row shall begin far apart.
        let mut dice = Self(seed);
        dice.0 = dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `sides`, which is at least 1.
    pub fn below(&mut self, sides: usize) -> usize {
        (self.next() % sides.max(1) as u64) as usize
    }

    /// A number of a range, both ends included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).max(1) as u64) as i64
    }

    /// True so many times in ten thousand.
    pub fn chance(&mut self, of_ten_thousand: u32) -> bool {
        self.next() % 10_000 < u64::from(of_ten_thousand)
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { Some(all[self.below(all.len())].clone()) }
    }
}
