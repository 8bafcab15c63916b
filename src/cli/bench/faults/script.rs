//! What happens in each row while the load runs.

use std::path::Path;
use std::time::Duration;

use plaudit_event::{Seed, Stream};
use rand::Rng as _;

use super::disk::SmallDisk;
use super::progress;
use super::proxy::Proxy;
use super::row::Row;
use super::servers::Servers;
use super::site::Site;

/// How long load runs before and after a fault, and where nothing but the events is out of order.
const QUIET: Duration = Duration::from_secs(2);
const LOAD: Duration = Duration::from_secs(8);
/// How long the store is broken.
const BROKEN: Duration = Duration::from_secs(20);
/// How long the broker is down with a full disk, and then with a disk that has room.
const SPOOLING: Duration = Duration::from_secs(8);
/// How often the broker is killed.
const BROKER_KILLS: u32 = 3;
/// Steps of the rebalancing row.
const STEPS: u32 = 8;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Kills of processes.
    pub(super) kills: u32,
    /// How long a server is down.
    pub(super) outage: Duration,
}

/// What a row works on.
pub(super) struct Stage<'a> {
    pub(super) site: &'a mut Site,
    pub(super) servers: Option<&'a Servers>,
    pub(super) disk: Option<&'a SmallDisk>,
    pub(super) proxy: Option<&'a Proxy>,
    pub(super) extent: Extent,
    pub(super) seed: Seed,
}

impl Stage<'_> {
    /// Plays `row` and tells what was done.
    pub(super) async fn play(&mut self, row: Row) -> anyhow::Result<String> {
        let mut rng = self.seed.stream("moments");
        match row {
            Row::Kill => self.kill(&mut rng).await,
            Row::Broker => self.broker(&mut rng).await,
            Row::StoreDown => self.store_down().await,
            Row::StoreErrors => self.store_errors().await,
            Row::DiskFull if self.servers.is_some() => self.spool_full().await,
            Row::DiskFull => self.disk_full().await,
            Row::Rebalance => self.rebalance(&mut rng).await,
            Row::Duplicates | Row::Reorder => {
                self.site.rest(LOAD).await?;
                Ok(format!("{} s of load", LOAD.as_secs()))
            }
        }
    }

    async fn kill(&mut self, rng: &mut Stream) -> anyhow::Result<String> {
        let mut victims = vec![0_u32; self.site.len()];
        for kill in 0..self.extent.kills {
            // A process may be hit while it starts.
            self.site.rest(Duration::from_millis(rng.random_range(50..1_500))).await?;
            let victim = rng.random_range(0..self.site.len());
            self.site.kill(victim);
            victims[victim] += 1;
            self.site.start(victim)?;
            if (kill + 1) % 10 == 0 {
                progress(&format!("  {} of {} kills", kill + 1, self.extent.kills));
            }
        }
        self.site.ready().await?;
        self.site.rest(QUIET).await?;
        let counts: Vec<String> =
            victims.iter().enumerate().map(|(number, count)| format!("{} {count}×", self.site.name(number))).collect();
        Ok(format!("kill -9: {}", counts.join(", ")))
    }

    async fn broker(&mut self, rng: &mut Stream) -> anyhow::Result<String> {
        let servers = self.servers()?;
        let mut down = Vec::new();
        for kill in 1..=BROKER_KILLS {
            self.site.rest(QUIET + Duration::from_millis(rng.random_range(0..1_000))).await?;
            servers.run("kill-kafka").await?;
            let pause = Duration::from_millis(rng.random_range(500..6_000));
            self.site.rest(pause).await?;
            if kill == BROKER_KILLS {
                // What it has acknowledged meanwhile is on its disk only.
                self.site.kill(0);
            }
            servers.run("start-kafka").await?;
            if kill == BROKER_KILLS {
                self.site.start(0)?;
                self.site.ready().await?;
            }
            down.push(format!("{:.1}", pause.as_secs_f64()));
            progress(&format!("  broker was down for {:.1} s", pause.as_secs_f64()));
        }
        self.site.rest(QUIET * 2).await?;
        Ok(format!(
            "kill -9 of the broker {BROKER_KILLS}×, down {} s and its start; the third time serve-0, too",
            down.join(", ")
        ))
    }

    async fn store_down(&mut self) -> anyhow::Result<String> {
        let servers = self.servers()?;
        self.site.rest(QUIET).await?;
        servers.run("kill-clickhouse").await?;
        self.site.rest(self.extent.outage).await?;
        servers.run("start-clickhouse").await?;
        self.site.rest(QUIET).await?;
        Ok(format!("kill -9 of the store, down {} s", self.extent.outage.as_secs()))
    }

    async fn store_errors(&mut self) -> anyhow::Result<String> {
        let proxy = self.proxy.ok_or_else(|| anyhow::anyhow!("no proxy in front of the store"))?;
        self.site.rest(QUIET).await?;
        proxy.set_broken(true);
        self.site.rest(BROKEN).await?;
        proxy.set_broken(false);
        self.site.rest(QUIET).await?;
        Ok(format!("{} s of answers with 500, cut answers and dropped connections of the store", BROKEN.as_secs()))
    }

    /// Fills the disk of the process that serves while the broker is down, and then makes room.
    async fn spool_full(&mut self) -> anyhow::Result<String> {
        let (servers, disk) = (self.servers()?, self.disk.ok_or_else(|| anyhow::anyhow!("no small disk"))?);
        self.site.rest(QUIET).await?;
        let ballast = disk.fill()?;
        servers.run("kill-kafka").await?;
        progress("  the disk is full and the broker is down");
        self.site.rest(SPOOLING).await?;
        std::fs::remove_file(&ballast)?;
        self.site.rest(SPOOLING).await?;
        servers.run("start-kafka").await?;
        self.site.rest(QUIET).await?;
        let seconds = SPOOLING.as_secs();
        Ok(format!("broker down, spool on {}: full for {seconds} s, then with room for {seconds} s", disk.what()))
    }

    /// Fills the disk twice: once nothing else happens, once the process is killed meanwhile.
    async fn disk_full(&mut self) -> anyhow::Result<String> {
        let disk = self.disk.ok_or_else(|| anyhow::anyhow!("no small disk"))?;
        for is_killed in [false, true] {
            self.site.rest(QUIET).await?;
            let ballast = disk.fill()?;
            progress("  the disk is full");
            self.site.rest(QUIET * 2).await?;
            if is_killed {
                self.site.kill(0);
            }
            std::fs::remove_file(&ballast)?;
            if is_killed {
                self.site.start(0)?;
                self.site.ready().await?;
            }
        }
        self.site.rest(QUIET).await?;
        Ok(format!("log, store and checkpoints on {}, full twice for 4 s, kill -9 in the second time", disk.what()))
    }

    async fn rebalance(&mut self, rng: &mut Stream) -> anyhow::Result<String> {
        let mut steps = Vec::new();
        // Process 0 serves.
        let mut is_there: Vec<bool> = (0..self.site.len()).map(|_| true).collect();
        for _ in 0..STEPS {
            self.site.rest(Duration::from_millis(rng.random_range(1_500..4_000))).await?;
            let who = rng.random_range(1..self.site.len());
            let what = match (is_there[who], rng.random_bool(0.3)) {
                (false, _) => {
                    self.site.start(who)?;
                    "joins"
                }
                (true, true) => {
                    self.site.kill(who);
                    "killed"
                }
                (true, false) => {
                    self.site.stop(who).await?;
                    "leaves"
                }
            };
            is_there[who] = !is_there[who];
            progress(&format!("  {} {what}", self.site.name(who)));
            steps.push(format!("{} {what}", self.site.name(who)));
        }
        for who in (1..self.site.len()).filter(|who| !is_there[*who]) {
            self.site.start(who)?;
        }
        self.site.rest(QUIET).await?;
        Ok(steps.join(", "))
    }

    fn servers(&self) -> anyhow::Result<Servers> {
        self.servers.cloned().ok_or_else(|| anyhow::anyhow!("servers that may be killed: give --run-servers"))
    }
}

/// Where process 0 of a row keeps its data, below `dir`.
pub(super) fn data_of_first(dir: &Path) -> std::path::PathBuf {
    dir.join("serve-0")
}
