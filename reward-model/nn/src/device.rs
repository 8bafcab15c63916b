//! Where tensors live and are computed on.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Which device to compute on: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Compute {
    /// The first CUDA device where this build and the machine have one, the CPU otherwise.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

impl Compute {
    /// The device.
    ///
    /// # Errors
    /// Fails when a CUDA device is asked for and this build has no CUDA, or the machine has no such device.
    pub fn open(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => cuda(number),
            Self::Auto if cfg!(feature = "cuda") => Ok(cuda(0).unwrap_or(Device::Cpu)),
            Self::Auto => Ok(Device::Cpu),
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Compute {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| text.parse().ok().map(Self::Cuda);
        let found = match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number),
        };
        found.ok_or_else(|| Error::invalid("device", format!("must be auto, cpu, cuda or cuda:N, got `{text}`")))
    }
}

impl From<Compute> for String {
    fn from(compute: Compute) -> Self {
        compute.to_string()
    }
}

impl TryFrom<String> for Compute {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

/// Free and total memory of a CUDA device in bytes; `None` for the CPU.
///
/// # Errors
/// Fails when the driver does not answer.
pub fn memory(device: &Device) -> Result<Option<(usize, usize)>, Error> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let told = device.cuda_stream().context().mem_get_info();
        return Ok(Some(told.map_err(candle_core::Error::wrap)?));
    }
    debug_assert!(!device.is_cuda());
    Ok(None)
}

/// Name of the device for people: `CPU`, or what the driver calls a CUDA device.
///
/// # Errors
/// Fails when the driver does not answer.
pub fn name(device: &Device) -> Result<String, Error> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return Ok(device.cuda_stream().context().name().map_err(candle_core::Error::wrap)?);
    }
    debug_assert!(!device.is_cuda());
    Ok("CPU".to_owned())
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Result<Device, Error> {
    use cudarc::driver::CudaContext;
    let count = CudaContext::device_count().map_err(|error| {
        Error::invalid("device", format!("cuda:{number}: the driver does not start: {error}; `cpu` needs none"))
    })?;
    if number >= count as usize {
        let reason = format!("must be one of {count} CUDA devices from 0 on, got cuda:{number}; `cpu` needs none");
        return Err(Error::invalid("device", reason));
    }
    let device = Device::new_cuda(number)?;
    if let Device::Cuda(device) = &device {
        without_event_tracking(device);
    }
    Ok(device)
}

#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "candle leaves the ordering of streams to whoever has several; here is one")]
fn without_event_tracking(device: &candle_core::CudaDevice) {
    // SAFETY: every tensor of this process is made and used on the device's one stream.
    unsafe { device.disable_event_tracking() };
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: usize) -> Result<Device, Error> {
    let reason =
        format!("cuda:{number}: this build has no CUDA; deploy/cuda/build makes one that has, `cpu` needs none");
    Err(Error::invalid("device", reason))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The device that tests of this build run on beside the CPU; `None`, said on standard error, where this build has
    /// CUDA and the machine no device.
    pub(crate) fn cuda() -> Option<Device> {
        if !cfg!(feature = "cuda") {
            return None;
        }
        match Compute::Cuda(0).open() {
            Ok(device) => Some(device),
            Err(error) => {
                use std::io::Write;
                writeln!(std::io::stderr(), "SKIPPED on CUDA: {error}").expect("standard error");
                None
            }
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for (text, compute) in [("auto", Compute::Auto), ("cpu", Compute::Cpu), ("cuda:3", Compute::Cuda(3))] {
            assert_eq!(text.parse::<Compute>().unwrap(), compute);
            assert_eq!(compute.to_string(), text);
        }
        assert_eq!("cuda".parse::<Compute>().unwrap(), Compute::Cuda(0));
        for wrong in ["gpu", "cuda:", "cuda:-1", ""] {
            let error = wrong.parse::<Compute>().unwrap_err().to_string();
            assert_eq!(error, format!("`device` must be auto, cpu, cuda or cuda:N, got `{wrong}`"));
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so_and_takes_the_cpu_on_its_own() {
        assert!(Compute::Auto.open().unwrap().is_cpu());
        let error = Compute::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("this build has no CUDA"), "{error}");
        assert_eq!(memory(&Device::Cpu).unwrap(), None);
        assert_eq!(name(&Device::Cpu).unwrap(), "CPU");
    }
}
