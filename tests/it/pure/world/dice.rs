//! Dice: the same throws from the same number, on every machine and of every version.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(seed ^ 0x5bd1_e995_9d1b_54a5)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).unwrap()].clone()
    }

    /// One of these, each as often as its weight says.
    pub fn weighed<T: Copy>(&mut self, all: &[(u64, T)]) -> T {
        let sum = all.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(sum);
        for (weight, one) in all {
            if at < *weight {
                return *one;
            }
            at -= weight;
        }
        unreachable!("a number below the sum of all weights")
    }
}
