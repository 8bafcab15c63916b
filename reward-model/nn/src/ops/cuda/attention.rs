//! Attention by batched products, with one kernel for mask, scale and softmax. The probabilities are computed
//! again in the backward pass instead of being kept.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, DType, Device, Error, Layout, Result, Shape, Tensor};

use super::{Launch, View, on_tensors};
use crate::ops::attention::{Heads, Span};

/// What kernels need beside q, k and v.
struct Setting {
    heads: Heads,
    batch: usize,
    len: usize,
    /// Cosines and sines (T, head_dim / 2) where positions are rotary, anything of one element elsewhere.
    tables: [Tensor; 2],
    /// (B) real positions; one element where rows are causal.
    lengths: Tensor,
    is_causal: bool,
}

impl Setting {
    fn new(heads: Heads, span: &Span, (batch, len): (usize, usize), device: &Device) -> Result<Self> {
        let none = || Tensor::zeros(1, DType::F32, device);
        let (tables, lengths) = match span {
            Span::Causal(rotary) => {
                let (cos, sin) = rotary.tensors(len, device)?;
                ([cos, sin], Tensor::zeros(1, DType::U32, device)?)
            }
            Span::Both(lengths) => {
                let lengths: Vec<u32> = lengths.iter().map(|&n| n as u32).collect();
                ([none()?, none()?], Tensor::from_vec(lengths, batch, device)?)
            }
        };
        Ok(Self { heads, batch, len, tables, lengths, is_causal: matches!(span, Span::Causal(_)) })
    }

    fn elements(&self) -> usize {
        self.batch * self.len * self.heads.q_width()
    }

    /// (B, T, heads · d) to (B, query heads, T, d); keys and values are repeated for their group.
    fn split(&self, x: View<'_>, tables: [View<'_>; 2], group: usize, turned: bool) -> Result<CudaStorage> {
        let (len, heads, d) = (self.len, self.heads.heads, self.heads.head_dim);
        let count = self.elements();
        let integers = [count, len, heads, group, d, usize::from(turned && self.is_causal)];
        Launch::each("split_heads", count, &integers).make(&[x, tables[0], tables[1]], count, x.dtype())
    }

    /// The transpose of [`Setting::split`].
    fn merge(&self, x: View<'_>, tables: [View<'_>; 2], group: usize, turned: bool) -> Result<CudaStorage> {
        let (len, heads, d) = (self.len, self.heads.heads, self.heads.head_dim);
        let count = self.elements() / group;
        let integers = [count, len, heads, group, d, usize::from(turned && self.is_causal)];
        Launch::each("merge_heads", count, &integers).make(&[x, tables[0], tables[1]], count, x.dtype())
    }

    /// `softmax(q · kᵀ · scale)` of split heads: (B · heads, T, T).
    fn probabilities(&self, q: &CudaStorage, k: &CudaStorage, lengths: View<'_>) -> Result<CudaStorage> {
        let (len, d, batches) = (self.len, self.heads.head_dim, self.batch * self.heads.heads);
        let scores = self.product(q, false, k, true, [len, d, len])?;
        let integers = [batches * len, self.heads.heads, len, usize::from(self.is_causal)];
        let count = batches * len * len;
        Launch::warps("softmax_forward", batches * len, &integers, &[self.heads.scale()]).make(
            &[View::whole(&scores, count), lengths],
            count,
            scores.dtype(),
        )
    }

    /// A product per head, (m, k) by (k, n); a transposed factor is stored the other way round.
    fn product(
        &self,
        left: &CudaStorage,
        left_transposed: bool,
        right: &CudaStorage,
        right_transposed: bool,
        [m, k, n]: [usize; 3],
    ) -> Result<CudaStorage> {
        let batches = self.batch * self.heads.heads;
        let layout = |rows: usize, columns: usize, transposed: bool| {
            if transposed {
                Layout::contiguous((batches, columns, rows)).transpose(1, 2)
            } else {
                Ok(Layout::contiguous((batches, rows, columns)))
            }
        };
        left.matmul(right, (batches, m, n, k), &layout(m, k, left_transposed)?, &layout(k, n, right_transposed)?)
    }

    fn operands<R>(&self, work: impl FnOnce([View<'_>; 2], View<'_>) -> Result<R>) -> Result<R> {
        let [cos, sin] = &self.tables;
        let mut result = None;
        on_tensors("attention", [cos, sin, &self.lengths], |[cos, sin, lengths]| {
            result = Some(work([cos, sin], lengths)?);
            Ok([])
        })?;
        result.ok_or_else(|| Error::Msg("attention did not run".to_owned()).bt())
    }
}

/// The output (B, T, heads · d).
pub(in crate::ops) fn attention(
    heads: Heads,
    span: &Span,
    (batch, len): (usize, usize),
    [q, k, v]: [View<'_>; 3],
) -> Result<CudaStorage> {
    let device = Device::Cuda(q.storage.device.clone());
    let setting = Setting::new(heads, span, (batch, len), &device)?;
    let (d, group) = (heads.head_dim, heads.group());
    setting.operands(|tables, lengths| {
        let q = setting.split(q, tables, 1, true)?;
        let k = setting.split(k, tables, group, true)?;
        let p = setting.probabilities(&q, &k, lengths)?;
        let v = setting.split(v, tables, group, false)?;
        let out = setting.product(&p, false, &v, false, [len, len, d])?;
        setting.merge(View::whole(&out, setting.elements()), tables, 1, false)
    })
}

/// Gradients of q, k and v.
pub(in crate::ops) fn attention_backward(
    heads: Heads,
    span: &Span,
    [q, k, v]: [&Tensor; 3],
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let (batch, len, _) = q.dims3()?;
    let setting = Setting::new(heads, span, (batch, len), q.device())?;
    let (d, group) = (heads.head_dim, heads.group());
    let shapes: [Shape; 3] = [q, k, v].map(|x| x.shape().clone());
    let (elements, scores) = (setting.elements(), batch * heads.heads * len * len);
    on_tensors("attention", [q, k, v, &grad.contiguous()?], |[q, k, v, grad]| {
        setting.operands(|tables, lengths| {
            let q = setting.split(q, tables, 1, true)?;
            let k = setting.split(k, tables, group, true)?;
            let v = setting.split(v, tables, group, false)?;
            let grad = setting.split(grad, tables, 1, false)?;
            let p = setting.probabilities(&q, &k, lengths)?;
            let d_v = setting.product(&p, true, &grad, false, [len, len, d])?;
            let d_p = setting.product(&grad, false, &v, true, [len, d, len])?;
            let rows = batch * heads.heads * len;
            let d_z = Launch::warps("softmax_backward", rows, &[rows, len], &[heads.scale()]).make(
                &[View::whole(&p, scores), View::whole(&d_p, scores)],
                scores,
                p.dtype(),
            )?;
            let d_q = setting.product(&d_z, false, &k, false, [len, len, d])?;
            let d_k = setting.product(&d_z, true, &q, false, [len, len, d])?;
            let merged =
                |x: &CudaStorage, group, turned| setting.merge(View::whole(x, elements), tables, group, turned);
            let [q_shape, k_shape, v_shape] = shapes;
            Ok([
                (merged(&d_q, 1, true)?, q_shape),
                (merged(&d_k, group, true)?, k_shape),
                (merged(&d_v, group, false)?, v_shape),
            ])
        })
    })
}
