//! Directories whose weights are in several files: the same network as from one.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use candle_core::{DType, Device, Tensor};
    use plaudit_event::Seed;
    use plaudit_nn::bert::{self, Bert};
    use plaudit_nn::decoder::{self, Decoder};
    use plaudit_nn::{INDEX_FILE, Params, WEIGHTS_FILE};

    /// Writes `files` with the weights in two shards of every other parameter.
    fn write_in_shards(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
        let params = Params::from_bytes(&files[WEIGHTS_FILE], &Device::Cpu).unwrap();
        let names = [1, 2].map(|number| format!("model-0000{number}-of-00002.safetensors"));
        let mut map = serde_json::Map::new();
        let mut shards = [Params::new(), Params::new()];
        for (at, (name, var)) in params.iter().enumerate() {
            shards[at % 2].share(name, var);
            map.insert(name.to_owned(), names[at % 2].clone().into());
        }
        for (name, shard) in names.iter().zip(&shards) {
            shard.save(&dir.join(name)).unwrap();
        }
        let index = serde_json::json!({"metadata": {"total_size": params.num_elements() * 4}, "weight_map": map});
        std::fs::write(dir.join(INDEX_FILE), index.to_string()).unwrap();
        std::fs::write(dir.join("config.json"), &files["config.json"]).unwrap();
    }

    fn tokens() -> Tensor {
        Tensor::from_vec(vec![1_u32, 5, 9, 2, 7, 3], (2, 3), &Device::Cpu).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_bert_in_shards_computes_what_it_does_in_one_file() {
        let config =
            bert::Config { vocab_size: 12, hidden: 16, layers: 2, heads: 2, ffn: 24, ..bert::Config::minilm() };
        let whole = Bert::init(&config, &mut Seed::new(1).stream("init")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write_in_shards(dir.path(), &whole.files(DType::F32).unwrap());
        let read = Bert::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(read.files(DType::F32).unwrap(), whole.files(DType::F32).unwrap());
        let hidden = |bert: &Bert| numbers(&bert.hidden(&tokens(), &[3, 2]).unwrap());
        assert_eq!(hidden(&read), hidden(&whole));
    }

    #[test]
    fn a_decoder_in_shards_of_half_precision_computes_what_it_does_in_one_file() {
        let config =
            decoder::Config { hidden: 16, layers: 2, heads: 2, kv_heads: 1, ffn: 24, ..decoder::Config::tiny(12) };
        let made = Decoder::init(&config, &mut Seed::new(1).stream("init")).unwrap();
        let (one, several) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        made.save(one.path(), DType::F16).unwrap();
        write_in_shards(several.path(), &made.files(DType::F16).unwrap());
        let [whole, read] = [&one, &several].map(|dir| Decoder::load(dir.path(), &Device::Cpu).unwrap());
        let logits = |decoder: &Decoder| numbers(&decoder.forward(&tokens()).unwrap());
        assert_eq!(logits(&read), logits(&whole));
    }
}
