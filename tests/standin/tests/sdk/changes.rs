use std::time::Duration;

use dropbox_sdk::Error;
use dropbox_sdk::async_routes::files;
use dropbox_sdk::dbx_async::PollArg;
use ferrybox_standin::{Settings, Standin};

use crate::client::{Sdk, pair};

/// No batch is being committed any more.
async fn settled(standin: &Standin) {
    assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.running_commits() == 0).await);
}

async fn slow() -> (Standin, Sdk) {
    let (standin, sdk) = pair(Settings::default()).await;
    standin.set_commit_duration(Duration::from_millis(50));
    (standin, sdk)
}

#[tokio::test]
async fn deleting() {
    let (standin, sdk) = slow().await;
    standin.write("/a/b", "x").unwrap();
    let rev = standin.write("/c", "y").unwrap();

    let deleted = files::delete_v2(&sdk, &files::DeleteArg::new("/a".to_owned())).await.unwrap();
    assert!(matches!(deleted.metadata, files::Metadata::Folder(_)));
    let again = files::delete_v2(&sdk, &files::DeleteArg::new("/a".to_owned())).await.unwrap_err();
    assert!(matches!(again, Error::Api(files::DeleteError::PathLookup(files::LookupError::NotFound))), "{again}");

    let entries = vec![
        files::DeleteArg::new("/c".to_owned()).with_parent_rev("123456789".to_owned()),
        files::DeleteArg::new("/c".to_owned()).with_parent_rev(rev),
        files::DeleteArg::new("/c".to_owned()),
    ];
    let launched = files::delete_batch(&sdk, &files::DeleteBatchArg::new(entries)).await.unwrap();
    let files::DeleteBatchLaunch::AsyncJobId(job) = launched else { panic!("{launched:?}") };
    let poll = PollArg::new(job);
    assert_eq!(files::delete_batch_check(&sdk, &poll).await.unwrap(), files::DeleteBatchJobStatus::InProgress);
    settled(&standin).await;
    let status = files::delete_batch_check(&sdk, &poll).await.unwrap();
    let files::DeleteBatchJobStatus::Complete(done) = status else { panic!("{status:?}") };
    use files::DeleteBatchResultEntry::{Failure, Success};
    let lost = files::DeleteError::PathLookup(files::LookupError::NotFound);
    let conflict = files::DeleteError::PathWrite(files::WriteError::Conflict(files::WriteConflictError::File));
    assert_eq!(done.entries[0], Failure(conflict));
    assert!(matches!(done.entries[1], Success(_)));
    assert_eq!(done.entries[2], Failure(lost));
    let unknown = files::delete_batch_check(&sdk, &PollArg::new("nonsense".to_owned())).await.unwrap_err();
    assert!(matches!(unknown, Error::Api(dropbox_sdk::dbx_async::PollError::InvalidAsyncJobId)), "{unknown}");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn making_folders() {
    let (standin, sdk) = slow().await;
    let made = files::create_folder_v2(&sdk, &files::CreateFolderArg::new("/A/B".to_owned())).await.unwrap();
    assert_eq!(made.metadata.path_display.as_deref(), Some("/A/B"));
    let again = files::create_folder_v2(&sdk, &files::CreateFolderArg::new("/a/b".to_owned())).await.unwrap_err();
    let conflict = files::WriteError::Conflict(files::WriteConflictError::Folder);
    assert!(matches!(&again, Error::Api(files::CreateFolderError::Path(error)) if *error == conflict), "{again}");
    let other = files::CreateFolderArg::new("/a/b".to_owned()).with_autorename(true);
    assert_eq!(files::create_folder_v2(&sdk, &other).await.unwrap().metadata.name, "b (1)");

    let batch = files::CreateFolderBatchArg::new(vec!["/x".to_owned(), "/a/b".to_owned()]);
    let launched = files::create_folder_batch(&sdk, &batch).await.unwrap();
    let files::CreateFolderBatchLaunch::Complete(done) = launched else { panic!("{launched:?}") };
    assert!(matches!(done.entries[0], files::CreateFolderBatchResultEntry::Success(_)));
    let failed = files::CreateFolderBatchResultEntry::Failure(files::CreateFolderEntryError::Path(conflict));
    assert_eq!(done.entries[1], failed);

    let batch = files::CreateFolderBatchArg::new(vec!["/y".to_owned()]).with_force_async(true);
    let launched = files::create_folder_batch(&sdk, &batch).await.unwrap();
    let files::CreateFolderBatchLaunch::AsyncJobId(job) = launched else { panic!("{launched:?}") };
    settled(&standin).await;
    let status = files::create_folder_batch_check(&sdk, &PollArg::new(job)).await.unwrap();
    assert!(matches!(status, files::CreateFolderBatchJobStatus::Complete(_)));
    assert!(standin.folder("/Y") && standin.violations().is_empty());
}

#[tokio::test]
async fn moving_and_copying() {
    let (standin, sdk) = slow().await;
    standin.write("/From/Sub/File.txt", "x").unwrap();
    let before = standin.file("/from/sub/file.txt").unwrap();

    let arg = files::RelocationArg::new("/from".to_owned(), "/To".to_owned());
    files::move_v2(&sdk, &arg).await.unwrap();
    let after = standin.file("/to/sub/file.txt").unwrap();
    assert_eq!((after.path_display.as_str(), &after.id), ("/To/Sub/File.txt", &before.id));
    let lost = files::move_v2(&sdk, &arg).await.unwrap_err();
    assert!(matches!(lost, Error::Api(files::RelocationError::FromLookup(files::LookupError::NotFound))), "{lost}");
    let arg = files::RelocationArg::new("/to".to_owned(), "/to/sub/x".to_owned());
    let inside = files::move_v2(&sdk, &arg).await.unwrap_err();
    assert!(matches!(inside, Error::Api(files::RelocationError::CantMoveFolderIntoItself)), "{inside}");

    let entries = vec![
        files::RelocationPath::new("/to/sub/file.txt".to_owned(), "/Copy.txt".to_owned()),
        files::RelocationPath::new("/none".to_owned(), "/other".to_owned()),
    ];
    let launched = files::copy_batch_v2(&sdk, &files::RelocationBatchArgBase::new(entries.clone())).await.unwrap();
    let files::RelocationBatchV2Launch::AsyncJobId(job) = launched else { panic!("{launched:?}") };
    settled(&standin).await;
    let status = files::copy_batch_check_v2(&sdk, &PollArg::new(job)).await.unwrap();
    let files::RelocationBatchV2JobStatus::Complete(done) = status else { panic!("{status:?}") };
    let files::RelocationBatchResultEntry::Success(files::Metadata::File(copy)) = &done.entries[0] else { panic!() };
    assert_ne!(copy.id, before.id);
    let lookup = files::RelocationError::FromLookup(files::LookupError::NotFound);
    let lost = files::RelocationBatchErrorEntry::RelocationError(lookup);
    assert_eq!(done.entries[1], files::RelocationBatchResultEntry::Failure(lost));

    let launched = files::move_batch_v2(&sdk, &files::MoveBatchArg::new(entries)).await.unwrap();
    let files::RelocationBatchV2Launch::AsyncJobId(job) = launched else { panic!("{launched:?}") };
    settled(&standin).await;
    let status = files::move_batch_check_v2(&sdk, &PollArg::new(job)).await.unwrap();
    let files::RelocationBatchV2JobStatus::Complete(done) = status else { panic!("{status:?}") };
    let conflict = files::RelocationError::To(files::WriteError::Conflict(files::WriteConflictError::File));
    let failure = files::RelocationBatchErrorEntry::RelocationError(conflict);
    assert_eq!(done.entries[0], files::RelocationBatchResultEntry::Failure(failure));
    files::copy_v2(&sdk, &files::RelocationArg::new("/to".to_owned(), "/to2".to_owned())).await.unwrap();
    assert_eq!(standin.content("/to2/sub/file.txt").unwrap().as_ref(), b"x");

    let by_id = files::ListRevisionsArg::new(before.id).with_mode(files::ListRevisionsMode::Id);
    assert_eq!(files::list_revisions(&sdk, &by_id).await.unwrap().entries.len(), 2);
    assert!(standin.violations().is_empty());
}
