use super::*;

fn draft() -> Draft {
    Draft {
        kind: "reward".to_owned(),
        parent: Some("rm-0".to_owned()),
        log_position: 7,
        config_hash: config_hash(&("lr", 0.5)),
        seed: 3,
        files: BTreeMap::from([("a.bin".to_owned(), vec![1, 2, 3]), ("b.bin".to_owned(), vec![])]),
    }
}

#[test]
fn what_was_written_is_read_and_writing_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let written = write(root.path(), "rm-", &draft()).unwrap();
    assert!(written.id.starts_with("rm-") && written.id.len() == 19);
    let read = load(&root.path().join(&written.id)).unwrap();
    assert_eq!(read.manifest, written);
    assert_eq!(read.files, draft().files);
    assert_eq!(write(root.path(), "rm-", &draft()).unwrap(), written);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert!(read.file("c.bin").is_err());
}

#[test]
fn the_id_follows_the_content_but_not_the_parent() {
    let id = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        draft.manifest("rm-").id
    };
    let same = id(|_| {});
    assert_eq!(id(|draft| draft.parent = None), same);
    assert_ne!(id(|draft| draft.log_position = 8), same);
    assert_ne!(id(|draft| draft.seed = 4), same);
    assert_ne!(id(|draft| draft.files.get_mut("a.bin").unwrap()[0] = 9), same);
}

#[test]
fn every_damage_is_found_and_names_the_file() {
    let damage = |harm: fn(&Path)| {
        let root = tempfile::tempdir().unwrap();
        let id = write(root.path(), "rm-", &draft()).unwrap().id;
        harm(&root.path().join(&id));
        load(&root.path().join(&id)).unwrap_err().to_string()
    };
    let flipped = damage(|dir| fs::write(dir.join("a.bin"), [1, 2, 4]).unwrap());
    assert!(flipped.contains("a.bin") && flipped.contains("content hash"), "{flipped}");
    let missing = damage(|dir| fs::remove_file(dir.join("b.bin")).unwrap());
    assert!(missing.contains("b.bin"), "{missing}");
    let edited = damage(|dir| {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("\"log_position\": 7", "\"log_position\": 9")).unwrap();
    });
    assert!(edited.contains("changed after it was written"), "{edited}");
    let newer = damage(|dir| {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    });
    assert!(newer.contains("format must be 1, got 2"), "{newer}");
    let added = damage(|dir| fs::write(dir.join("c.bin"), b"").unwrap());
    assert!(added.contains("c.bin") && added.contains("not a file of this checkpoint"), "{added}");
    let renamed = damage(|dir| {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("\"id\": \"rm-", "\"id\": \"../rm-")).unwrap();
    });
    assert!(renamed.contains("changed after it was written"), "{renamed}");
}

#[test]
fn the_list_is_newest_first_and_skips_what_is_unfinished() {
    let root = tempfile::tempdir().unwrap();
    assert!(list(&root.path().join("none"), "reward").unwrap().is_empty());
    for position in [5, 9, 7] {
        let draft = Draft { log_position: position, ..draft() };
        write(root.path(), "rm-", &draft).unwrap();
    }
    fs::create_dir(root.path().join(".tmp-rm-1")).unwrap();
    fs::create_dir(root.path().join("other")).unwrap();
    let (newest, _) = list(root.path(), "reward").unwrap().remove(0);
    let copy = root.path().join("rm-copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(newest.join(MANIFEST), copy.join(MANIFEST)).unwrap();
    let positions: Vec<u64> =
        list(root.path(), "reward").unwrap().iter().map(|(_, manifest)| manifest.log_position).collect();
    assert_eq!(positions, [9, 7, 5]);
    assert!(list(root.path(), "generate").unwrap().is_empty());
}

#[test]
fn what_is_damaged_is_replaced_by_the_same_checkpoint() {
    let harms: [fn(&Path); 5] = [
        |dir| fs::write(dir.join("a.bin"), [9]).unwrap(),
        |dir| fs::remove_file(dir.join(MANIFEST)).unwrap(),
        |dir| fs::write(dir.join("c.bin"), b"").unwrap(),
        |dir| {
            fs::remove_file(dir.join("a.bin")).unwrap();
            fs::create_dir(dir.join("a.bin")).unwrap();
        },
        |dir| {
            fs::remove_dir_all(dir).unwrap();
            fs::write(dir, b"a file").unwrap();
        },
    ];
    for harm in harms {
        let root = tempfile::tempdir().unwrap();
        let written = write(root.path(), "rm-", &draft()).unwrap();
        let dir = root.path().join(&written.id);
        harm(&dir);
        assert!(load(&dir).is_err());
        assert_eq!(write(root.path(), "rm-", &draft()).unwrap(), written);
        assert_eq!(load(&dir).unwrap().files, draft().files);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[test]
fn sweeping_removes_what_is_unfinished_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(sweep(&root.path().join("none"), "rm-").unwrap(), 0);
    let written = write(root.path(), "rm-", &draft()).unwrap();
    let unfinished = root.path().join(".tmp-rm-0123");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("a.bin"), [1]).unwrap();
    fs::write(root.path().join(".tmp-rm-4567-damaged"), b"a file").unwrap();
    fs::create_dir(root.path().join(".tmp-gen-89ab")).unwrap();
    assert_eq!(sweep(root.path(), "rm-").unwrap(), 2);
    assert!(root.path().join(".tmp-gen-89ab").exists(), "another's");
    assert!(load(&root.path().join(&written.id)).is_ok());
    assert_eq!(sweep(root.path(), "rm-").unwrap(), 0);
}
