//! The hash encoder: a context and a response become a short list of numbered features.
//!
//! Groups of features, each scaled to Euclidean length 1 times the group's factor, so that a long answer does not
//! weigh more than a short one:
//! - words, word pairs, edges (first and last words) and whole sentences of the response,
//! - words of the request and of the earlier messages,
//! - character n-grams of the response and of the request, where [`EncoderConfig::max_gram_words`] asks for them,
//! - crosses: word of the request × word of the response, and word of the request × length class of the response,
//! - matches: word of the request × whether the response has it, and word of the response × whether the request has it,
//!   because an answer about something else looks like an answer in every other way,
//! - surface: dense numbers, see [`surface`].

pub(crate) mod surface;
mod text;

use std::sync::Arc;

use plaudit_event::{Role, Seed};

use crate::config::{EncoderConfig, EncoderKind};
use crate::deep::{Deep, Network};
use crate::{Error, Row};
use surface::{DENSE, LENGTHS};
use text::{Kind, Token, grams, hash_bytes, tokens};
pub(crate) use text::{mix, pair};

/// Changes whenever the same text would give other features.
pub(crate) const ENCODER_VERSION: u32 = 2;

/// The groups of hashed features, in their order in [`Features`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Group {
    ResponseWords,
    ResponsePairs,
    ResponseEdges,
    RequestWords,
    ResponseSentences,
    HistoryWords,
    Cross,
    LengthCross,
    Match,
    ResponseGrams,
    RequestGrams,
}

/// How many groups there are.
pub(crate) const GROUPS: usize = 11;

impl Group {
    const ALL: [Self; GROUPS] = [
        Self::ResponseWords,
        Self::ResponsePairs,
        Self::ResponseEdges,
        Self::RequestWords,
        Self::ResponseSentences,
        Self::HistoryWords,
        Self::Cross,
        Self::LengthCross,
        Self::Match,
        Self::ResponseGrams,
        Self::RequestGrams,
    ];

    /// Length of the group's feature vector. Chosen by cross-validation on the training half of the ConvAI thumbs and on
    /// simulated love; figures are flat around these values.
    const fn scale(self) -> f32 {
        match self {
            Self::RequestWords | Self::HistoryWords => 0.9,
            Self::Match => 1.4,
            Self::ResponseWords | Self::ResponseEdges => 0.7,
            Self::ResponsePairs => 0.5,
            Self::Cross => 0.4,
            Self::ResponseSentences | Self::ResponseGrams | Self::RequestGrams => 0.3,
            Self::LengthCross => 0.1,
        }
    }
}

/// The features of one row: hashed ones, equal in value within a group, and dense ones.
///
/// The first [`DENSE`] numbers of the table belong to the dense features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Features {
    /// Numbers of the hashed features, group after group.
    pub(crate) indices: Box<[u32]>,
    /// End of each group in `indices`.
    pub(crate) ends: [u32; GROUPS],
    /// Values of the dense features.
    pub(crate) dense: [f32; DENSE],
    /// What a network says of the row, where there is one.
    pub(crate) deep: Option<Arc<Deep>>,
}

impl Features {
    /// Numbers of the features of `group`.
    pub(crate) fn group(&self, group: Group) -> &[u32] {
        let at = group as usize;
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.indices[from as usize..self.ends[at] as usize]
    }

    /// The same with another vector of the network.
    pub(crate) fn with_vector(&self, vector: &[f32]) -> Self {
        let deep = self.deep.as_ref().map(|deep| Arc::new(Deep { vector: vector.into(), ..Deep::clone(deep) }));
        Self { deep, ..self.clone() }
    }

    /// Calls `visit` with the number and the value of every feature that is not 0.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(usize, f32)) {
        let alone = self.deep.as_ref().is_some_and(|deep| deep.alone);
        // Alone, a network's vector has only the intercept beside it.
        let dense = if alone { &self.dense[..1] } else { &self.dense[..] };
        for (index, value) in dense.iter().enumerate() {
            if *value != 0.0 {
                visit(index, *value);
            }
        }
        if let Some(deep) = &self.deep {
            (deep.from as usize..).zip(&deep.vector).for_each(|(index, value)| visit(index, *value));
        }
        if alone {
            return;
        }
        for group in Group::ALL {
            self.for_each_of(group, &mut visit);
        }
    }

    /// [`Features::for_each`] of those that tell how long the response is, and nothing else of it.
    pub(crate) fn for_each_of_length(&self, mut visit: impl FnMut(usize, f32)) {
        for index in LENGTHS {
            visit(index, self.dense[index]);
        }
        self.for_each_of(Group::LengthCross, &mut visit);
    }

    fn for_each_of(&self, group: Group, visit: &mut impl FnMut(usize, f32)) {
        let members = self.group(group);
        let value = group.scale() / (members.len().max(1) as f32).sqrt();
        for index in members {
            visit(*index as usize, value);
        }
    }
}

/// Turns rows into [`Features`].
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    config: EncoderConfig,
    network: Option<Arc<Network>>,
}

impl Encoder {
    pub(crate) fn new(config: &EncoderConfig) -> Self {
        Self { config: config.clone(), network: None }
    }

    /// With the network of the configuration, if it has one.
    pub(crate) fn load(config: &EncoderConfig, seed: Seed) -> Result<Self, Error> {
        let has_network = config.kind != EncoderKind::Hash;
        let network = has_network.then(|| Network::load(config, seed).map(Arc::new)).transpose()?;
        Ok(Self { network, ..Self::new(config) })
    }

    /// The same as of now, for as long as training goes on.
    pub(crate) fn frozen(&self) -> Result<Self, Error> {
        let network = self.network.as_ref().map(|network| network.frozen().map(Arc::new)).transpose()?;
        Ok(Self { network, ..Self::new(&self.config) })
    }

    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    /// How many numbers a head has: one for every number of a feature.
    pub(crate) fn width(&self) -> usize {
        self.config.buckets as usize + self.network().map_or(0, |network| network.shape().width)
    }

    /// The features of `rows`, in order.
    pub(crate) fn encode_all(&self, rows: &[Row<'_>]) -> Result<Vec<Features>, Error> {
        let mut features: Vec<Features> = rows.iter().map(|row| self.encode(row)).collect();
        if let Some(network) = self.network() {
            for (features, deep) in features.iter_mut().zip(network.read(rows)?) {
                features.deep = Some(Arc::new(deep));
            }
        }
        Ok(features)
    }

    /// The hashed features of `row`.
    pub(crate) fn encode(&self, row: &Row<'_>) -> Features {
        let config = &self.config;
        let response = tokens(row.response, config.max_response_tokens);
        let request = tokens(row.context.last_request(), config.max_request_tokens);
        let history = self.history(row);
        let surface = surface::Surface::new(row, &response, &request, &history);

        let mut builder = Builder::new(config.buckets);
        builder.words(Group::ResponseWords, &response);
        builder.pairs(&response);
        builder.edges(&response);
        builder.words(Group::RequestWords, &request);
        builder.sentences(&response);
        builder.words(Group::HistoryWords, &history.concat());
        let asked = distinct_content(&request, config.max_cross_request_words);
        let told = distinct_content(&response, config.max_cross_response_words);
        builder.cross(&asked, &told);
        builder.length_cross(&asked, surface.length_class());
        builder.matches(&asked, &told);
        builder.group(Group::ResponseGrams, grams(row.response, config.max_gram_words).into_iter());
        builder.group(Group::RequestGrams, grams(row.context.last_request(), config.max_gram_words).into_iter());
        Features { indices: builder.indices.into_boxed_slice(), ends: builder.ends, dense: surface.dense(), deep: None }
    }

    /// The tokens of the newest messages before the request, newest message first.
    fn history(&self, row: &Row<'_>) -> Vec<Vec<Token>> {
        let messages = &row.context.messages;
        let last_user = messages.iter().rposition(|m| m.role == Role::User);
        let before = &messages[..last_user.unwrap_or(messages.len())];
        before
            .iter()
            .rev()
            .take(self.config.max_history_messages)
            .map(|message| tokens(&message.content, self.config.max_request_tokens))
            .collect()
    }
}

fn distinct_content(tokens: &[Token], limit: usize) -> Vec<u64> {
    let mut words = Vec::with_capacity(limit);
    for token in tokens {
        if words.len() >= limit {
            break;
        }
        if matches!(token.kind, Kind::Content | Kind::Emoji) && !words.contains(&token.hash) {
            words.push(token.hash);
        }
    }
    words
}

/// Hashes of up to `limit` different words of `text` that carry meaning.
pub(crate) fn content_words(text: &str, limit: usize) -> Vec<u64> {
    distinct_content(&tokens(text, 8 * limit), limit)
}

struct Builder {
    buckets: u32,
    indices: Vec<u32>,
    ends: [u32; GROUPS],
}

impl Builder {
    fn new(buckets: u32) -> Self {
        Self { buckets, indices: Vec::with_capacity(256), ends: [0; GROUPS] }
    }

    /// Adds the features with the given hashes as `group`, each once.
    fn group(&mut self, group: Group, hashes: impl Iterator<Item = u64>) {
        let from = self.ends[..group as usize].last().map_or(0, |end| *end as usize);
        let salt = mix(0x706c_6175_6469_7400 + group as u64);
        let room = u64::from(self.buckets) - DENSE as u64;
        for hash in hashes {
            let slot = pair(salt, hash) % room;
            self.indices.push(DENSE as u32 + slot as u32);
        }
        self.indices[from..].sort_unstable();
        let mut kept = from;
        for at in from..self.indices.len() {
            if at == from || self.indices[at] != self.indices[kept - 1] {
                self.indices[kept] = self.indices[at];
                kept += 1;
            }
        }
        self.indices.truncate(kept);
        for end in &mut self.ends[group as usize..] {
            *end = kept as u32;
        }
    }

    fn words(&mut self, group: Group, tokens: &[Token]) {
        self.group(group, tokens.iter().map(|token| token.hash));
    }

    fn pairs(&mut self, tokens: &[Token]) {
        let pairs = tokens.windows(2).map(|two| pair(two[0].hash, two[1].hash));
        self.group(Group::ResponsePairs, pairs);
    }

    /// Each sentence as a whole, without its marks: canned phrases.
    fn sentences(&mut self, tokens: &[Token]) {
        let sentences = tokens
            .split(|token| token.kind == Kind::Mark)
            .filter(|words| !words.is_empty())
            .map(|words| words.iter().fold(0, |hash, word| pair(hash, word.hash)));
        self.group(Group::ResponseSentences, sentences);
    }

    /// The first two and the last three tokens, with their place.
    fn edges(&mut self, tokens: &[Token]) {
        let first = tokens.iter().take(2).enumerate();
        let last = tokens.iter().rev().take(3).enumerate();
        let first = first.map(|(place, token)| pair(place as u64, token.hash));
        let last = last.map(|(place, token)| pair(16 + place as u64, token.hash));
        self.group(Group::ResponseEdges, first.chain(last));
    }

    fn cross(&mut self, asked: &[u64], told: &[u64]) {
        let crosses = asked.iter().flat_map(|a| told.iter().map(move |t| pair(*a, *t)));
        self.group(Group::Cross, crosses);
    }

    fn matches(&mut self, asked: &[u64], told: &[u64]) {
        let of = |side: u64, has: bool| 2 * side + u64::from(has);
        let request = asked.iter().map(|word| pair(*word, of(0, told.contains(word))));
        let response = told.iter().map(|word| pair(*word, of(1, asked.contains(word))));
        self.group(Group::Match, request.chain(response));
    }

    fn length_cross(&mut self, asked: &[u64], length_class: u64) {
        let bare = std::iter::once(length_class);
        let crosses = asked.iter().map(|word| pair(*word, length_class));
        self.group(Group::LengthCross, bare.chain(crosses));
    }
}

/// Hash of an id or a name, the same on every platform.
pub(crate) fn hash_text(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use plaudit_event::{Context, Message};

    use super::*;
    use crate::Config;

    fn encode(request: &str, response: &str) -> Features {
        let context = Context::of_user(request);
        let row = Row { context: &context, response };
        Encoder::new(&Config::default().encoder).encode(&row)
    }

    fn squares(features: &Features) -> f32 {
        let mut sum = 0.0;
        features.for_each(|index, value| {
            if index >= DENSE {
                sum += value * value;
            }
        });
        sum
    }

    #[test]
    fn long_and_short_answers_weigh_the_same() {
        let short = encode("tell me of cats", "cats purr.");
        let long = encode("tell me of cats", &"cats purr and sleep in the sun all day long. ".repeat(5));
        assert!((squares(&short) - squares(&long)).abs() < 1e-3);
    }

    #[test]
    fn every_number_is_within_the_table() {
        let config = EncoderConfig { buckets: 1024, ..Config::default().encoder };
        let context = Context::of_user("what is the tallest mountain on this planet of ours?");
        let row = Row { context: &context, response: &"many words make many features here ".repeat(40) };
        Encoder::new(&config).encode(&row).for_each(|index, value| {
            assert!(index < 1024 && value.is_finite());
        });
    }

    #[test]
    fn request_response_and_history_are_told_apart() {
        let swapped = encode("cats purr", "dogs bark");
        assert_ne!(encode("dogs bark", "cats purr").indices, swapped.indices);
        let mut context = Context::of_user("dogs bark");
        context.messages.insert(0, Message { role: Role::Assistant, content: "cats purr".to_owned() });
        let row = Row { context: &context, response: "cats purr" };
        let repeated = Encoder::new(&Config::default().encoder).encode(&row);
        let fresh = encode("dogs bark", "cats purr");
        assert_ne!(repeated.indices, fresh.indices);
        assert!(repeated.dense[7] > 0.5 && fresh.dense[7] < 0.5, "said before, word for word");
    }

    #[test]
    fn a_misspelled_word_shares_most_of_its_grams_and_none_of_its_words() {
        let config = EncoderConfig { max_gram_words: 8, ..Config::default().encoder };
        let context = Context::of_user("hi");
        let of = |response| Encoder::new(&config).encode(&Row { context: &context, response });
        let (right, wrong, other) = (of("definitely"), of("definately"), of("mountainous"));
        let shared = |group, a: &Features, b: &Features| {
            a.group(group).iter().filter(|index| b.group(group).contains(index)).count()
        };
        assert_eq!(shared(Group::ResponseWords, &right, &wrong), 0);
        let grams = right.group(Group::ResponseGrams).len();
        assert!(2 * shared(Group::ResponseGrams, &right, &wrong) >= grams, "of {grams}");
        assert_eq!(shared(Group::ResponseGrams, &right, &other), 0);
        assert!(encode("hi", "definitely").group(Group::ResponseGrams).is_empty(), "off by default");
    }

    #[test]
    fn text_of_any_size_and_script_is_bounded() {
        let huge = "word ".repeat(100_000);
        let config = EncoderConfig { max_gram_words: 32, ..Config::default().encoder };
        let most = 2 * (config.max_response_tokens + config.max_request_tokens)
            + config.max_cross_request_words * config.max_cross_response_words
            + config.max_history_messages * config.max_request_tokens
            + 2 * config.max_cross_request_words
            + config.max_cross_response_words
            + 2 * config.max_gram_words * text::MAX_WORD_GRAMS
            + 16;
        for text in [huge.as_str(), "", "\u{0}\u{fffd}", "नमस्ते दुनिया", "日本語のテキスト", "👩‍👩‍👧‍👦👍🏽"]
        {
            let features = encode(text, text);
            assert!(features.indices.len() <= most);
            assert!(features.dense.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn features_never_change_without_a_new_version() {
        // Trained weights are stored by feature number: if this fails, raise ENCODER_VERSION.
        let mut context = Context::of_user("Where is Paris?");
        context.messages.insert(0, Message { role: Role::Assistant, content: "Paris? Never heard of it.".to_owned() });
        let row = Row { context: &context, response: "Paris is in France! The capital of France is Paris 😀" };
        let expected = [(0, (61, 17_705_406_128_349_416_567)), (4, (116, 9_798_855_708_936_077_626))];
        for (max_gram_words, fingerprint) in expected {
            let config = EncoderConfig { max_gram_words, ..Config::default().encoder };
            let features = Encoder::new(&config).encode(&row);
            let is_full = features.ends.windows(2).all(|two| two[0] < two[1]);
            assert_eq!(is_full, max_gram_words > 0, "every group has a part in it");
            let (mut hash, mut count) = (0, 0);
            features.for_each(|index, value| {
                let feature = (index as u64) << 32 | u64::from(value.to_bits());
                hash = mix(hash ^ feature);
                count += 1;
            });
            assert_eq!((ENCODER_VERSION, (count, hash)), (2, fingerprint), "{max_gram_words}");
        }
    }
}
