//! The shape of the workspace: which crate may depend on which, and files generated from code that must be fresh.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crate → the Plaudit crates it may depend on. Anything else is a wrong direction.
const ALLOWED: &[(&str, &[&str])] = &[
    ("plaudit-event", &[]),
    ("plaudit-ingest", &["plaudit-event"]),
    ("plaudit-experiment", &["plaudit-event"]),
    ("plaudit-nn", &["plaudit-event"]),
    ("plaudit-reward-model", &["plaudit-event", "plaudit-ingest", "plaudit-nn"]),
    (
        "plaudit-policy",
        &["plaudit-event", "plaudit-experiment", "plaudit-ingest", "plaudit-nn", "plaudit-reward-model"],
    ),
    ("plaudit-serving", &["plaudit-event", "plaudit-experiment", "plaudit-ingest", "plaudit-nn", "plaudit-policy"]),
    ("plaudit-simulator", &["plaudit-event"]),
    ("plaudit-datasets", &["plaudit-event"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Product dependencies of every workspace member, by crate name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let mut graph = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let mut names = Vec::new();
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            let is_test_only = dependency["kind"] == "dev";
            if name.starts_with("plaudit") && !is_test_only {
                names.push(name.to_owned());
            }
        }
        graph.insert(package["name"].as_str().expect("a name").to_owned(), names);
    }
    graph
}

#[test]
fn crates_depend_in_one_direction_only() {
    let graph = dependencies();
    assert_eq!(graph.len(), ALLOWED.len() + 1, "list every crate in ALLOWED: {:?}", graph.keys());
    for (name, allowed) in ALLOWED {
        for dependency in &graph[*name] {
            assert!(allowed.contains(&dependency.as_str()), "`{name}` must not depend on `{dependency}`");
        }
    }
}

#[test]
fn published_event_schema_is_fresh() {
    let path = root().join("docs/events.schema.json");
    let published = std::fs::read_to_string(&path).expect("docs/events.schema.json exists");
    let published: Value = serde_json::from_str(&published).expect("valid JSON");
    let current = plaudit_event::json_schema();
    assert!(
        published == current,
        "docs/events.schema.json is stale: regenerate with `plaudit config schema > docs/events.schema.json`"
    );
}

#[test]
fn the_readme_names_every_top_level_folder() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md exists");
    for folder in ["src", "ingest", "reward-model", "policy", "serving", "deploy", "tests", "docs"] {
        assert!(root().join(folder).is_dir(), "`{folder}` is gone");
        assert!(readme.contains(folder), "README.md does not mention `{folder}`");
    }
}
