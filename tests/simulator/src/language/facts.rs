//! What there is to know: themes, topics and one answer for every question.
//!
//! Answers are distinct phrases and none contains another, so that the text of a response alone
//! says which questions it answers.

/// Number of topics of each theme.
pub(crate) const TOPICS: usize = 10;
/// Number of questions about each topic.
pub(crate) const ATTRIBUTES: usize = 3;

/// One question that can be asked about every topic of a theme.
/// `{t}` stands for the topic, `{a}` for the answer.
pub(crate) struct Attribute {
    /// Ways to ask.
    pub(crate) asks: &'static [&'static str],
    /// Sentences that answer.
    pub(crate) says: &'static [&'static str],
    /// Sentences that add something without changing the answer.
    pub(crate) details: &'static [&'static str],
}

/// A topic and its answers, one per attribute of its theme.
pub(crate) struct Topic {
    /// How the topic is called in a sentence.
    pub(crate) name: &'static str,
    /// Answers in the order of the theme's attributes.
    pub(crate) answers: [&'static str; ATTRIBUTES],
}

/// Topics about which the same questions are asked.
pub(crate) struct Theme {
    /// The questions.
    pub(crate) attributes: [Attribute; ATTRIBUTES],
    /// The topics.
    pub(crate) topics: [Topic; TOPICS],
}

const fn topic(name: &'static str, answers: [&'static str; ATTRIBUTES]) -> Topic {
    Topic { name, answers }
}

/// All themes.
pub(crate) const THEMES: [Theme; 3] = [FOOD, PLACES, HOBBIES];

const FOOD: Theme = Theme {
    attributes: [
        Attribute {
            asks: &["how long to cook {t}", "how much time to give {t} on the stove", "when to take {t} off the stove"],
            says: &[
                "you should cook {t} for {a}.",
                "give {t} about {a} on the stove.",
                "the right time for {t} is {a}.",
            ],
            details: &[
                "check it with a fork.",
                "use a big pot with a lid.",
                "stir it now and then.",
                "turn the heat down at the end.",
            ],
        },
        Attribute {
            asks: &["where to keep {t}", "how to store {t} at home", "what to store {t} in"],
            says: &["you should keep {t} in {a}.", "the best place for {t} is {a}.", "store {t} at home in {a}."],
            details: &["close it well after use.", "check it once in a while.", "keep it away from the sun."],
        },
        Attribute {
            asks: &["what to serve with {t}", "what to eat together with {t}", "which side to make with {t}"],
            says: &["you could serve {t} with {a}.", "a good match for {t} is {a}.", "most cooks eat {t} with {a}."],
            details: &["a little is enough.", "add it at the end.", "most people find it tasty."],
        },
    ],
    topics: [
        topic("eggs", ["eight minutes", "a cold drawer", "salt and toast"]),
        topic("rice", ["twenty minutes", "a glass jar", "soy sauce"]),
        topic("pasta", ["ten minutes", "a dry box", "tomato and basil"]),
        topic("potatoes", ["half an hour", "a dark cellar", "sour cream"]),
        topic("chicken", ["one full hour", "the freezer", "roasted garlic"]),
        topic("beans", ["two hours", "a tin can", "smoked bacon"]),
        topic("bread", ["forty minutes", "a paper bag", "olive oil"]),
        topic("fish", ["fifteen minutes", "crushed ice", "lemon and dill"]),
        topic("carrots", ["six minutes", "wet sand", "honey and ginger"]),
        topic("mushrooms", ["five minutes", "a linen cloth", "butter and thyme"]),
    ],
};

const PLACES: Theme = Theme {
    attributes: [
        Attribute {
            asks: &["when to visit {t}", "which month to choose for {t}", "what time of the year to go to {t}"],
            says: &["you should visit {t} in {a}.", "the best month for {t} is {a}.", "most people go to {t} in {a}."],
            details: &["hotels cost less then.", "the weather is mild then.", "the streets are quiet then."],
        },
        Attribute {
            asks: &["what to eat in {t}", "which dish to try in {t}", "what to order for dinner in {t}"],
            says: &["in {t} you should eat {a}.", "the dish to try in {t} is {a}.", "order {a} for dinner in {t}."],
            details: &["ask for it at the market.", "small places make it best.", "share one at first."],
        },
        Attribute {
            asks: &["what to see in {t}", "which sight to visit in {t}", "where to go first in {t}"],
            says: &["in {t} you should go and see {a}.", "the best sight in {t} is {a}.", "go to {a} first in {t}."],
            details: &["go there early to miss the crowd.", "the way up takes a while.", "it costs only a few coins."],
        },
    ],
    topics: [
        topic("paris", ["may", "onion soup", "the iron tower"]),
        topic("rome", ["april", "fried artichokes", "the stone arena"]),
        topic("tokyo", ["march", "grilled eel", "the red shrine"]),
        topic("cairo", ["january", "lentil stew", "the great pyramid"]),
        topic("lisbon", ["june", "custard tarts", "the yellow tram"]),
        topic("oslo", ["july", "salted cod", "the ship museum"]),
        topic("prague", ["september", "plum dumplings", "the old clock"]),
        topic("lima", ["december", "spicy ceviche", "the gold museum"]),
        topic("sydney", ["november", "meat pie", "the harbour bridge"]),
        topic("boston", ["october", "clam chowder", "the brick trail"]),
    ],
};

const HOBBIES: Theme = Theme {
    attributes: [
        Attribute {
            asks: &["how often to practise {t}", "how many times to train {t}", "when to do some {t}"],
            says: &["you should practise {t} {a}.", "a good plan for {t} is {a}.", "most people train {t} {a}."],
            details: &["short sessions work best.", "rest well in between.", "write down what you did."],
        },
        Attribute {
            asks: &["what to buy for {t}", "which thing to get first for {t}", "what to start {t} with"],
            says: &["for {t} you first need {a}.", "you should buy {a} for {t}.", "start {t} with {a}."],
            details: &["a cheap one will do.", "ask a shop which one to choose.", "you can borrow it first."],
        },
        Attribute {
            asks: &["what to avoid in {t}", "which mistake to watch for in {t}", "what not to do in {t}"],
            says: &["in {t} you should avoid {a}.", "the usual mistake in {t} is {a}.", "watch out for {a} in {t}."],
            details: &[
                "nearly everyone does it at first.",
                "ask someone to look at you.",
                "slow down and you will notice it.",
            ],
        },
    ],
    topics: [
        topic("chess", ["every lunch break", "a wooden board", "rushing the queen"]),
        topic("guitar", ["every evening", "new strings", "pressing too hard"]),
        topic("running", ["three times a week", "light shoes", "starting too fast"]),
        topic("swimming", ["twice a week", "clear goggles", "holding your breath"]),
        topic("painting", ["each weekend", "a soft brush", "mixing every colour"]),
        topic("knitting", ["once a day", "thick wool", "pulling too tight"]),
        topic("gardening", ["every morning", "a small shovel", "too much water"]),
        topic("yoga", ["five days a week", "a firm mat", "locking your knees"]),
        topic("dancing", ["every friday", "a big mirror", "watching your feet"]),
        topic("cycling", ["every second day", "a safe helmet", "soft tyres"]),
    ],
};

/// A remark that needs no fact: what is said, what is answered.
pub(crate) struct SmallTalk {
    /// The question.
    pub(crate) ask: &'static str,
    /// The phrase that answers it.
    pub(crate) answer: &'static str,
}

/// Small talk.
pub(crate) const SMALL_TALK: [SmallTalk; 4] = [
    SmallTalk { ask: "how are you today", answer: "i am fine today" },
    SmallTalk { ask: "what can you do", answer: "i answer small questions" },
    SmallTalk { ask: "who are you", answer: "i am a helper made of words" },
    SmallTalk { ask: "how is your day", answer: "my day is calm" },
];

/// Sentences of a small-talk answer.
pub(crate) const SMALL_TALK_SAYS: [&str; 3] =
    ["{a}, and what about you?", "{a}, so ask me anything.", "{a}, that is all."];

/// What is answered to somebody who leaves.
pub(crate) const PARTING: &str = "you are welcome";
