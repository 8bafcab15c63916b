//! Notices of deliveries to webhooks: one queue and one worker per address, so that none waits for another.
//!
//! Nothing waits for a webhook: a notice that finds a full queue, or that an address does not take within its attempts,
//! is dropped and counted. All notices are in topic `checkpoints`. Addresses never reach a log; they may carry secrets.

use std::time::Duration;

use metrics::counter;
use plaudit_experiment::delivery::Notice;
use plaudit_serving::NoticesConfig;
use reqwest::Client;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

/// Notices by `outcome`, per address: sent, failed, dropped.
pub(crate) const NOTICES: &str = "plaudit_notices_total";
/// Notices that wait for an address.
const MAX_WAITING: usize = 64;
/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sends every notice to every address until `stopped` turns true.
///
/// # Errors
/// Fails when there can be no HTTP client.
pub(crate) async fn run(
    config: NoticesConfig,
    mut notices: broadcast::Receiver<Notice>,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let client = Client::builder().timeout(config.timeout).build()?;
    let mut queues = Vec::new();
    // Dropped with this function, and the workers with it.
    let mut workers = tokio::task::JoinSet::new();
    for (index, address) in config.webhooks.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        workers.spawn(work((client.clone(), address, config.attempts), index, receiver));
        queues.push(sender);
    }
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        match notice {
            Ok(notice) => {
                for queue in &queues {
                    if queue.try_send(notice.clone()).is_err() {
                        count("dropped", 1);
                    }
                }
            }
            Err(RecvError::Lagged(missed)) => count("dropped", missed * queues.len() as u64),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn work(target: (Client, String, u32), index: usize, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let outcome = if send(&target, index, &notice).await { "sent" } else { "failed" };
        count(outcome, 1);
    }
}

/// Whether the address took it.
async fn send((client, address, attempts): &(Client, String, u32), index: usize, notice: &Notice) -> bool {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=*attempts {
        let reason = match client.post(address).json(notice).send().await {
            Ok(answer) if answer.status().is_success() => return true,
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.without_url().to_string(),
        };
        tracing::warn!(webhook = index, attempt, reason, "a webhook did not take a notice");
        if attempt < *attempts {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
    false
}

fn count(outcome: &'static str, number: u64) {
    counter!(NOTICES, "outcome" => outcome).increment(number);
}

#[cfg(test)]
mod tests {
    use plaudit_event::{PolicyId, Timestamp};
    use plaudit_experiment::delivery::State;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn notice(number: i64) -> Notice {
        Notice {
            policy_id: PolicyId::new("gen-1").unwrap(),
            from: State::Shadow,
            to: State::Canary,
            reason: "all that is required passes".to_owned(),
            numbers: Vec::new(),
            at: Timestamp::from_millis(number),
        }
    }

    /// Answers each request with the next of `statuses`, then with 200; hands on what was sent.
    async fn server(statuses: Vec<u16>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook?key=secret", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut statuses = statuses.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = String::new();
                let length = |text: &str| {
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                    Some(body.len() >= line.parse::<usize>().ok()?)
                };
                while !length(&request).unwrap_or(false) {
                    let mut bytes = [0; 4_096];
                    let count = stream.read(&mut bytes).await.unwrap();
                    request.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                }
                let status = statuses.next().unwrap_or(200);
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                sender.send(request).await.unwrap();
            }
        });
        (address, received)
    }

    #[tokio::test]
    async fn a_notice_is_posted_again_until_it_is_taken_and_no_address_waits_for_another() {
        let (flaky, mut of_flaky) = server(vec![500]).await;
        let (good, mut of_good) = server(Vec::new()).await;
        // Nobody listens there.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let webhooks = vec![format!("http://{gone}/"), flaky, good];
        let (sender, receiver) = broadcast::channel(8);
        let (stop, stopped) = watch::channel(false);
        let config = NoticesConfig { webhooks, attempts: 2, ..NoticesConfig::default() };
        let running = tokio::spawn(run(config, receiver, stopped));
        for number in [1, 2] {
            sender.send(notice(number)).unwrap();
        }
        let body = |request: &str| {
            assert!(request.starts_with("POST /hook?key=secret HTTP/1.1"), "{request}");
            assert!(request.contains("content-type: application/json"), "{request}");
            serde_json::from_str::<Notice>(request.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        for number in [1, 2] {
            assert_eq!(body(&of_good.recv().await.unwrap()), notice(number));
        }
        for number in [1, 1, 2] {
            assert_eq!(body(&of_flaky.recv().await.unwrap()), notice(number), "again, and in order");
        }
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
    }
}
