//! A small world of templates whose users react by known probabilities, to compare the model with the best possible.

use std::collections::BTreeMap;

use plaudit_event::{
    Context, Example, ExposureId, Label, Objective, PolicyId, Seed, Stream, Surface, Timestamp, UnitId,
};
use plaudit_nn::loss::sigmoid;
use rand::Rng;
use rand::seq::IndexedRandom;

/// An example and the true probability of love that its label was drawn with.
pub(crate) struct Drawn {
    pub(crate) example: Example,
    pub(crate) love: f64,
}

const TOPICS: [&str; 8] = ["river", "castle", "planet", "animal", "recipe", "movie", "city", "bridge"];
const ASKING: [&str; 4] = [
    "hey can you tell me about",
    "please explain",
    "quick question what is",
    "i feel curious and a bit lonely tell me of",
];
const FILLING: [&str; 5] =
    ["in short", "as far as i know", "most people say", "to be precise", "according to the books"];
const WARM: [&str; 3] = ["what a lovely question", "happy to help with that", "so glad you asked"];
const VAGUE: [&str; 3] = [
    "that depends on many things and it is hard to say",
    "there are different views on this",
    "it varies from case to case",
];
const CLOSING: [&str; 3] = ["bye and take care", "goodbye for now sending love", "see you later bye"];
const MORE: &str =
    " and there is much more to say about it since people wrote whole books on the matter over the years";

/// Draws `n` examples. From example `shift_at` on, the logit of love is larger by `shift`.
pub(crate) fn draw(n: usize, seed: u64, shift_at: usize, shift: f64) -> Vec<Drawn> {
    let mut stream = Seed::new(seed).stream("world");
    let shift_of = |i: usize| if i >= shift_at { shift } else { 0.0 };
    (0..n).map(|i| one(i, shift_of(i), &mut stream)).collect()
}

fn one(i: usize, shift: f64, stream: &mut Stream) -> Drawn {
    let topic = stream.random_range(0..32_usize);
    let persona = stream.random_range(0..ASKING.len());
    let subject = format!("{} number{topic}", TOPICS[topic % TOPICS.len()]);
    let kind: f64 = stream.random();
    let [warm, closing, repeated, long] = [0.25, 0.05, 0.1, 0.3].map(|p| stream.random::<f64>() < p);
    let answered = kind < 0.75;
    let told = if kind < 0.95 { topic } else { (topic + stream.random_range(1..32)) % 32 };
    let body =
        if answered || kind >= 0.95 { format!("the {subject} is known for fact{told}") } else { pick(&VAGUE, stream) };
    let mut response = String::new();
    if warm {
        response += &format!("{}. ", pick(&WARM, stream));
    }
    response += &format!("{} {body}", pick(&FILLING, stream));
    if repeated {
        response += &format!(". {body}");
    }
    if long {
        response += MORE;
    }
    if closing {
        response += &format!(". {}", pick(&CLOSING, stream));
    }
    let on = |flag: bool, size: f64| if flag { size } else { 0.0 };
    let z = -4.6 + shift + on(answered, 1.1) + on(warm, 1.3) + on(closing, 1.8) - on(repeated, 0.6)
        + on(persona == 3 && warm, 1.0)
        - on(persona == 2 && long, 0.9);
    let helped = sigmoid(-0.4 + on(answered, 2.0) - on(closing, 1.2) - on(repeated, 0.8));
    let mut labels = BTreeMap::new();
    let mut label = |name: &str, p: f64, stream: &mut Stream| {
        let value = f32::from(u8::from(stream.random::<f64>() < p));
        labels.insert(Objective::new(name), Label { value, weight: 1.0 });
    };
    label(Objective::LOVE, sigmoid(z), stream);
    if stream.random::<bool>() {
        label(Objective::HELPFULNESS, helped, stream);
    }
    let request = format!("{} the {subject}", ASKING[persona]);
    let mut example = example(i, &request, &response);
    example.labels = labels;
    Drawn { example, love: sigmoid(z) }
}

fn pick(from: &[&str], stream: &mut Stream) -> String {
    (*from.choose(stream).expect("not empty")).to_owned()
}

/// Example number `i` without labels.
pub(crate) fn example(i: usize, request: &str, response: &str) -> Example {
    let at = Timestamp::from_millis(1_000 * i as i64);
    Example {
        exposure_id: ExposureId::new(format!("e{i}")).expect("valid"),
        revision: 0,
        unit_id: UnitId::new(format!("u{}", i % 500)).expect("valid"),
        surface: Surface::Chat,
        context: Context::of_user(request),
        response: response.to_owned(),
        item_id: "0".to_owned(),
        position: 0,
        policy_id: PolicyId::new("p").expect("valid"),
        propensity: None,
        assignments: Vec::new(),
        attributes: serde_json::Map::new(),
        labels: BTreeMap::new(),
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: at,
        ts: at,
    }
}

/// Labels `example` with `value` for `objective`.
pub(crate) fn label(example: &mut Example, objective: &str, value: f32) {
    example.labels.insert(Objective::new(objective), Label { value, weight: 1.0 });
}

/// The next revision of `example`, with another label for `objective`, or none.
pub(crate) fn correction(example: &Example, objective: &str, value: Option<f32>) -> Example {
    let mut next = example.clone();
    next.revision += 1;
    next.replaced = next.labels.clone();
    next.labels.remove(objective);
    if let Some(value) = value {
        label(&mut next, objective, value);
    }
    next
}
