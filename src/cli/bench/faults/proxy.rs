//! A server in front of the store that passes everything on, or breaks some of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plaudit_event::Seed;
use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A pause in a request after which it counts as complete.
const QUIET: Duration = Duration::from_millis(100);
const ERROR: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 17\r\nConnection: close\r\n\r\nbroken on purpose";

/// What becomes of a connection while the store is broken.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The first request is answered with 500.
    Error,
    /// So many bytes of answers come through, then both ends are dropped: what was asked for has been done.
    Cut(usize),
    /// It lasts so long.
    Short(Duration),
}

/// The running proxy; dropping it ends it.
pub(super) struct Proxy {
    /// Where it listens: `HOST:PORT`.
    pub(super) address: String,
    is_broken: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens in front of `target`, `HOST:PORT`.
    pub(super) async fn start(target: String, seed: Seed) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to open a port for the proxy")?;
        let address = listener.local_addr().context("the proxy has no address")?.to_string();
        let is_broken = Arc::new(watch::Sender::new(false));
        let state = Arc::clone(&is_broken);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            let mut rng = seed.stream("connections");
            while let Ok((client, _)) = listener.accept().await {
                let fate = match rng.random_range(0..4) {
                    0 | 1 => Fate::Error,
                    2 => Fate::Cut(rng.random_range(0..300)),
                    _ => Fate::Short(Duration::from_millis(rng.random_range(5..400))),
                };
                connections.spawn(connection(client, target.clone(), state.subscribe(), fate));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, is_broken, _tasks: tasks })
    }

    /// From now on it breaks connections, or passes all on; those that are open are dropped.
    pub(super) fn set_broken(&self, is_broken: bool) {
        self.is_broken.send_replace(is_broken);
    }
}

async fn connection(mut client: TcpStream, target: String, mut is_broken: watch::Receiver<bool>, fate: Fate) {
    let broken = *is_broken.borrow_and_update();
    if broken && matches!(fate, Fate::Error) {
        let mut request = [0; 4_096];
        // The whole request is read: an answer before its end would be lost with it.
        while let Ok(Ok(1..)) = tokio::time::timeout(QUIET, client.read(&mut request)).await {}
        // The client may have gone.
        let _ = client.write_all(ERROR).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    let pass = async {
        match fate {
            Fate::Cut(bytes) if broken => cut(&mut client, &mut server, bytes).await,
            Fate::Short(life) if broken => {
                let _ = tokio::time::timeout(life, tokio::io::copy_bidirectional(&mut client, &mut server)).await;
            }
            _ => drop(tokio::io::copy_bidirectional(&mut client, &mut server).await),
        }
    };
    tokio::select! {
        () = pass => {}
        // The state has changed, or the proxy is gone.
        _ = is_broken.changed() => {}
    }
}

/// Passes requests on, and `bytes` of the answers.
async fn cut(client: &mut TcpStream, server: &mut TcpStream, bytes: usize) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let answers = async {
        let mut answer = vec![0; bytes.max(1)];
        // All of it, or what there was before the server closed.
        let read = from_server.read_exact(&mut answer).await.map_or(0, |_| bytes);
        let _ = to_client.write_all(&answer[..read]).await;
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every request with a long text.
    async fn target() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    let _ = client.read(&mut request).await;
                    let body = "x".repeat(2_000);
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n{body}");
                    let _ = client.write_all(answer.as_bytes()).await;
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn while_broken_there_are_errors_and_cut_answers_and_before_and_after_none() {
        let proxy = Proxy::start(target().await, Seed::new(1)).await.unwrap();
        let url = format!("http://{}/", proxy.address);
        let ask = async || {
            let answer = reqwest::Client::new().get(&url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()))
        };
        for (is_broken, is_back) in [(false, false), (true, true)] {
            if is_broken {
                proxy.set_broken(true);
                let (mut errors, mut cut) = (0, 0);
                for _ in 0..30 {
                    match ask().await {
                        Some((500, _)) => errors += 1,
                        Some((200, Some(_))) => {}
                        _ => cut += 1,
                    }
                }
                assert!(errors > 0 && cut > 0, "{errors} errors, {cut} cut");
                proxy.set_broken(!is_back);
            }
            for _ in 0..10 {
                assert!(matches!(ask().await, Some((200, Some(text))) if text.len() == 2_000));
            }
        }
    }
}
