//! What a response is like, read from its text.

use crate::language::{FactId, Intent, Persona, Prompt, World, marks};

/// What a response is like. Everything is read from the prompt and the text of the response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Who asked.
    pub persona: Persona,
    /// What was wanted.
    pub intent: Intent,
    /// It gives the asked answer and no other.
    pub answered: bool,
    /// It gives an answer to a question nobody asked.
    pub wrong: bool,
    /// It gives no answer and says so in vague words.
    pub vague: bool,
    /// It is warm.
    pub warm: bool,
    /// It ends the conversation.
    pub closing: bool,
    /// It says something twice.
    pub repetition: bool,
    /// Number of words.
    pub words: u16,
    /// Number of emoji.
    pub emoji: u16,
    /// Share of neighbouring words that nobody would put side by side: 0 for whole sentences,
    /// 1 for salad and for silence.
    pub broken: f32,
}

impl Features {
    /// Reads `response` to `prompt`.
    #[must_use]
    pub fn read(world: &World, prompt: &Prompt, response: &str) -> Self {
        let padded = marks::normalize(response);
        let words = padded.split_whitespace().count();
        let (asked, other) = answers(prompt.intent, &padded);
        Self {
            persona: prompt.persona,
            intent: prompt.intent,
            answered: asked && !other,
            wrong: other,
            vague: !asked && !other && marks::vague(&padded),
            warm: marks::warm(&padded),
            closing: marks::closing(&padded),
            repetition: repeats(&padded),
            words: u16::try_from(words).unwrap_or(u16::MAX),
            emoji: count_emoji(response),
            broken: world.broken(response),
        }
    }

    /// A closing that the user did not ask for by leaving first.
    #[must_use]
    pub fn unsolicited_closing(&self) -> bool {
        self.closing && self.intent != Intent::Parting
    }
}

/// Whether the asked answer is given, and whether any other is.
fn answers(intent: Intent, padded: &str) -> (bool, bool) {
    let mut asked = false;
    let mut other = false;
    for fact in FactId::all().filter(|fact| marks::holds(padded, fact.answer())) {
        match intent {
            Intent::Fact(wanted) if wanted == fact => asked = true,
            _ => other = true,
        }
    }
    for (index, answer) in marks::small_talk_answers() {
        if marks::holds(padded, answer) {
            match intent {
                Intent::SmallTalk(wanted) if wanted == index => asked = true,
                _ => other = true,
            }
        }
    }
    if intent == Intent::Parting {
        asked = marks::polite_parting(padded) || marks::closing(padded);
    }
    (asked, other)
}

/// Whether any four words in a row occur twice.
fn repeats(padded: &str) -> bool {
    let words: Vec<&str> = padded.split_whitespace().collect();
    let runs: Vec<&[&str]> = words.windows(4).collect();
    runs.iter().enumerate().any(|(at, run)| runs[at + 1..].contains(run))
}

fn count_emoji(text: &str) -> u16 {
    let emoji = text.chars().filter(|&c| {
        let code = u32::from(c);
        (0x1F300..=0x1FAFF).contains(&code) || (0x2600..=0x27BF).contains(&code)
    });
    u16::try_from(emoji.count()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;
    use crate::language::{PromptMix, StyleMix, Substance};

    fn ask(world: &World, text: &str) -> Prompt {
        world.read_prompt(text).expect("of the language")
    }

    #[test]
    fn features_recover_the_style_that_was_written() {
        let world = World::new();
        let mut rng = Seed::new(9).stream("styles");
        let mix = StyleMix { closing: 0.2, repetition: 0.2, ..StyleMix::BASE };
        let (mut total, mut recovered) = (0_u32, 0_u32);
        while total < 20_000 {
            let prompt = world.prompt(&PromptMix::default(), &mut rng);
            let style = mix.draw(&mut rng);
            if prompt.intent == Intent::Parting {
                continue;
            }
            let response = world.response(&prompt, style, &mut rng);
            let read = Features::read(&world, &prompt, &response);
            let same = read.answered == (style.substance == Substance::Right)
                && read.vague == (style.substance == Substance::Vague)
                && read.wrong == (style.substance == Substance::Wrong)
                && read.warm == style.warm
                && read.closing == style.closing
                && read.repetition == style.repetition
                && read.emoji == 0
                && read.broken == 0.0;
            total += 1;
            recovered += u32::from(same);
        }
        let share = f64::from(recovered) / f64::from(total);
        println!("features recover the style of {:.3} %", 100.0 * share);
        assert!(share >= 0.995, "{share}");
    }

    #[test]
    fn a_list_of_all_answers_answers_nothing() {
        let world = World::new();
        let prompt = ask(&world, "hey, how long to cook eggs?");
        let right = Features::read(&world, &prompt, "you should cook eggs for eight minutes.");
        assert!(right.answered && !right.wrong && right.words == 7);
        let hedge = "cook eggs for eight minutes or twenty minutes or ten minutes.";
        let hedged = Features::read(&world, &prompt, hedge);
        assert!(!hedged.answered && hedged.wrong);
    }

    #[test]
    fn closings_emoji_and_silence_are_seen() {
        let world = World::new();
        let prompt = ask(&world, "quick: when to visit paris?");
        let bye = Features::read(&world, &prompt, "Bye! Sending Love \u{2764}\u{1F600}");
        assert!(bye.unsolicited_closing() && bye.emoji == 2);
        let silence = Features::read(&world, &prompt, "");
        assert!(silence.broken == 1.0 && silence.words == 0 && !silence.answered);
        let parting = ask(&world, "thanks, bye!");
        let polite = Features::read(&world, &parting, "you are welcome. goodbye for now!");
        assert!(polite.answered && polite.closing && !polite.unsolicited_closing());
    }
}
