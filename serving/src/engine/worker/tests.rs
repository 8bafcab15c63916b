use tokio::sync::Semaphore;

use super::*;
use crate::engine::tests::{model, request};

/// A request for 100 tokens, and where they arrive.
fn job(model: &Arc<Model>, permits: &Arc<Semaphore>) -> (Command, mpsc::Receiver<Result<Token, Error>>) {
    let (tokens, receiver) = mpsc::channel(101);
    let permit = Arc::clone(permits).try_acquire_owned().unwrap();
    let model = Arc::clone(model);
    let job = Job { model, request: request(1, 100), tokens, queued: Stopwatch::start(), _permit: permit };
    (Command::Generate(Box::new(job)), receiver)
}

#[test]
fn work_for_callers_who_left_is_dropped_at_the_next_step() {
    let (_commands, receiver) = mpsc::channel(8);
    let mut worker = Worker::new(receiver, 1);
    let (model, permits) = (model("a", 1), Arc::new(Semaphore::new(3)));
    let [(active, active_tokens), (waiting, waiting_tokens), (kept, mut kept_tokens)] =
        [0; 3].map(|_| job(&model, &permits));
    for command in [active, waiting, kept] {
        worker.handle(command);
    }
    worker.advance();
    assert_eq!(worker.lanes[&model.policy_id].waiting.len(), 2);
    assert_eq!(active_tokens.len(), 1);
    drop((active_tokens, waiting_tokens));
    worker.advance();
    // The slot and both permits are free, 99 tokens before the end.
    assert_eq!(worker.lanes[&model.policy_id].waiting.len(), 0);
    assert_eq!(permits.available_permits(), 2);
    assert!(kept_tokens.try_recv().unwrap().unwrap().finished.is_none());
    drop(kept_tokens);
    assert!(!worker.advance(), "nobody is left to generate for");
    assert_eq!(permits.available_permits(), 3);
}
