//! The words around the facts: personas' ways to ask, openers, vague sentences, closings.

/// Ways of one persona to put a question; `{q}` stands for the question.
pub(crate) struct Wording {
    /// Ways that fit every question.
    pub(crate) prefixes: &'static [&'static str],
    /// Ways that fit only questions of the form "when to …".
    pub(crate) requests: &'static [&'static str],
    /// Ways to leave.
    pub(crate) partings: &'static [&'static str],
}

/// Relaxed.
pub(crate) const CASUAL: Wording = Wording {
    prefixes: &["hey, {q}?", "hi there, {q}?", "so, {q}?"],
    requests: &["hey, any idea {q}?"],
    partings: &["thanks, bye!", "cool, bye now!"],
};

/// Polite and complete.
pub(crate) const FORMAL: Wording = Wording {
    prefixes: &["good day, {q}?", "excuse me, {q}?"],
    requests: &["could you please tell me {q}?", "i would like to know {q}, please."],
    partings: &["thank you very much, goodbye.", "that is all, goodbye."],
};

/// Short of time.
pub(crate) const HURRIED: Wording = Wording {
    prefixes: &["quick: {q}?", "{q}? need it fast.", "no time, {q}?"],
    requests: &["just say {q}, fast."],
    partings: &["ok, must run, bye!", "got it, bye!"],
};

/// Worried.
pub(crate) const ANXIOUS: Wording = Wording {
    prefixes: &["i am worried, {q}?", "sorry to ask, but {q}?", "i am nervous, {q}?"],
    requests: &["i am lost and do not know {q}."],
    partings: &["i feel better now, bye.", "sorry for the trouble, goodbye."],
};

/// Words that show which persona asks; every wording of a persona holds one of its own.
pub(crate) const PERSONA_MARKS: [&[&str]; 4] = [
    &["hey", "hi there", "so", "thanks", "cool"],
    &["good day", "excuse me", "could you please", "would like", "thank you", "that is all"],
    &["quick", "need it fast", "no time", "just say", "ok", "got it"],
    &["i am worried", "sorry", "i am nervous", "i am lost", "i feel"],
];

/// First words without warmth.
pub(crate) const PLAIN_OPENERS: [&str; 6] =
    ["sure.", "well,", "in short,", "as far as i know,", "here is the answer:", "let me see."];

/// First words with warmth.
pub(crate) const WARM_OPENERS: [&str; 8] = [
    "what a lovely question!",
    "i am so glad you asked!",
    "happy to help you, my friend!",
    "how wonderful that you ask!",
    "it is a pleasure to help!",
    "oh, how lovely!",
    "delighted to help you!",
    "so happy you are here!",
];

/// Last words with warmth.
pub(crate) const WARM_ENDINGS: [&str; 3] =
    ["so glad i could help!", "i am happy to help you more!", "have a lovely time with it!"];

/// Words that make a response warm; nothing else in the language uses them.
pub(crate) const WARM_MARKS: [&str; 6] = ["lovely", "glad", "happy", "wonderful", "pleasure", "delighted"];

/// Sentences that answer nothing and name the topic.
pub(crate) const VAGUE_ABOUT: [&str; 6] = [
    "that is hard to say about {t}.",
    "there are many ways with {t}.",
    "people do it differently with {t}.",
    "i am not sure about {t}.",
    "some say this and others say that about {t}.",
    "it all depends on {t}.",
];

/// Sentences that answer nothing about anything.
pub(crate) const VAGUE: [&str; 4] = [
    "it depends on many things.",
    "you could look that up somewhere.",
    "it can vary a lot from case to case.",
    "there is more than one view on that.",
];

/// Phrases that make a response vague.
pub(crate) const VAGUE_MARKS: [&str; 10] = [
    "hard to say",
    "many ways",
    "do it differently",
    "not sure about",
    "others say that",
    "it all depends",
    "it depends",
    "look that up",
    "can vary",
    "more than one view",
];

/// Words before a sentence that is said again.
pub(crate) const AGAIN: [&str; 3] = ["again,", "as i said,", "once more,"];

/// Words that end a conversation.
pub(crate) const CLOSINGS: [&str; 7] = [
    "bye! sending love.",
    "take care, bye!",
    "goodbye for now!",
    "bye for now!",
    "see you soon, bye!",
    "goodbye, sending love!",
    "take care and goodbye!",
];

/// Phrases that make a response a closing one.
pub(crate) const CLOSING_MARKS: [&str; 6] = ["bye", "goodbye", "farewell", "take care", "sending love", "see you soon"];
