//! Named, ordered parameters.

mod directory;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use crate::{Error, describe};

pub use directory::{INDEX_FILE, WEIGHTS_FILE, weight_files};

/// Trainable tensors by name, in the order of their names.
///
/// The order is fixed so that sums over parameters, files and hashes are the same in every run.
/// `clone` shares the tensors; [`Params::try_clone`] copies them.
#[derive(Debug, Clone, Default)]
pub struct Params {
    vars: BTreeMap<String, Var>,
}

impl Params {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a copy of `tensor` as a trainable parameter called `name`, replacing an earlier one, and returns it.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn insert(&mut self, name: impl Into<String>, tensor: &Tensor) -> Result<Var, Error> {
        // A variable handed to `from_tensor` would be shared, not copied.
        let var = Var::from_tensor(&tensor.detach())?;
        self.vars.insert(name.into(), var.clone());
        Ok(var)
    }

    /// Adds `var` itself, not a copy, as the parameter called `name`, replacing an earlier one: for the
    /// parameters of several models in one optimiser.
    pub fn share(&mut self, name: impl Into<String>, var: &Var) {
        self.vars.insert(name.into(), var.clone());
    }

    /// The parameter called `name`.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn get(&self, name: &str) -> Result<&Var, Error> {
        let found = self.vars.get(name);
        found.ok_or_else(|| Error::MissingParam(name.to_owned()))
    }

    /// The parameter called `name`, checked to have `shape`.
    ///
    /// # Errors
    /// Fails when there is none, or when it has another shape.
    pub fn get_shaped(&self, name: &str, shape: &[usize]) -> Result<&Var, Error> {
        let var = self.get(name)?;
        if var.dims() != shape {
            return Err(Error::Shape { name: name.to_owned(), expected: shape.to_vec(), got: var.dims().to_vec() });
        }
        Ok(var)
    }

    /// Whether there is a parameter called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.vars.contains_key(name)
    }

    /// All parameters, by name in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// How many parameters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// How many numbers all parameters hold together.
    #[must_use]
    pub fn num_elements(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// A copy that shares no memory with `self`.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn try_clone(&self) -> Result<Self, Error> {
        self.map(|tensor| Ok(tensor.clone()))
    }

    /// A copy that shares with `self` every parameter but those whose name `is_own` holds for.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn copy_where(&self, is_own: impl Fn(&str) -> bool) -> Result<Self, Error> {
        let mut copy = Self::new();
        for (name, var) in &self.vars {
            if is_own(name) {
                copy.insert(name.clone(), var.as_tensor())?;
            } else {
                copy.share(name.clone(), var);
            }
        }
        Ok(copy)
    }

    /// A copy with every number converted to `dtype`.
    ///
    /// # Errors
    /// Fails when a conversion is not supported.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self, Error> {
        self.map(|tensor| Ok(tensor.to_dtype(dtype)?))
    }

    /// A copy on `device`.
    ///
    /// # Errors
    /// Fails when the device is out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Self, Error> {
        self.map(|tensor| Ok(tensor.to_device(device)?))
    }

    /// Where the parameters live; the CPU where there are none.
    #[must_use]
    pub fn device(&self) -> Device {
        self.vars.values().next().map_or(Device::Cpu, |var| var.device().clone())
    }

    /// Overwrites every parameter with the one of the same name in `source`.
    ///
    /// # Errors
    /// Fails when a parameter is missing in `source` or has another shape; earlier ones are then already overwritten.
    pub fn copy_from(&self, source: &Self) -> Result<(), Error> {
        for (name, var) in &self.vars {
            let value = source.get_shaped(name, var.dims())?;
            var.set(&value.to_dtype(var.dtype())?)?;
        }
        Ok(())
    }

    /// The parameters in the safetensors format; equal parameters give equal bytes.
    ///
    /// # Errors
    /// Fails for a number type that the format does not have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let views = self.vars.iter().map(|(name, var)| (name, var.as_tensor()));
        Ok(safetensors::serialize(views, None).map_err(candle_core::Error::wrap)?)
    }

    /// Reads the safetensors format.
    ///
    /// # Errors
    /// Fails when `bytes` are not safetensors.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, Error> {
        let tensors = candle_core::safetensors::load_buffer(bytes, device)?;
        let mut params = Self::new();
        for (name, tensor) in tensors {
            params.insert(name, &tensor)?;
        }
        Ok(params)
    }

    /// Writes the parameters to a safetensors file. Not atomic: what must survive a crash belongs into a [`checkpoint`](crate::checkpoint).
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.to_bytes()?).map_err(Error::io(path))
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not safetensors.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&bytes, device).map_err(|error| Error::corrupt(path, describe(&error)))
    }

    fn map(&self, convert: impl Fn(&Tensor) -> Result<Tensor, Error>) -> Result<Self, Error> {
        let mut copy = Self::new();
        for (name, var) in &self.vars {
            copy.insert(name.clone(), &convert(var.as_tensor())?)?;
        }
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Params {
        let mut params = Params::new();
        let b = Tensor::from_vec(vec![1.5_f32, -2.0, 3.0], 3, &Device::Cpu).unwrap();
        params.insert("b", &b).unwrap();
        let a = Tensor::from_vec(vec![0.25_f32; 4], (2, 2), &Device::Cpu).unwrap();
        params.insert("a", &a).unwrap();
        params
    }

    #[test]
    fn parameters_come_in_the_order_of_their_names() {
        let names: Vec<String> = two().iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(two().num_elements(), 7);
    }

    #[test]
    fn a_copy_shares_nothing_and_a_clone_shares_all() {
        let params = two();
        let copy = params.try_clone().unwrap();
        let same_dtype = params.to_dtype(DType::F32).unwrap();
        let shared = params.clone();
        let partly = params.copy_where(|name| name == "b").unwrap();
        let zeros = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        params.get("b").unwrap().set(&zeros).unwrap();
        let read = |params: &Params| params.get("b").unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(read(&copy), [1.5, -2.0, 3.0]);
        assert_eq!(read(&same_dtype), [1.5, -2.0, 3.0]);
        assert_eq!(read(&shared), [0.0; 3]);
        assert_eq!(read(&partly), [1.5, -2.0, 3.0]);
        params.get("a").unwrap().set(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(partly.get("a").unwrap().to_vec2::<f32>().unwrap(), [[0.0; 2]; 2]);
        params.copy_from(&copy).unwrap();
        assert_eq!(read(&params), [1.5, -2.0, 3.0]);
    }

    #[test]
    fn files_hold_the_same_numbers_in_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        two().save(&path).unwrap();
        let read = Params::load(&path, &Device::Cpu).unwrap();
        assert_eq!(read.to_bytes().unwrap(), two().to_bytes().unwrap());
        let half = two().to_dtype(DType::F16).unwrap();
        let back = Params::from_bytes(&half.to_bytes().unwrap(), &Device::Cpu).unwrap();
        assert_eq!(back.get("a").unwrap().dtype(), DType::F16);
    }

    #[test]
    fn faults_name_the_parameter_or_the_file() {
        let missing = two().get("c").unwrap_err().to_string();
        assert_eq!(missing, "parameter `c` is missing");
        let shape = two().get_shaped("a", &[4]).unwrap_err().to_string();
        assert_eq!(shape, "parameter `a` must have shape [4], got [2, 2]");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, b"no tensors here").unwrap();
        let corrupt = Params::load(&path, &Device::Cpu).unwrap_err();
        assert!(matches!(corrupt, Error::Corrupt { .. }), "{corrupt}");
        let text = corrupt.to_string();
        let (start, cause) = text.split_once("tensor operation failed: ").expect("the cause is told");
        assert!(start.contains("model.safetensors") && cause.to_lowercase().contains("header"), "{text}");
    }
}
