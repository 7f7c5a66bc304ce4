//! Where credentials are kept, and what is refused.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ferrybox::dropbox::{CredentialError, Credentials, Source};
use secrecy::ExposeSecret;

use crate::script::{CANARY, REFRESH, refresh_token, static_token};

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn sources_as_the_configuration_writes_them() {
    for text in ["keyring", "file:/a/b.json", "systemd:dropbox", "env:TOKEN"] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
    for text in ["", "file:", "systemd:", "systemd:../x", "systemd:..", "env:", "env:A=B", "/a/b", "vault:x"] {
        assert!(text.parse::<Source>().unwrap_err().contains("\"file:PATH\""), "{text}");
    }
}

#[tokio::test]
async fn o7_a_file_is_written_whole_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/deep/home.json");
    let source = Source::File(path.clone());
    let error = source.load("home").await.unwrap_err();
    assert!(matches!(error, CredentialError::Missing { .. }));
    assert!(error.to_string().contains("ferrybox link home"), "{error}");
    source.store("home", &refresh_token()).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let Credentials::Refresh { refresh_token, app_key } = source.load("home").await.unwrap() else { panic!() };
    assert_eq!((refresh_token.expose_secret(), app_key.as_str()), (REFRESH, "key"));
    source.store("home", &static_token()).await.unwrap();
    assert!(matches!(source.load("home").await.unwrap(), Credentials::Access { .. }));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    source.forget("home").await.unwrap();
    source.forget("home").await.unwrap();
    assert!(matches!(source.load("home").await, Err(CredentialError::Missing { .. })));
}

#[tokio::test]
async fn t1_a_file_that_others_could_touch_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.json");
    let source = Source::File(path.clone());
    source.store("home", &static_token()).await.unwrap();
    for open in [0o640, 0o604, 0o660, 0o602, 0o610, 0o700, 0o644] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).unwrap();
        let error = source.load("home").await.unwrap_err();
        assert!(matches!(error, CredentialError::Refused { .. }), "{open:o}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        assert_eq!(error.failure().code, "auth_required");
    }
    for closed in [0o600, 0o400] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(closed)).unwrap();
        source.load("home").await.unwrap();
    }
    let link = dir.path().join("link.json");
    symlink(&path, &link).unwrap();
    let by_link = Source::File(link.clone());
    for error in [by_link.load("home").await.unwrap_err(), by_link.store("home", &static_token()).await.unwrap_err()] {
        assert!(error.to_string().contains("symlink"), "{error}");
    }
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let error = Source::File(dir.path().to_owned()).load("home").await.unwrap_err();
    assert!(error.to_string().contains("regular file"), "{error}");
}

#[tokio::test]
async fn o4_what_cannot_be_read_or_written_says_what_to_do() {
    let error = Source::Systemd("dropbox".to_owned()).load("home").await.unwrap_err();
    assert!(error.to_string().contains("LoadCredential=dropbox"), "{error}");
    for source in [Source::Systemd("dropbox".to_owned()), Source::Env("X".to_owned())] {
        let error = source.store("home", &static_token()).await.unwrap_err();
        assert!(
            matches!(error, CredentialError::ReadOnly { .. }) && error.to_string().contains("file:PATH"),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("CANARY"));
        source.forget("home").await.unwrap_err();
    }
    let error = Source::Env("FERRYBOX_NO_SUCH_VARIABLE".to_owned()).load("home").await.unwrap_err();
    assert!(error.to_string().contains("FERRYBOX_NO_SUCH_VARIABLE"), "{error}");
    // Any variable without blanks is a token by itself.
    let token = Source::Env("CARGO_PKG_NAME".to_owned()).load("home").await.unwrap();
    assert!(matches!(token, Credentials::Access { .. }));
}

#[test]
fn what_the_json_may_be() {
    let parse = |text: &str| Credentials::parse(text, "file:x");
    assert!(matches!(parse(r#"{"refresh_token": "r", "app_key": "k"}"#), Ok(Credentials::Refresh { .. })));
    assert!(matches!(parse(" {\"access_token\": \"a\\n\"}\n"), Ok(Credentials::Access { .. })));
    for bad in [
        String::new(),
        "{}".to_owned(),
        CANARY.to_owned(),
        format!(r#"{{"refresh_token": "{REFRESH}"}}"#),
        format!(r#"{{"refresh_token": "{REFRESH}", "app_key": ""}}"#),
        format!(r#"{{"refresh_token": "{REFRESH}", "app_key": "k", "access_token": "{CANARY}"}}"#),
        format!(r#"{{"access_token": ["{CANARY}"]}}"#),
        format!(r#"{{"{CANARY}": 1}}"#),
        r#"{"access_token": " "}"#.to_owned(),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
        assert!(error.to_string().contains("refresh_token"), "{error}");
    }
}

/// On a machine without a desktop, which is where ferrybox lives.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_keyring_that_is_not_there_proposes_a_file() {
    if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some() {
        return;
    }
    let error = Source::Keyring.load("home").await.unwrap_err();
    assert!(matches!(error, CredentialError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("file:PATH"), "{error}");
}
