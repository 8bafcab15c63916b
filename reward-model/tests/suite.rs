//! Tests of the reward model through its public face.

#[cfg(test)]
#[path = "suite/card.rs"]
mod card;
#[cfg(test)]
#[path = "suite/challenger.rs"]
mod challenger;
#[cfg(test)]
#[path = "suite/convai.rs"]
mod convai;
#[cfg(test)]
#[path = "suite/corrections.rs"]
mod corrections;
#[cfg(test)]
#[path = "suite/delay.rs"]
mod delay;
#[cfg(test)]
#[path = "suite/erasure.rs"]
mod erasure;
#[cfg(test)]
#[path = "suite/golden.rs"]
mod golden;
#[cfg(test)]
#[path = "suite/learning.rs"]
mod learning;
#[cfg(test)]
#[path = "suite/length.rs"]
mod length;
#[cfg(test)]
#[path = "suite/network.rs"]
mod network;
#[cfg(test)]
#[path = "suite/network_files.rs"]
mod network_files;
#[cfg(test)]
#[path = "suite/pairs.rs"]
mod pairs;
#[cfg(test)]
#[path = "suite/propensity.rs"]
mod propensity;
#[cfg(test)]
#[path = "suite/remarks.rs"]
mod remarks;
#[cfg(test)]
#[path = "suite/resume.rs"]
mod resume;
#[cfg(test)]
#[path = "suite/service.rs"]
mod service;
#[cfg(test)]
#[path = "suite/spam.rs"]
mod spam;
#[cfg(test)]
#[path = "suite/world.rs"]
mod world;
