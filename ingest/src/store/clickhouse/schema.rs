//! The statements that make the schema, for one server or for a cluster.

/// A step of the schema.
pub(super) struct Migration {
    /// 1, 2, 3 …
    pub(super) version: u32,
    /// Its file, without the number.
    pub(super) name: &'static str,
    sql: &'static str,
}

/// What is needed to migrate.
const BOOTSTRAP: &str = include_str!("../../../schema/clickhouse/0000_migrations.sql");
/// Every step, in order. What was released is never changed.
pub(super) const MIGRATIONS: [Migration; 5] = [
    Migration { version: 1, name: "rows", sql: include_str!("../../../schema/clickhouse/0001_rows.sql") },
    Migration { version: 2, name: "positions", sql: include_str!("../../../schema/clickhouse/0002_positions.sql") },
    Migration { version: 3, name: "units", sql: include_str!("../../../schema/clickhouse/0003_units.sql") },
    Migration { version: 4, name: "unit tables", sql: include_str!("../../../schema/clickhouse/0004_unit_tables.sql") },
    Migration {
        version: 5,
        name: "placed signals",
        sql: include_str!("../../../schema/clickhouse/0005_placed_signals.sql"),
    },
];
/// The version that this build makes and reads.
pub(super) const VERSION: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// A statement after a line of this is for a cluster only.
const CLUSTER_ONLY: &str = "-- cluster only";
/// A view after a line of this is also run once, for the rows that are there.
const FOR_ALL: &str = "-- with what is there";

/// Where the schema is made.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    pub(super) database: String,
    /// Empty for a single server.
    pub(super) cluster: String,
}

impl Schema {
    /// The statements that come before all migrations.
    pub(super) fn bootstrap(&self) -> Vec<String> {
        self.statements(BOOTSTRAP)
    }

    /// The statements of `migration`.
    pub(super) fn migration(&self, migration: &Migration) -> Vec<String> {
        self.statements(migration.sql)
    }

    /// The table in which the rows of `table` are.
    pub(super) fn local(&self, table: &str) -> String {
        format!("{}.{table}{}", self.database, if self.is_cluster() { "_local" } else { "" })
    }

    /// `ON CLUSTER …`, or nothing.
    pub(super) fn on_cluster(&self) -> String {
        if self.is_cluster() { format!("ON CLUSTER `{}`", self.cluster) } else { String::new() }
    }

    const fn is_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    fn statements(&self, template: &str) -> Vec<String> {
        let mut statements = Vec::new();
        for text in template.split(";\n") {
            let is_for_cluster = text.lines().any(|line| line == CLUSTER_ONLY);
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).collect();
            if !lines.is_empty() && (self.is_cluster() || !is_for_cluster) {
                let statement = lines.join("\n");
                let backfill = text.lines().any(|line| line == FOR_ALL).then(|| backfill(&statement));
                statements.push(self.filled(&statement));
                statements.extend(backfill.map(|statement| self.filled(&statement)));
            }
        }
        statements
    }

    fn filled(&self, statement: &str) -> String {
        let mut text = statement
            .replace("{database}", &self.database)
            .replace("{cluster}", &self.cluster)
            .replace("{on_cluster}", &self.on_cluster())
            .replace("{local}", if self.is_cluster() { "_local" } else { "" })
            .replace("{replacing}", &self.replacing("version", "{shard}", "{replica}"));
        let settings = match self.is_cluster() {
            true => "replicated_deduplication_window = 1000",
            // A power cut must not take rows whose position it leaves.
            false => "non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1",
        };
        text = text.replace("{settings}", settings);
        if let Some((before, rest)) = text.split_once("{replacing_everywhere(") {
            let (column, after) = rest.split_once(")}").expect("templates are closed");
            text = format!("{before}{}{after}", self.replacing(column, "all", "{shard}-{replica}"));
        }
        text
    }

    /// The engine that keeps the row with the highest `version`; `shard` and `replica` tell the copies apart.
    fn replacing(&self, version: &str, shard: &str, replica: &str) -> String {
        match self.is_cluster() {
            true => format!(
                "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{}/{{table}}', '{replica}', {version})",
                self.database
            ),
            false => format!("ReplacingMergeTree({version})"),
        }
    }
}

/// The statement that does to all rows what the view that `statement` makes does to each that comes.
fn backfill(statement: &str) -> String {
    let (_, view) = statement.split_once("\nTO ").expect("a view has a target");
    let (target, select) = view.split_once("\nAS ").expect("a view has a query");
    // On a cluster of all servers.
    format!("INSERT INTO {target}\n{select}").replace("{local}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_migrations_are_1_2_3() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=VERSION).collect::<Vec<_>>());
    }

    #[test]
    fn statements_are_filled_in_for_one_server_and_for_a_cluster() {
        for cluster in ["", "blue"] {
            let schema = Schema { database: "d".into(), cluster: cluster.into() };
            let mut statements = schema.bootstrap();
            for migration in &MIGRATIONS {
                statements.extend(schema.migration(migration));
            }
            let all = statements.join("\n");
            let macros = all.replace("{shard}", "").replace("{replica}", "").replace("{table}", "");
            assert!(!macros.contains(['{', '}', ';']), "{all}");
            assert_eq!(all.contains("Distributed('blue', 'd', 'signals_local'"), !cluster.is_empty());
            let of = |word: &str| statements.iter().filter(|statement| statement.starts_with(word)).count();
            let everywhere = of("CREATE") + of("ALTER") + of("DROP");
            assert_eq!(all.matches("ON CLUSTER `blue`").count(), if cluster.is_empty() { 0 } else { everywhere });
            assert_eq!(all.matches("INSERT INTO d.unit_exposures\n").count(), 2);
            assert!(everywhere + of("INSERT") == statements.len() && !all.contains(FOR_ALL));
            assert_eq!(all.contains("ENGINE = ReplacingMergeTree(version)"), cluster.is_empty());
        }
    }
}
