//! Loss and gradients of one batch, over several threads.

use candle_core::backprop::GradStore;
use plaudit_nn::decoder::Decoder;
use rayon::ThreadPool;

use super::data::Corpus;
use crate::Error;
use crate::batch::{self, Sequence};

/// One pool of a single thread per worker: tensor operations inside then stay on it.
pub(super) struct Workers(Vec<ThreadPool>);

impl Workers {
    pub(super) fn new(threads: usize) -> Result<Self, Error> {
        let mut pools = Vec::with_capacity(threads);
        for index in 0..threads {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("pretrain-{index}"))
                .build();
            pools.push(pool.map_err(|_| Error::Worker("pretrain"))?);
        }
        Ok(Self(pools))
    }

    /// The mean loss over the weighted tokens of the rows `batch`, and its gradients.
    pub(super) fn gradients(
        &self,
        decoder: &Decoder,
        corpus: &Corpus,
        batch: &[usize],
        prompt_weight: f32,
    ) -> Result<(f64, GradStore), Error> {
        let rows: Vec<&Sequence> = batch.iter().map(|index| &corpus.train[*index]).collect();
        let total: f32 = rows.iter().map(|row| weight_of(row, prompt_weight)).sum();
        let scale = 1.0 / total.max(f32::MIN_POSITIVE);
        let parts = self.split(&rows);
        let results = self.on_all(&parts, |part| part_gradients(decoder, part, (scale * prompt_weight, scale)))?;
        let mut total = 0.0;
        let mut sum = None;
        for (loss, grads) in results {
            total += loss;
            batch::accumulate(decoder.params(), &mut sum, grads)?;
        }
        let sum = sum.ok_or_else(|| Error::invalid("batch", "at least one row", 0))?;
        Ok((total, sum))
    }

    /// Mean cross-entropy per response token of the pairs kept out.
    pub(super) fn held_out_loss(&self, decoder: &Decoder, corpus: &Corpus) -> Result<f64, Error> {
        let rows: Vec<&Sequence> = corpus.held_out.iter().collect();
        let parts = self.split(&rows);
        let sums = self.on_all(&parts, |part| {
            let mut sum = 0.0;
            for rows in groups(decoder, part) {
                let tokens = batch::tokens(&rows, &decoder.device())?;
                let logprobs = decoder.token_logprobs_detached(&tokens, 1.0)?;
                let weights = batch::weights(&rows, |_| (0.0, 1.0), logprobs.device())?;
                let total = (logprobs * weights)?.sum_all()?;
                sum -= f64::from(total.to_scalar::<f32>()?);
            }
            Ok(sum)
        })?;
        let tokens: usize = rows.iter().map(|row| row.response_len()).sum();
        Ok(sums.iter().sum::<f64>() / tokens.max(1) as f64)
    }

    /// Rows dealt out in turn, so that every worker gets the same mixture of lengths.
    fn split<'a>(&self, rows: &[&'a Sequence]) -> Vec<Vec<&'a Sequence>> {
        let mut parts = vec![Vec::new(); self.0.len()];
        for (index, row) in rows.iter().enumerate() {
            parts[index % self.0.len()].push(*row);
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Runs `work` on every part at the same time; results in the order of the parts.
    fn on_all<T: Send>(
        &self,
        parts: &[Vec<&Sequence>],
        work: impl Fn(&[&Sequence]) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Error> {
        let results = std::thread::scope(|scope| {
            let work = &work;
            let handles: Vec<_> = parts
                .iter()
                .zip(&self.0)
                .map(|(part, pool)| scope.spawn(move || pool.install(|| work(part))))
                .collect();
            let joined = handles.into_iter().map(|handle| handle.join());
            joined.collect::<Vec<_>>()
        });
        let mut all = Vec::with_capacity(results.len());
        for result in results {
            let done = result.map_err(|_| Error::Worker("pretrain"))?;
            all.push(done.map_err(|Failure(error)| error)?);
        }
        Ok(all)
    }
}

/// Lets `?` take tensor errors directly.
struct Failure(Error);

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self(plaudit_nn::Error::from(error).into())
    }
}

impl From<plaudit_nn::Error> for Failure {
    fn from(error: plaudit_nn::Error) -> Self {
        Self(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The gradient of `−Σ w·log p`, with one weight for prompt tokens and one for response tokens, and its value.
fn part_gradients(decoder: &Decoder, part: &[&Sequence], weight: (f32, f32)) -> Result<(f64, GradStore), Failure> {
    let mut value = 0.0;
    let mut sum = None;
    for rows in groups(decoder, part) {
        let tokens = batch::tokens(&rows, &decoder.device())?;
        let logprobs = decoder.token_logprobs(&tokens, 1.0)?;
        let weights = batch::weights(&rows, |_| weight, logprobs.device())?;
        let loss = (logprobs * weights)?.sum_all()?.neg()?;
        value += f64::from(loss.to_scalar::<f32>()?);
        batch::accumulate(decoder.params(), &mut sum, loss.backward()?)?;
    }
    let sum = sum.ok_or_else(|| Error::invalid("rows", "at least one", 0))?;
    Ok((value, sum))
}

/// Rows that go through the decoder together.
fn groups<'a>(decoder: &Decoder, part: &[&'a Sequence]) -> Vec<Vec<&'a Sequence>> {
    let lengths: Vec<usize> = part.iter().map(|row| row.tokens.len()).collect();
    let groups = batch::buckets(&lengths, batch::max_positions(decoder)).into_iter();
    groups.map(|group| group.into_iter().map(|at| part[at]).collect()).collect()
}

fn weight_of(row: &Sequence, prompt_weight: f32) -> f32 {
    (row.prompt_len - 1) as f32 * prompt_weight + row.response_len() as f32
}
