//! Columns of numbers as named tensors of a safetensors file.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor, WithDType};
use plaudit_nn::checkpoint::Checkpoint;
use plaudit_nn::{Error as NnError, Params};

use crate::Error;
use crate::deep::{Deep, Shape};
use crate::encode::surface::DENSE;
use crate::encode::{Features, GROUPS};
use crate::replay::{Class, Memory};
use crate::segments::Segment;
use crate::trainer::pairs::Both;
use crate::trainer::pairs::memory::{Kept, PairMemory};

/// Collects columns. An empty column is left out: the format's readers disagree about tensors without elements.
#[derive(Default)]
pub(super) struct Writer {
    params: Params,
}

impl Writer {
    fn column<T: WithDType>(&mut self, name: &str, values: Vec<T>) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let length = values.len();
        let tensor = Tensor::from_vec(values, length, &Device::Cpu).map_err(NnError::from)?;
        self.params.insert(name, &tensor)?;
        Ok(())
    }

    pub(super) fn f32s(&mut self, name: &str, values: impl Iterator<Item = f32>) -> Result<(), Error> {
        self.column(name, values.collect())
    }

    pub(super) fn f64s(&mut self, name: &str, values: impl Iterator<Item = f64>) -> Result<(), Error> {
        self.column(name, values.collect())
    }

    pub(super) fn u32s(&mut self, name: &str, values: impl Iterator<Item = u32>) -> Result<(), Error> {
        self.column(name, values.collect())
    }

    /// Stored as signed numbers with the same bits: the format's tensors know no unsigned ones of this size.
    pub(super) fn u64s(&mut self, name: &str, values: impl Iterator<Item = u64>) -> Result<(), Error> {
        self.column(name, values.map(u64::cast_signed).collect())
    }

    pub(super) fn class(&mut self, name: &str, class: &Class) -> Result<(), Error> {
        let items = &class.items;
        self.u32s(&format!("{name}.seen.segment"), class.seen.keys().map(|segment| u32::from(*segment)))?;
        self.u64s(&format!("{name}.seen.count"), class.seen.values().copied())?;
        self.u64s(&format!("{name}.exposure"), items.iter().map(|m| m.exposure))?;
        self.u64s(&format!("{name}.unit"), items.iter().map(|m| m.unit))?;
        self.u32s(&format!("{name}.segment"), items.iter().map(|m| u32::from(m.segment)))?;
        self.f32s(&format!("{name}.logit"), items.iter().map(|m| m.logit))?;
        self.f32s(&format!("{name}.label"), items.iter().map(|m| m.label))?;
        self.f32s(&format!("{name}.weight"), items.iter().map(|m| m.weight))?;
        self.features(name, items.iter().map(|m| &*m.features))
    }

    pub(super) fn pairs(&mut self, name: &str, memory: &PairMemory) -> Result<(), Error> {
        self.f32s(&format!("{name}.weight"), memory.items.iter().map(|kept| kept.weight))?;
        self.features(&format!("{name}.chosen"), memory.items.iter().map(|kept| &kept.both.chosen))?;
        self.features(&format!("{name}.rejected"), memory.items.iter().map(|kept| &kept.both.rejected))
    }

    pub(super) fn features<'a>(
        &mut self,
        name: &str,
        rows: impl Iterator<Item = &'a Features> + Clone,
    ) -> Result<(), Error> {
        self.u32s(&format!("{name}.ends"), rows.clone().flat_map(|features| features.ends))?;
        self.f32s(&format!("{name}.dense"), rows.clone().flat_map(|features| features.dense))?;
        self.u32s(&format!("{name}.index"), rows.clone().flat_map(|features| features.indices.iter().copied()))?;
        let deep = rows.filter_map(|features| features.deep.as_deref());
        self.u32s(&format!("{name}.tokens"), deep.clone().map(|deep| deep.tokens.len() as u32))?;
        self.u32s(&format!("{name}.token"), deep.clone().flat_map(|deep| deep.tokens.iter().copied()))?;
        self.f32s(&format!("{name}.vector"), deep.flat_map(|deep| deep.vector.iter().copied()))
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        Ok(self.params.to_bytes()?)
    }
}

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader {
    params: Params,
    /// For error messages.
    place: String,
}

impl Reader {
    pub(super) fn open(checkpoint: &Checkpoint, file: &str) -> Result<Self, Error> {
        let params = Params::from_bytes(checkpoint.file(file)?, &Device::Cpu)?;
        let place = format!("{}/{file}", checkpoint.manifest.id);
        Ok(Self { params, place })
    }

    fn column<T: WithDType>(&self, name: &str) -> Result<Vec<T>, Error> {
        if !self.params.contains(name) {
            return Ok(Vec::new());
        }
        let tensor = self.params.get(name)?;
        Ok(tensor.to_vec1().map_err(NnError::from)?)
    }

    pub(super) fn f32s(&self, name: &str) -> Result<Vec<f32>, Error> {
        self.column(name)
    }

    pub(super) fn f64s(&self, name: &str) -> Result<Vec<f64>, Error> {
        self.column(name)
    }

    pub(super) fn u32s(&self, name: &str) -> Result<Vec<u32>, Error> {
        self.column(name)
    }

    pub(super) fn u64s(&self, name: &str) -> Result<Vec<u64>, Error> {
        let signed: Vec<i64> = self.column(name)?;
        Ok(signed.into_iter().map(i64::cast_unsigned).collect())
    }

    /// The element of `table` at `index`.
    pub(super) fn slot<'a>(&self, table: &'a mut [f32], index: u32) -> Result<&'a mut f32, Error> {
        let found = table.get_mut(index as usize);
        found.ok_or_else(|| self.damaged("a feature number is beyond the table"))
    }

    /// `values` as an array.
    pub(super) fn exact<const N: usize>(&self, values: Vec<f64>) -> Result<[f64; N], Error> {
        values.try_into().map_err(|_| self.damaged("a column has the wrong length"))
    }

    pub(super) fn segments(&self, name: &str) -> Result<Vec<Segment>, Error> {
        let numbers = self.u32s(name)?.into_iter().map(Segment::try_from);
        numbers.collect::<Result<_, _>>().map_err(|_| self.damaged("a segment number is too large"))
    }

    /// `shape` is that of what a network makes of a row, where there is one.
    pub(super) fn class(&self, name: &str, shape: Option<Shape>) -> Result<Class, Error> {
        let seen = self.segments(&format!("{name}.seen.segment"))?;
        let seen = seen.into_iter().zip(self.u64s(&format!("{name}.seen.count"))?).collect();
        let units = self.u64s(&format!("{name}.unit"))?;
        let segments = self.segments(&format!("{name}.segment"))?;
        let logits = self.f32s(&format!("{name}.logit"))?;
        let exposures = self.u64s(&format!("{name}.exposure"))?;
        let labels = self.f32s(&format!("{name}.label"))?;
        let weights = self.f32s(&format!("{name}.weight"))?;
        let rows = self.features(name, shape)?;
        let n = exposures.len();
        let lengths = [labels.len(), weights.len(), units.len(), segments.len(), logits.len(), rows.len()];
        if lengths.iter().any(|length| *length != n) {
            return Err(self.damaged("a column has the wrong length"));
        }
        let item = |(row, features): (usize, Features)| Memory {
            exposure: exposures[row],
            unit: units[row],
            segment: segments[row],
            logit: logits[row],
            features: Arc::new(features),
            label: labels[row],
            weight: weights[row],
        };
        Ok(Class::of(rows.into_iter().enumerate().map(item).collect(), seen))
    }

    /// What is remembered of `seen` pairs.
    pub(super) fn pairs(&self, name: &str, seen: u64, shape: Option<Shape>) -> Result<PairMemory, Error> {
        let weights = self.f32s(&format!("{name}.weight"))?;
        let chosen = self.features(&format!("{name}.chosen"), shape)?;
        let rejected = self.features(&format!("{name}.rejected"), shape)?;
        if chosen.len() != weights.len() || rejected.len() != weights.len() || (weights.len() as u64) > seen {
            return Err(self.damaged("a column has the wrong length"));
        }
        let both = chosen.into_iter().zip(rejected).map(|(chosen, rejected)| Arc::new(Both { chosen, rejected }));
        let items = both.zip(weights).map(|(both, weight)| Kept { both, weight }).collect();
        Ok(PairMemory { items, seen })
    }

    /// The rows that [`Writer::features`] wrote.
    pub(super) fn features(&self, name: &str, shape: Option<Shape>) -> Result<Vec<Features>, Error> {
        let ends = self.u32s(&format!("{name}.ends"))?;
        let dense = self.f32s(&format!("{name}.dense"))?;
        let indices = self.u32s(&format!("{name}.index"))?;
        let n = ends.len() / GROUPS;
        if ends.len() != n * GROUPS || dense.len() != n * DENSE {
            return Err(self.damaged("a column has the wrong length"));
        }
        let short = || self.damaged("a column has the wrong length");
        let mut deep = shape.map(|shape| self.deep(name, n, shape)).transpose()?.map(Vec::into_iter);
        let mut rows = Vec::with_capacity(n);
        let mut rest = indices.as_slice();
        for (ends, dense) in ends.chunks_exact(GROUPS).zip(dense.chunks_exact(DENSE)) {
            let ends: [u32; GROUPS] = ends.try_into().expect("chunks of that length");
            let taken = rest.split_at_checked(ends[GROUPS - 1] as usize);
            let (own, left) = taken.ok_or_else(|| self.damaged("a column has the wrong length"))?;
            rest = left;
            if !ends.is_sorted() {
                return Err(self.damaged("the groups of a row are out of order"));
            }
            let dense = dense.try_into().expect("chunks of that length");
            let deep = deep.as_mut().map(|deep| deep.next().map(Arc::new).ok_or_else(short)).transpose()?;
            rows.push(Features { indices: own.into(), ends, dense, deep });
        }
        Ok(rows)
    }

    /// What a network makes of the rows of a class.
    fn deep(&self, name: &str, rows: usize, shape: Shape) -> Result<Vec<Deep>, Error> {
        let lengths = self.u32s(&format!("{name}.tokens"))?;
        let tokens = self.u32s(&format!("{name}.token"))?;
        let vectors = self.f32s(&format!("{name}.vector"))?;
        let width = vectors.len().checked_div(rows).unwrap_or(0);
        if lengths.len() != rows || vectors.len() != rows * width || ![0, shape.width].contains(&width) {
            return Err(self.damaged("a column has the wrong length"));
        }
        let mut rest = tokens.as_slice();
        let mut found = Vec::with_capacity(rows);
        for (row, length) in lengths.into_iter().enumerate() {
            let taken = rest.split_at_checked(length as usize);
            let (own, left) = taken.ok_or_else(|| self.damaged("a column has the wrong length"))?;
            rest = left;
            let vector = vectors[row * width..][..width].into();
            found.push(Deep { from: shape.from, alone: shape.alone, tokens: own.into(), vector });
        }
        Ok(found)
    }

    pub(super) fn damaged(&self, reason: &str) -> Error {
        NnError::corrupt(Path::new(&self.place), reason).into()
    }
}
