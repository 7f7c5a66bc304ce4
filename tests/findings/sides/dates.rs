//! Fields that decorate an entry.

use crate::harness::World;

#[test]
fn c6_a_date_that_cannot_be_read_costs_no_file() {
    let mut world = World::new();
    world.mode = "two-way";
    for (name, date) in [
        ("late", serde_json::json!("9999-12-31T23:59:59Z")),
        ("nonsense", serde_json::json!("the day before yesterday")),
        ("number", serde_json::json!(7)),
        ("empty", serde_json::json!("")),
    ] {
        let path = format!("/T/{name}");
        world.standin.write(&path, name);
        world.standin.decorate(&path, serde_json::json!({"client_modified": date, "server_modified": date}));
    }
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.disk().len(), 4);
    world.assert_clean();
}

/// Without a date in the commit, other devices would show the day of the upload.
#[test]
fn q6_a_file_from_before_1970_goes_up_with_the_earliest_date() {
    let mut world = World::new();
    world.mode = "two-way";
    let date = |seconds: i64| {
        let far = std::time::Duration::from_secs(seconds.unsigned_abs());
        let epoch = std::time::UNIX_EPOCH;
        if seconds < 0 { epoch - far } else { epoch + far }
    };
    let given = [("old", -86_400 * 365, "1970-01-01T00:00:00Z"), ("later", 4_000_000_000, "2096-10-02T07:06:40Z")];
    for (name, seconds, _) in given {
        world.write(name, name);
        let file = std::fs::File::options().write(true).open(world.folder.join(name)).unwrap();
        file.set_modified(date(seconds)).unwrap();
    }
    world.once_in_sync();
    for (name, seconds, expected) in given {
        assert_eq!(world.standin.file(&format!("/T/{name}")).unwrap().client_modified, expected, "{name}");
        // What is here keeps its own.
        assert_eq!(world.folder.join(name).metadata().unwrap().modified().unwrap(), date(seconds), "{name}");
    }
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}
