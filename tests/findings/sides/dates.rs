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
