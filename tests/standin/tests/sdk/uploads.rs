use std::time::Duration;

use bytes::Bytes;
use dropbox_sdk::Error;
use dropbox_sdk::async_routes::files::{
    self, CommitInfo, UploadArg, UploadSessionAppendArg, UploadSessionAppendBatchArg, UploadSessionAppendBatchArgEntry,
    UploadSessionAppendBatchEntryError, UploadSessionAppendBatchResultEntry, UploadSessionAppendError,
    UploadSessionCursor, UploadSessionFinishArg, UploadSessionFinishBatchArg, UploadSessionFinishBatchJobStatus,
    UploadSessionFinishBatchLaunch, UploadSessionFinishBatchResultEntry, UploadSessionFinishError,
    UploadSessionLookupError, UploadSessionStartArg, UploadSessionStartBatchArg, UploadSessionStartError,
    UploadSessionType, WriteConflictError, WriteError, WriteMode,
};
use dropbox_sdk::dbx_async::PollArg;
use ferrybox_standin::{BLOCK, Settings, content_hash};

use crate::client::{Sdk, pair};

fn cursor(session: &str, offset: u64) -> UploadSessionCursor {
    UploadSessionCursor::new(session.to_owned(), offset)
}

fn finish(session: &str, offset: u64, path: &str) -> UploadSessionFinishArg {
    UploadSessionFinishArg::new(cursor(session, offset), CommitInfo::new(path.to_owned()))
}

fn bytes(data: &'static str) -> Bytes {
    Bytes::from_static(data.as_bytes())
}

async fn start(sdk: &Sdk, kind: UploadSessionType) -> String {
    let arg = UploadSessionStartArg::default().with_session_type(kind);
    files::upload_session_start(sdk, &arg, Bytes::new()).await.unwrap().session_id
}

#[tokio::test]
async fn uploads_and_their_write_modes() {
    let (standin, sdk) = pair(Settings::default()).await;
    let arg = UploadArg::new("/Über/a.txt".to_owned()).with_client_modified("2020-02-03T04:05:06Z".to_owned());
    let first = files::upload(&sdk, &arg, bytes("one")).await.unwrap();
    assert_eq!(first.client_modified, "2020-02-03T04:05:06Z");
    assert_eq!(first.content_hash.as_deref(), Some(&*content_hash(b"one")));
    let same = files::upload(&sdk, &arg, bytes("one")).await.unwrap();
    assert_eq!(same.rev, first.rev);

    let error = files::upload(&sdk, &arg, bytes("two")).await.unwrap_err();
    let Error::Api(files::UploadError::Path(failed)) = error else { panic!("{error}") };
    assert_eq!(failed.reason, WriteError::Conflict(WriteConflictError::File));
    // "this ID may be used to retry the commit with upload_session/finish".
    let done = files::upload_session_finish(&sdk, &finish(&failed.upload_session_id, 3, "/other"), Bytes::new()).await;
    assert_eq!(done.unwrap().content_hash.as_deref(), Some(&*content_hash(b"two")));

    let update = arg.clone().with_mode(WriteMode::Update(first.rev.clone()));
    let second = files::upload(&sdk, &update, bytes("two")).await.unwrap();
    assert_ne!(second.rev, first.rev);
    let stale = update.clone().with_autorename(true);
    let copy = files::upload(&sdk, &stale, bytes("three")).await.unwrap();
    assert_eq!(copy.name, "a (conflicted copy).txt");
    let named = arg.clone().with_autorename(true);
    assert_eq!(files::upload(&sdk, &named, bytes("four")).await.unwrap().name, "a (1).txt");
    let over = arg.clone().with_mode(WriteMode::Overwrite);
    assert_eq!(files::upload(&sdk, &over, bytes("five")).await.unwrap().id, first.id);

    let wrong = UploadArg::new("/hash".to_owned()).with_content_hash(content_hash(b"other"));
    let error = files::upload(&sdk, &wrong, bytes("data")).await.unwrap_err();
    assert!(matches!(error, Error::Api(files::UploadError::ContentHashMismatch)), "{error}");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_sequential_session_from_start_to_finish() {
    let (standin, sdk) = pair(Settings::default()).await;
    let session = files::upload_session_start(&sdk, &UploadSessionStartArg::default(), bytes("abc")).await.unwrap();
    let session = session.session_id;
    assert_eq!(session.len(), 69);
    let arg = UploadSessionAppendArg::new(cursor(&session, 3)).with_content_hash(content_hash(b"def"));
    files::upload_session_append_v2(&sdk, &arg, bytes("def")).await.unwrap();
    let error = files::upload_session_append_v2(&sdk, &arg, bytes("def")).await.unwrap_err();
    let Error::Api(UploadSessionAppendError::IncorrectOffset(offset)) = error else { panic!("{error}") };
    assert_eq!(offset.correct_offset, 6);

    standin.make_folder("/folder");
    let error = files::upload_session_finish(&sdk, &finish(&session, 6, "/folder"), bytes("ghi")).await.unwrap_err();
    let conflict = WriteError::Conflict(WriteConflictError::Folder);
    assert!(matches!(&error, Error::Api(UploadSessionFinishError::Path(why)) if *why == conflict), "{error}");
    // "Data has already been appended to the upload session. Please retry with empty data body and updated offset."
    let done = files::upload_session_finish(&sdk, &finish(&session, 9, "/file"), Bytes::new()).await.unwrap();
    assert_eq!(done.size, 9);
    assert_eq!(standin.content("/file").unwrap().as_ref(), b"abcdefghi");

    let closed = UploadSessionStartArg::default().with_close(true);
    let session = files::upload_session_start(&sdk, &closed, bytes("x")).await.unwrap().session_id;
    let arg = UploadSessionAppendArg::new(cursor(&session, 1));
    let error = files::upload_session_append_v2(&sdk, &arg, bytes("y")).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionAppendError::Closed)), "{error}");
    standin.expire_sessions();
    let error = files::upload_session_append_v2(&sdk, &arg, bytes("y")).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionAppendError::NotFound)), "{error}");
    let error = files::upload_session_finish(&sdk, &finish(&session, 1, "/x"), Bytes::new()).await.unwrap_err();
    let Error::Api(UploadSessionFinishError::LookupFailed(why)) = error else { panic!("{error}") };
    assert_eq!(why, UploadSessionLookupError::NotFound);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_concurrent_session_and_its_errors() {
    let (standin, sdk) = pair(Settings::default()).await;
    let kind = UploadSessionStartArg::default().with_session_type(UploadSessionType::Concurrent);
    let error = files::upload_session_start(&sdk, &kind, bytes("x")).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionStartError::ConcurrentSessionDataNotAllowed)), "{error}");
    let closed = kind.clone().with_close(true);
    let error = files::upload_session_start(&sdk, &closed, Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionStartError::ConcurrentSessionCloseNotAllowed)), "{error}");

    let session = start(&sdk, UploadSessionType::Concurrent).await;
    let part = Bytes::from(vec![5; usize::try_from(BLOCK).unwrap()]);
    let at = |offset| UploadSessionAppendArg::new(cursor(&session, offset));
    let error = files::upload_session_append_v2(&sdk, &at(1), part.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionAppendError::ConcurrentSessionInvalidOffset)), "{error}");
    let error = files::upload_session_append_v2(&sdk, &at(0), bytes("odd")).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionAppendError::ConcurrentSessionInvalidDataSize)), "{error}");
    let (second, first) = (at(BLOCK), at(0));
    let appends = futures_util::future::join(
        files::upload_session_append_v2(&sdk, &second, part.clone()),
        files::upload_session_append_v2(&sdk, &first, part.clone()),
    );
    let (second, first) = appends.await;
    second.and(first).unwrap();
    let whole = 2 * BLOCK + 3;
    let finishing = finish(&session, whole, "/big");
    let error = files::upload_session_finish(&sdk, &finishing, Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionFinishError::ConcurrentSessionNotClosed)), "{error}");
    files::upload_session_append_v2(&sdk, &at(2 * BLOCK).with_close(true), bytes("end")).await.unwrap();
    let error = files::upload_session_finish(&sdk, &finishing, bytes("x")).await.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionFinishError::ConcurrentSessionDataNotAllowed)), "{error}");
    let done = files::upload_session_finish(&sdk, &finishing, Bytes::new()).await.unwrap();
    let data = [&part[..], &part, b"end"].concat();
    assert_eq!(done.content_hash.as_deref(), Some(&*content_hash(&data)));

    let session = start(&sdk, UploadSessionType::Concurrent).await;
    let arg = UploadSessionAppendArg::new(cursor(&session, BLOCK)).with_close(true);
    files::upload_session_append_v2(&sdk, &arg, bytes("end")).await.unwrap();
    let error = files::upload_session_finish(&sdk, &finish(&session, BLOCK + 3, "/hole"), Bytes::new()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Api(UploadSessionFinishError::ConcurrentSessionMissingData)), "{error}");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_batch_of_small_files() {
    let (standin, sdk) = pair(Settings::default()).await;
    standin.set_commit_duration(Duration::from_millis(50));
    let sessions = files::upload_session_start_batch(&sdk, &UploadSessionStartBatchArg::new(3)).await.unwrap();
    let [a, b, c] = <[String; 3]>::try_from(sessions.session_ids).unwrap();
    let entry = |session: &str, offset, length| {
        UploadSessionAppendBatchArgEntry::new(cursor(session, offset), length).with_close(true)
    };
    let entries = vec![entry(&a, 0, 3), entry(&b, 5, 4), entry(&c, 0, 0), entry("unknown", 0, 2)];
    let arg = UploadSessionAppendBatchArg::new(entries).with_content_hash(content_hash(b"aaabbbbxx"));
    let error = files::upload_session_append_batch(&sdk, &arg, bytes("aaabbbb")).await.unwrap_err();
    assert!(matches!(error, Error::Api(files::UploadSessionAppendBatchError::LengthMismatch)), "{error}");
    let error = files::upload_session_append_batch(&sdk, &arg, bytes("aaabbbbxy")).await.unwrap_err();
    assert!(matches!(error, Error::Api(files::UploadSessionAppendBatchError::ContentHashMismatch)), "{error}");
    let done = files::upload_session_append_batch(&sdk, &arg, bytes("aaabbbbxx")).await.unwrap().entries;
    assert_eq!(done[0], UploadSessionAppendBatchResultEntry::Success);
    let UploadSessionAppendBatchResultEntry::Failure(UploadSessionAppendBatchEntryError::IncorrectOffset(at)) =
        &done[1]
    else {
        panic!("{:?}", done[1])
    };
    assert_eq!(at.correct_offset, 0);
    assert_eq!(done[2], UploadSessionAppendBatchResultEntry::Success);
    let lost = UploadSessionAppendBatchResultEntry::Failure(UploadSessionAppendBatchEntryError::NotFound);
    assert_eq!(done[3], lost);

    standin.make_folder("/taken");
    let arg = UploadSessionFinishBatchArg::new(vec![finish(&a, 3, "/taken"), finish(&c, 0, "/empty")]);
    let launched = files::upload_session_finish_batch(&sdk, &arg).await.unwrap();
    let UploadSessionFinishBatchLaunch::AsyncJobId(job) = launched else { panic!("{launched:?}") };
    let poll = PollArg::new(job);
    let status = files::upload_session_finish_batch_check(&sdk, &poll).await.unwrap();
    assert_eq!(status, UploadSessionFinishBatchJobStatus::InProgress);
    assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.running_commits() == 0).await);
    let status = files::upload_session_finish_batch_check(&sdk, &poll).await.unwrap();
    let UploadSessionFinishBatchJobStatus::Complete(done) = status else { panic!("{status:?}") };
    let taken = UploadSessionFinishError::Path(WriteError::Conflict(WriteConflictError::Folder));
    assert_eq!(done.entries[0], UploadSessionFinishBatchResultEntry::Failure(taken));
    let UploadSessionFinishBatchResultEntry::Success(empty) = &done.entries[1] else { panic!("{:?}", done.entries[1]) };
    assert_eq!(empty.content_hash.as_deref(), Some(&*content_hash(b"")));

    // The commit is tried again, not the upload; and once more, as after a lost reply, when the session is gone.
    let arg = UploadSessionFinishBatchArg::new(vec![finish(&a, 3, "/free")]);
    let done = files::upload_session_finish_batch_v2(&sdk, &arg).await.unwrap().entries;
    assert!(matches!(&done[0], UploadSessionFinishBatchResultEntry::Success(file) if file.size == 3), "{done:?}");
    let done = files::upload_session_finish_batch_v2(&sdk, &arg).await.unwrap().entries;
    let gone = UploadSessionFinishError::LookupFailed(UploadSessionLookupError::NotFound);
    assert_eq!(done[0], UploadSessionFinishBatchResultEntry::Failure(gone));
    assert_eq!(standin.revisions("/free").len(), 1);
    assert!(standin.violations().is_empty());
    assert_eq!(standin.data_transport_calls(), 7);
}
