use dropbox_sdk::Error;
use dropbox_sdk::async_routes::{auth, check, files, users};
use ferrybox_standin::{AccountSpec, Effect, Fault, Settings};

use crate::client::{Sdk, pair};

#[tokio::test]
async fn accounts_say_who_they_are() {
    let (standin, sdk) = pair(Settings::default()).await;
    standin.write("/a", "12345").unwrap();

    let echo = check::user(&sdk, &check::EchoArg::default().with_query("hello".to_owned())).await.unwrap();
    assert_eq!(echo.result, "hello");
    let account = users::get_current_account(&sdk).await.unwrap();
    assert_eq!(account.account_id, standin.account_id());
    assert_eq!(account.account_id.len(), 40);
    let usage = users::get_space_usage(&sdk).await.unwrap();
    assert_eq!(usage.used, 5);
    assert!(matches!(usage.allocation, users::SpaceAllocation::Individual(_)));
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_team_member_has_a_root_of_its_own_and_a_path_root_that_is_checked() {
    let (standin, _) = pair(Settings::default()).await;
    let member = standin.add_account(AccountSpec { team: true, ..AccountSpec::default() });
    let mut sdk = Sdk::new(&standin.url(), Some(member.short_lived_token()));

    let account = users::get_current_account(&sdk).await.unwrap();
    let dropbox_sdk::common::RootInfo::Team(root) = account.root_info else { panic!("{:?}", account.root_info) };
    assert_eq!(root.root_namespace_id, member.root_namespace_id());
    assert_ne!(root.root_namespace_id, root.home_namespace_id);
    let list = files::ListFolderArg::new(String::new());
    sdk.path_root = Some(format!(r#"{{".tag":"root","root":"{}"}}"#, root.root_namespace_id));
    assert!(files::list_folder(&sdk, &list).await.is_ok());
    sdk.path_root = Some(r#"{".tag":"root","root":"99"}"#.to_owned());
    let refused = files::list_folder(&sdk, &list).await.unwrap_err();
    let Error::UnexpectedHttpError { code: 422, response } = refused else { panic!("{refused}") };
    assert!(response.contains("invalid_root"), "{response}");
}

#[tokio::test]
async fn tokens_expire_lack_scopes_and_are_revoked() {
    let (standin, sdk) = pair(Settings::default()).await;
    let refused = |error: Error| match error {
        Error::Authentication(error) => error,
        other => panic!("{other}"),
    };

    let narrow = Sdk::new(&standin.url(), Some(standin.token_with_scopes(&["files.metadata.read"])));
    let auth::AuthError::MissingScope(missing) = refused(users::get_current_account(&narrow).await.unwrap_err()) else {
        panic!()
    };
    assert_eq!(missing.required_scope, "account_info.read");
    let stranger = Sdk::new(&standin.url(), Some("nonsense".to_owned()));
    assert_eq!(refused(users::get_current_account(&stranger).await.unwrap_err()), auth::AuthError::InvalidAccessToken);

    let short = Sdk::new(&standin.url(), Some(standin.short_lived_token()));
    auth::token_revoke(&short).await.unwrap();
    assert_eq!(refused(users::get_current_account(&short).await.unwrap_err()), auth::AuthError::InvalidAccessToken);
    standin.expire_tokens();
    assert_eq!(refused(users::get_current_account(&sdk).await.unwrap_err()), auth::AuthError::ExpiredAccessToken);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_rate_limit_is_told_as_the_specification_says() {
    let (standin, sdk) = pair(Settings::default()).await;
    let limited = Effect::RateLimited { reason: "too_many_write_operations".into(), retry_after: Some("7".into()) };
    standin.faults().add(Fault::once("users/get_current_account", limited));
    let Error::RateLimited { reason, retry_after_seconds } = users::get_current_account(&sdk).await.unwrap_err() else {
        panic!()
    };
    assert_eq!((reason, retry_after_seconds), (auth::RateLimitReason::TooManyWriteOperations, 7));
}
