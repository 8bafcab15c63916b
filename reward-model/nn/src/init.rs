//! Initial values from a named random stream.
//!
//! candle's own generator cannot be seeded on the CPU, so that every random tensor is made here and handed over
//! with [`Tensor::from_vec`].

use candle_core::{Device, Shape, Tensor};
use plaudit_event::Stream;
use rand::Rng;

use crate::Error;

/// Independent normal values with mean 0 and standard deviation `std`.
///
/// # Errors
/// Fails when the device is out of memory.
pub fn normal(shape: impl Into<Shape>, std: f64, stream: &mut Stream, device: &Device) -> Result<Tensor, Error> {
    let shape = shape.into();
    let mut values = Vec::with_capacity(shape.elem_count() + 1);
    while values.len() < shape.elem_count() {
        let (first, second) = normal_pair(stream);
        values.push((first * std) as f32);
        values.push((second * std) as f32);
    }
    values.truncate(shape.elem_count());
    Ok(Tensor::from_vec(values, shape, device)?)
}

/// Independent values, uniform in `[low, high)`.
///
/// # Errors
/// Fails when the device is out of memory.
pub fn uniform(
    shape: impl Into<Shape>,
    low: f64,
    high: f64,
    stream: &mut Stream,
    device: &Device,
) -> Result<Tensor, Error> {
    let shape = shape.into();
    let draw = |_| (low + (high - low) * stream.random::<f64>()) as f32;
    let values: Vec<f32> = (0..shape.elem_count()).map(draw).collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

/// All elements equal to `value`.
///
/// # Errors
/// Fails when the device is out of memory.
pub fn constant(shape: impl Into<Shape>, value: f32, device: &Device) -> Result<Tensor, Error> {
    let shape = shape.into();
    let values = vec![value; shape.elem_count()];
    Ok(Tensor::from_vec(values, shape, device)?)
}

/// All zeros.
///
/// # Errors
/// Fails when the device is out of memory.
pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Result<Tensor, Error> {
    constant(shape, 0.0, device)
}

/// All ones.
///
/// # Errors
/// Fails when the device is out of memory.
pub fn ones(shape: impl Into<Shape>, device: &Device) -> Result<Tensor, Error> {
    constant(shape, 1.0, device)
}

/// Two independent standard normal values by the Box–Muller transform.
fn normal_pair(stream: &mut Stream) -> (f64, f64) {
    // 1 − u is in (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - stream.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * stream.random::<f64>();
    (radius * angle.cos(), radius * angle.sin())
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;

    fn moments(tensor: &Tensor) -> (f64, f64) {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        (mean, (values.iter().map(square).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn normal_values_have_the_asked_moments_and_repeat() {
        let draw = || {
            let mut stream = Seed::new(3).stream("init");
            normal((101, 99), 0.5, &mut stream, &Device::Cpu).unwrap()
        };
        let (mean, std) = moments(&draw());
        // 9,999 draws: the standard error of the mean is 0.005, that of the deviation 0.0035.
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((std - 0.5).abs() < 0.015, "std {std}");
        assert_eq!(draw().to_vec2::<f32>().unwrap(), draw().to_vec2::<f32>().unwrap());
    }

    #[test]
    fn uniform_values_stay_in_range() {
        let mut stream = Seed::new(3).stream("init");
        let tensor = uniform(2_000, -0.25, 0.75, &mut stream, &Device::Cpu).unwrap();
        let values = tensor.to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|v| (-0.25..0.75).contains(v)));
        let (mean, std) = moments(&tensor);
        assert!((mean - 0.25).abs() < 0.03, "mean {mean}");
        assert!((std - 12.0_f64.sqrt().recip()).abs() < 0.02, "std {std}");
    }
}
