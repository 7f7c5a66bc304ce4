//! The wire against the stand-in server, which is written from Dropbox's specification and is itself tried with Dropbox's own SDK.

use bytes::Bytes;
use ferrybox::dropbox::{
    AppendEntry, Body, CallError, Credentials, DeleteEntry, Dropbox, Endpoints, FinishEntry, Launch, Metadata,
    PathRoot, Poll, Settings, Tokens,
};
use ferrybox::model::{RemotePath, WriteMode};
use ferrybox_standin::{Effect, Fault, Standin};

use crate::poll::{PATIENCE, look_for_async};

pub(crate) fn client(standin: &Standin, path_root: PathRoot) -> Dropbox {
    let url = standin.url();
    let mut settings = Settings::new(Endpoints::new(&url, &url, &url, &url).unwrap());
    settings.path_root = path_root;
    let refresh_token = standin.refresh_token().into();
    Dropbox::new(settings, Tokens::new("home", Credentials::Refresh { refresh_token, app_key: "key".to_owned() }))
        .unwrap()
}

pub(crate) async fn finished<T>(
    launch: Launch<T>,
    check: impl AsyncFn(&str) -> Result<Poll<T>, CallError>,
) -> Vec<Result<T, ferrybox::dropbox::EntryError>> {
    let job = match launch {
        Launch::Done(done) => return done,
        Launch::Job(job) => job,
        Launch::Unreadable(error) => panic!("{error:?}"),
    };
    let done = look_for_async(PATIENCE, async || match check(&job).await.unwrap() {
        Poll::Done(done) => Some(done),
        Poll::Failed(e) => panic!("{e:?}"),
        Poll::Unreadable(error) => panic!("{error:?}"),
        Poll::InProgress => None,
    });
    done.await.unwrap_or_else(|| panic!("the job never ended"))
}

#[tokio::test]
async fn the_whole_way_of_small_files_and_of_a_large_one() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Root);
    let account = dropbox.current_account().await.unwrap();
    assert_eq!(account.account_id, standin.account_id());
    dropbox.check_user().await.unwrap();
    assert!(dropbox.space_usage().await.unwrap().allocated > 0);

    let contents: Vec<Bytes> = (0..30_u8).map(|i| Bytes::from(vec![i; usize::from(i) * 1_000])).collect();
    let sessions = dropbox.start_batch(contents.len()).await.unwrap();
    let entries: Vec<_> = sessions
        .iter()
        .zip(&contents)
        .map(|(s, c)| AppendEntry { session: s.clone(), offset: 0, length: c.len() as u64, close: true })
        .collect();
    let appended = dropbox.append_batch(&entries, Body::from_bytes(contents.clone())).await.unwrap();
    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    // A lost reply: what was sent twice names the offset that was reached, or says that it is closed.
    let again = dropbox.append_batch(&entries, Body::from_bytes(contents.clone())).await.unwrap();
    for (entry, result) in entries.iter().zip(again) {
        let error = result.unwrap_err();
        assert!(error.is("closed") || error.correct_offset() == Some(entry.length), "{error:?}");
    }
    let paths: Vec<_> = (0..30).map(|i| RemotePath::parse(&format!("/Ördner/🦀 {i}.bin")).unwrap()).collect();
    let at = Some("2026-01-02T03:04:05.6Z".parse().unwrap());
    let commits: Vec<_> = entries
        .iter()
        .zip(&paths)
        .map(|(e, to)| FinishEntry {
            session: &e.session,
            offset: e.length,
            to,
            mode: &WriteMode::Add,
            client_modified: at,
            mute: true,
        })
        .collect();
    let launch = dropbox.finish_batch(&commits).await.unwrap();
    let done = finished(launch, async |job| dropbox.finish_batch_check(job, commits.len()).await).await;
    for ((result, path), content) in done.iter().zip(&paths).zip(&contents) {
        let file = result.as_ref().unwrap();
        assert_eq!(file.content_hash, Some(Body::from_bytes(vec![content.clone()]).content_hash()));
        assert_eq!(standin.file(path.as_str()).unwrap().rev, file.rev);
        assert_eq!(standin.file(path.as_str()).unwrap().client_modified, "2026-01-02T03:04:05Z");
    }

    // A large file in parts, the last one first to arrive but for the close.
    let session = dropbox.start_session(true).await.unwrap();
    let (part, rest) = (Bytes::from(vec![1; 4 << 20]), Bytes::from_static(b"the rest"));
    dropbox.append(&session, 4 << 20, false, Body::from_bytes(vec![part.clone()])).await.unwrap();
    dropbox.append(&session, 0, false, Body::from_bytes(vec![part.clone()])).await.unwrap();
    dropbox.append(&session, 8 << 20, true, Body::from_bytes(vec![rest.clone()])).await.unwrap();
    let whole = Body::from_bytes(vec![part.clone(), part, rest]);
    let old = done[0].as_ref().unwrap();
    let mode = WriteMode::Update(old.rev.clone());
    let entry = FinishEntry {
        session: &session,
        offset: whole.len(),
        to: &paths[0],
        mode: &mode,
        client_modified: None,
        mute: true,
    };
    let file = dropbox.finish(&entry).await.unwrap();
    assert_eq!(file.content_hash, Some(whole.content_hash()));
    let Some(Metadata::File(seen)) = dropbox.get_metadata(&paths[0]).await.unwrap() else { panic!() };
    assert_eq!(seen, file);

    let gone = RemotePath::parse("/nowhere").unwrap();
    assert_eq!(dropbox.get_metadata(&gone).await.unwrap(), None);
    let rev = done[1].as_ref().unwrap().rev.clone();
    let entries =
        [DeleteEntry { path: &paths[1], parent_rev: Some(&rev) }, DeleteEntry { path: &gone, parent_rev: None }];
    let launch = dropbox.delete_batch(&entries).await.unwrap();
    let deleted = finished(launch, async |job| dropbox.delete_batch_check(job, 2).await).await;
    assert!(deleted[0].is_ok(), "{deleted:?}");
    assert!(deleted[1].as_ref().unwrap_err().is("path_lookup/not_found"), "{deleted:?}");
    assert_eq!(standin.file(paths[1].as_str()), None);
    let counted: u64 = dropbox.take_transport_counts().iter().map(|(_, n)| n).sum();
    assert_eq!(counted, standin.data_transport_calls());
}

#[tokio::test]
async fn what_the_stand_in_can_break() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    dropbox.check_user().await.unwrap();
    standin.expire_tokens();
    dropbox.check_user().await.unwrap();
    assert_eq!(standin.calls_of("oauth2/token"), 2);

    let session = dropbox.start_session(false).await.unwrap();
    standin.faults().add(Fault::once("files/upload_session/append_v2", Effect::DropAfter));
    let body = || Body::from_bytes(vec![Bytes::from_static(b"abc")]);
    let error = dropbox.append(&session, 0, true, body()).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    let error = dropbox.append(&session, 0, true, body()).await.unwrap_err();
    assert!(error.is("incorrect_offset") || error.is("closed"), "{error:?}");

    standin.set(|s| s.header_cap = 20_000);
    let sessions = dropbox.start_batch(400).await.unwrap();
    let entries: Vec<_> =
        sessions.into_iter().map(|session| AppendEntry { session, offset: 0, length: 0, close: true }).collect();
    let error = dropbox.append_batch(&entries, Body::from_bytes(Vec::new())).await.unwrap_err();
    assert!(error.header_too_large(), "{error:?}");

    standin.set(|s| s.unknown_routes = vec!["files/upload_session/finish_batch".to_owned()]);
    let to = RemotePath::parse("/a").unwrap();
    let entry =
        FinishEntry { session: &session, offset: 3, to: &to, mode: &WriteMode::Add, client_modified: None, mute: true };
    let error = dropbox.finish_batch(&[entry]).await.unwrap_err();
    assert!(error.unknown_route(), "{error:?}");
    assert!(dropbox.finish_batch_v2(&[entry]).await.unwrap()[0].is_ok());

    standin.revoke_refresh();
    assert_eq!(dropbox.check_user().await.unwrap_err().failure().code, "auth_required");
}
