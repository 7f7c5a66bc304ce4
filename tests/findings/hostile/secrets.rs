//! Secrets that a server sends back, and opaque strings without end.

use ferrybox_standin::{Effect, Fault};

use crate::harness::{World, text};

const TOKEN: &str = "oauth2/token";

fn reply(code: u16, body: String) -> Effect {
    Effect::Status { code, retry_after: None, body: Some(body) }
}

fn assert_untold(world: &World, secret: &str) {
    let status = text(&world.command(&["status", "--json"]).output().unwrap());
    assert!(!status.contains(secret), "{status}");
    assert!(!world.log().contains(secret), "{}", world.log());
}

#[test]
fn h10_a_refresh_token_that_the_server_sends_back_is_told_nobody() {
    let world = World::new();
    world.write_config();
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(world.credentials()).unwrap()).unwrap();
    let secret = kept["refresh_token"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"error": "invalid_grant", "error_description": "refresh token {secret} is malformed"}}"#);
    world.standin.faults().add(Fault::always(TOKEN, reply(400, body)));
    let daemon = world.spawn(world.command(&["run"]));
    let status = world.until_status("refused", |s| s["accounts"][0]["state"] == "auth_required");
    assert!(status["accounts"][0]["reason"].as_str().unwrap().contains("is malformed"), "{status:#}");
    assert_untold(&world, &secret);
    drop(daemon);
}

#[test]
fn h10_an_access_token_that_the_server_sends_back_is_told_nobody() {
    let world = World::new();
    world.write("a", "1");
    let secret = "sl.the-access-token-of-this-test";
    let token = format!(r#"{{"access_token": "{secret}", "expires_in": 14400, "token_type": "bearer"}}"#);
    world.standin.faults().add(Fault::always(TOKEN, reply(200, token)));
    // Any call, also in the tags.
    let body = format!(
        r#"{{"error_summary": "no_permission/{secret}", "error": {{".tag": "{secret}"}}, "user_message": "Bearer {secret}"}}"#
    );
    world.standin.faults().add(Fault::always("users/get_current_account", reply(403, body)));
    let daemon = world.daemon();
    world.until_status("refused", |s| {
        s["accounts"][0]["reason"].as_str().is_some_and(|r| r.contains("403") || r.contains("denies"))
    });
    assert_untold(&world, secret);
    drop(daemon);
}

#[test]
fn h11_an_access_token_that_cannot_be_one_is_refused_and_asked_for_again() {
    for bad in ["two\\nlines".to_owned(), String::new(), "t".repeat(2 << 20)] {
        let world = World::new();
        world.write("a", "1");
        let body = format!(r#"{{"access_token": "{bad}", "expires_in": 14400, "token_type": "bearer"}}"#);
        world.standin.faults().add(Fault::once(TOKEN, reply(200, body)));
        let daemon = world.daemon();
        world.until("the file, with the next token", |s| s.file("/T/a").is_some());
        assert!(world.standin.calls_of(TOKEN) >= 2);
        drop(daemon);
    }
}
