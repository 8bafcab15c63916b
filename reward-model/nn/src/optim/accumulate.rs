//! Gradients of several small batches as those of a large one.

use candle_core::backprop::GradStore;

use crate::{Error, Params};

/// A weighted sum of gradients, parameter by parameter in the order of their names.
///
/// With weights that are the parts' shares of all examples, the sum of gradients of means is the gradient of
/// the mean over all. Gradients of anything but the parameters given are dropped.
#[derive(Debug)]
pub struct Accumulator {
    params: Params,
    sum: GradStore,
    parts: usize,
}

impl Accumulator {
    /// An empty sum over `params`.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self { params: params.clone(), sum: GradStore::default(), parts: 0 }
    }

    /// Adds `weight · grads`.
    ///
    /// # Errors
    /// Fails when `weight` is not finite or a gradient has another shape than the one before.
    pub fn add(&mut self, grads: &GradStore, weight: f64) -> Result<(), Error> {
        if !weight.is_finite() {
            return Err(Error::invalid("weight", format!("must be finite, got {weight}")));
        }
        for (_, var) in self.params.iter() {
            let Some(grad) = grads.get(var) else { continue };
            let part = (grad * weight)?;
            let total = match self.sum.remove(var) {
                Some(sum) => (sum + part)?,
                None => part,
            };
            self.sum.insert(var, total.detach());
        }
        self.parts += 1;
        Ok(())
    }

    /// How many parts the sum has.
    #[must_use]
    pub const fn parts(&self) -> usize {
        self.parts
    }

    /// The sum; afterwards it is empty.
    #[must_use]
    pub fn take(&mut self) -> GradStore {
        self.parts = 0;
        std::mem::take(&mut self.sum)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn halves_add_up_to_the_whole() {
        let mut params = Params::new();
        let x = params.insert("x", &Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
        let unused = params.insert("y", &Tensor::new(&[1.0_f32], &Device::Cpu).unwrap()).unwrap();
        let data = [[1.0_f32, 2.0], [3.0, -1.0], [0.5, 4.0], [2.0, 2.0]];
        let grads = |rows: &[[f32; 2]]| {
            let rows = Tensor::from_slice(rows.as_flattened(), (rows.len(), 2), &Device::Cpu).unwrap();
            rows.broadcast_mul(&x).unwrap().sqr().unwrap().sum(1).unwrap().mean_all().unwrap().backward().unwrap()
        };
        let whole = grads(&data).get(&x).unwrap().to_vec1::<f32>().unwrap();
        let mut sum = Accumulator::new(&params);
        sum.add(&grads(&data[..1]), 0.25).unwrap();
        sum.add(&grads(&data[1..]), 0.75).unwrap();
        assert_eq!(sum.parts(), 2);
        let total = sum.take();
        for (a, b) in total.get(&x).unwrap().to_vec1::<f32>().unwrap().iter().zip(whole) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
        assert!(total.get(&unused).is_none());
        assert!(sum.parts() == 0 && sum.take().get(&x).is_none());
        assert!(sum.add(&total, f64::NAN).is_err());
    }
}
