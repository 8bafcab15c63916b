//! Binomial counts of small blocks by table.

use rand::Rng;

/// Places to start from: by the first bits of the uniform number, so that hardly a step is left to be made.
const STARTS: usize = 256;

/// Draws Binomial(n, p) for any n up to a limit, by inversion of a table.
pub(crate) struct Binomial {
    tables: Vec<Table>,
}

struct Table {
    /// Cumulative probabilities of 0, 1, ... in units of 2⁻⁶⁴; the last is the largest number there is.
    thresholds: Vec<u64>,
    starts: [u16; STARTS],
}

impl Table {
    fn new(n: usize, p: f64) -> Self {
        let (mut mass, mut total) = ((1.0 - p).powi(i32::try_from(n).expect("a small block")), 0.0);
        let mut thresholds = Vec::new();
        for k in 0..n {
            total += mass;
            thresholds.push((total * 2_f64.powi(64)) as u64);
            mass *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            if mass < 1e-18 && k as f64 > n as f64 * p {
                break;
            }
        }
        thresholds.push(u64::MAX);
        let first = |place: usize| {
            let least = (place as u64) << 56;
            thresholds.iter().position(|threshold| least < *threshold).expect("the last is the largest")
        };
        let starts = std::array::from_fn(|place| u16::try_from(first(place)).expect("a small block"));
        Self { thresholds, starts }
    }
}

impl Binomial {
    /// For blocks of up to `most` < 65,536 units.
    pub(crate) fn new(most: usize, p: f64) -> Self {
        Self { tables: (0..=most).map(|n| Table::new(n, p)).collect() }
    }

    pub(crate) fn draw(&self, n: u64, rng: &mut impl Rng) -> u64 {
        if n == 0 {
            return 0;
        }
        let uniform = rng.next_u64();
        let table = &self.tables[usize::try_from(n).expect("a small block")];
        let mut k = usize::from(table.starts[(uniform >> 56) as usize]);
        while uniform >= table.thresholds[k] && k + 1 < table.thresholds.len() {
            k += 1;
        }
        k as u64
    }
}
