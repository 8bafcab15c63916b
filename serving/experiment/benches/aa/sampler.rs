//! Binomial counts of small blocks by table.

use rand::Rng;

/// Draws Binomial(n, p) for any n up to a limit, by inversion of a table.
pub(crate) struct Binomial {
    tables: Vec<Vec<u64>>,
}

impl Binomial {
    pub(crate) fn new(most: usize, p: f64) -> Self {
        let tables = (0..=most)
            .map(|n| {
                let (mut mass, mut total) = ((1.0 - p).powi(i32::try_from(n).expect("a small block")), 0.0);
                let mut table = Vec::new();
                for k in 0..n {
                    total += mass;
                    table.push((total * 2_f64.powi(64)) as u64);
                    mass *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
                    if mass < 1e-18 && k as f64 > n as f64 * p {
                        break;
                    }
                }
                table
            })
            .collect();
        Self { tables }
    }

    pub(crate) fn draw(&self, n: u64, rng: &mut impl Rng) -> u64 {
        let uniform = rng.next_u64();
        let table = &self.tables[usize::try_from(n).expect("a small block")];
        table.iter().take_while(|threshold| uniform >= **threshold).count() as u64
    }
}
