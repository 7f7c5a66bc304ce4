//! Folders, moves, copies and earlier revisions: against the stand-in server, and what is on the wire.

use ferrybox::dropbox::{CallError, Launch, Lineage, Metadata, PathRoot, Poll, RelocateEntry, Version};
use ferrybox::model::{Next, RemotePath};
use ferrybox_standin::{Effect, Entries, Fault, Standin};

use crate::script::{Server, json};
use crate::standin::{client, finished};

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

fn relocations<'a>(pairs: &'a [(RemotePath, RemotePath)]) -> Vec<RelocateEntry<'a>> {
    pairs.iter().map(|(from, to)| RelocateEntry { from, to }).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(RemotePath, RemotePath)> {
    list.iter().map(|(from, to)| (path(from), path(to))).collect()
}

#[tokio::test]
async fn folders_are_made_at_once_or_as_a_job() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    standin.write("/file", "x");
    let paths = ["/Ä/b/c", "/file", "/file/below", "/d"].map(path);
    let list: Vec<&RemotePath> = paths.iter().collect();
    let Launch::Done(done) = dropbox.create_folder_batch(&list).await.unwrap() else { panic!("a job for four") };
    let Ok(Metadata::Folder { id, path_display, .. }) = &done[0] else { panic!("{done:?}") };
    assert_eq!((id.is_empty(), path_display.as_deref()), (false, Some("/Ä/b/c")));
    assert!(done[1].as_ref().unwrap_err().is("path/conflict/file"), "{done:?}");
    assert!(done[2].as_ref().unwrap_err().is("path/conflict"), "{done:?}");
    assert!(done[3].is_ok() && standin.folder("/Ä/b/c") && standin.folder("/d"));
    let again = finished(dropbox.create_folder_batch(&[&paths[3]]).await.unwrap(), async |_| panic!()).await;
    let error = again[0].as_ref().unwrap_err();
    assert!(error.is("path/conflict/folder") && error.failure().code == "conflict", "{error:?}");

    let many: Vec<RemotePath> = (0..150).map(|n| path(&format!("/many/{n}"))).collect();
    let list: Vec<&RemotePath> = many.iter().collect();
    let launch = dropbox.create_folder_batch(&list).await.unwrap();
    assert!(matches!(launch, Launch::Job(_)), "{launch:?}");
    let done = finished(launch, async |job| dropbox.create_folder_batch_check(job, 150).await).await;
    assert!(done.len() == 150 && done.iter().all(Result::is_ok), "{done:?}");
    assert!(standin.folder("/many/149"));
    assert!(standin.violations().is_empty(), "{:?}", standin.violations());
}

#[tokio::test]
async fn moves_and_copies_have_a_result_an_entry() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Root);
    standin.write("/tree/in/f", "content");
    standin.write("/a", "a");
    standin.write("/taken", "taken");
    let before = standin.file("/tree/in/f").unwrap();
    let list = pairs(&[("/tree", "/new/Bäum"), ("/nowhere", "/x"), ("/a", "/taken"), ("/a", "/A")]);
    let launch = dropbox.move_batch(&relocations(&list)).await.unwrap();
    let done = finished(launch, async |job| dropbox.move_batch_check(job, list.len()).await).await;
    assert!(matches!(&done[0], Ok(Metadata::Folder { path_display: Some(at), .. }) if at == "/new/Bäum"), "{done:?}");
    let error = done[1].as_ref().unwrap_err();
    assert!(error.is("relocation_error/from_lookup/not_found"), "{done:?}");
    assert_eq!((error.failure().code.as_str(), error.failure().next), ("gone", Next::Look));
    let error = done[2].as_ref().unwrap_err();
    assert!(error.is("relocation_error/to/conflict/file"), "{done:?}");
    assert_eq!(error.failure().code, "conflict");
    // H7: "we do not currently support case-only renaming": two moves, by way of another name.
    let error = done[3].as_ref().unwrap_err();
    assert_eq!((error.failure().code.as_str(), error.failure().next), ("changed", Next::Look), "{done:?}");
    for list in [pairs(&[("/a", "/.a-1")]), pairs(&[("/.a-1", "/A")])] {
        let launch = dropbox.move_batch(&relocations(&list)).await.unwrap();
        let done = finished(launch, async |job| dropbox.move_batch_check(job, 1).await).await;
        let to = list[0].1.as_str();
        assert!(matches!(&done[0], Ok(Metadata::File(file)) if file.path_display.as_deref() == Some(to)), "{done:?}");
    }
    let moved = standin.file("/new/Bäum/in/f").unwrap();
    assert_eq!((moved.id, moved.content_hash), (before.id.clone(), before.content_hash.clone()));
    assert_eq!(standin.file("/tree/in/f"), None);

    let list = pairs(&[("/new/Bäum/in/f", "/copy/f"), ("/copy", "/copy/inside"), ("/nowhere", "/y")]);
    let launch = dropbox.copy_batch(&relocations(&list)).await.unwrap();
    let done = finished(launch, async |job| dropbox.copy_batch_check(job, list.len()).await).await;
    let Ok(Metadata::File(copy)) = &done[0] else { panic!("{done:?}") };
    assert_eq!(copy.content_hash.unwrap().to_string(), before.content_hash);
    assert_ne!(copy.id, before.id);
    assert!(done[2].is_err(), "{done:?}");
    assert!(standin.file("/new/Bäum/in/f").is_some());
    // No bytes, and no data-transport calls.
    assert_eq!((dropbox.bytes_sent(), dropbox.take_transport_counts()), (0, Vec::new()));
    assert!(standin.violations().is_empty(), "{:?}", standin.violations());

    for (tag, code) in [("too_many_write_operations", "rate_limited"), ("internal_error", "server_error")] {
        let what = Effect::EntryFailure { tag: tag.to_owned(), entries: Entries::Index(0) };
        standin.faults().add(Fault::once("files/move_batch_v2", what));
        let list = pairs(&[("/A", "/B"), ("/taken", "/freed")]);
        let launch = dropbox.move_batch(&relocations(&list)).await.unwrap();
        let done = finished(launch, async |job| dropbox.move_batch_check(job, 2).await).await;
        assert_eq!(done[0].as_ref().unwrap_err().failure().code, code);
        let list = pairs(&[("/freed", "/taken")]);
        finished(dropbox.move_batch(&relocations(&list)).await.unwrap(), async |job| {
            dropbox.move_batch_check(job, 1).await
        })
        .await;
    }
    standin.faults().add(Fault::once("files/move_batch/check_v2", Effect::JobForgotten));
    let error = dropbox.move_batch_check("4kd9", 1).await.unwrap_err();
    assert!(error.is("invalid_async_job_id") && error.failure().code == "job", "{error:?}");
    standin.faults().add(Fault::once("files/move_batch_v2", Effect::DropAfter));
    assert!(dropbox.move_batch(&relocations(&pairs(&[("/A", "/Z")]))).await.unwrap_err().outcome_unknown());
}

#[tokio::test]
async fn revisions_are_told_and_restored() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    let revs: Vec<String> = (0..5).map(|n| standin.write("/Ä", n.to_string()).unwrap()).collect();
    let at = path("/Ä");
    let page = dropbox.list_revisions(Lineage::Path(&at), 2, None).await.unwrap();
    let told: Vec<&str> = page.entries.iter().map(|file| file.rev.as_str()).collect();
    assert_eq!(told, [&revs[4], &revs[3]]);
    assert!(page.has_more && !page.is_deleted);
    let rest = dropbox.list_revisions(Lineage::Path(&at), 100, Some(&revs[3])).await.unwrap();
    assert_eq!((rest.entries.len(), rest.has_more), (3, false));
    let id = page.entries[0].id.clone();
    assert!(standin.rename("/Ä", "/moved"));
    let page = dropbox.list_revisions(Lineage::Id(&id), 100, None).await.unwrap();
    assert!(page.entries.iter().any(|file| file.rev == revs[0]), "{page:?}");

    let restored = dropbox.restore(&path("/back"), &revs[1]).await.unwrap();
    assert_eq!(
        (restored.path_display.as_deref(), standin.content("/back").as_deref()),
        (Some("/back"), Some(&b"1"[..]))
    );
    let mut download = dropbox.download(Version::Rev(&restored.rev), None).await.unwrap();
    assert_eq!(download.chunk().await.unwrap().as_deref(), Some(&b"1"[..]));
    standin.delete("/back");
    let page = dropbox.list_revisions(Lineage::Path(&path("/back")), 10, None).await.unwrap();
    assert!(page.is_deleted && page.server_deleted.is_some(), "{page:?}");
    let error = dropbox.restore(&path("/back"), "5f5f5f5f5f5f").await.unwrap_err();
    assert_eq!((error.failure().code.as_str(), error.failure().next), ("gone", Next::Look));
    let error = dropbox.list_revisions(Lineage::Path(&path("/none")), 10, None).await.unwrap_err();
    assert_eq!(error.failure().code, "gone");
}

#[tokio::test]
async fn what_is_asked_is_what_the_specification_says() {
    let server = Server::always(json(200, r#"{".tag": "async_job_id", "async_job_id": "job1"}"#)).await;
    let dropbox = server.client();
    let list = pairs(&[("/a", "/Ä")]);
    let entries = relocations(&list);
    let job = Launch::Job("job1".to_owned());
    assert_eq!(dropbox.create_folder_batch(&[&list[0].1]).await.unwrap(), job);
    assert_eq!(dropbox.move_batch(&entries).await.unwrap(), job);
    assert_eq!(dropbox.copy_batch(&entries).await.unwrap(), job);
    let relocation = serde_json::json!({"entries": [{"from_path": "/a", "to_path": "/Ä"}], "autorename": false});
    let asked: Vec<_> = server.asked().into_iter().map(|asked| (asked.path.clone(), asked.json())).collect();
    let folders = serde_json::json!({"paths": ["/Ä"], "autorename": false, "force_async": false});
    assert_eq!(
        asked,
        [
            ("/2/files/create_folder_batch".to_owned(), folders),
            ("/2/files/move_batch_v2".to_owned(), relocation.clone()),
            ("/2/files/copy_batch_v2".to_owned(), relocation),
        ]
    );
    for (text, over) in [
        (r#"{".tag": "complete", "entries": []}"#, true),
        (r#"{".tag": "complete", "entries": [{".tag": "success"}]}"#, true),
        (r#"{".tag": "complete", "entries": [{".tag": "success", "success": 7, "metadata": 7}]}"#, true),
        (r#"{".tag": "brand_new"}"#, false),
    ] {
        let server = Server::always(json(200, text)).await;
        let dropbox = server.client();
        for polled in [
            dropbox.create_folder_batch_check("j", 1).await,
            dropbox.move_batch_check("j", 1).await,
            dropbox.copy_batch_check("j", 1).await,
        ] {
            // That it is over is said; only what came of it is not.
            let error: CallError = match (polled, over) {
                (Ok(Poll::Unreadable(error)), true) => error.into(),
                (Err(error), false) => error,
                (polled, _) => panic!("{text}: {polled:?}"),
            };
            assert!(matches!(&error, CallError::Transport(_)) && error.outcome_unknown(), "{text}: {error:?}");
        }
    }
    let failed = r#"{".tag": "failed", "failed": {".tag": "too_many_files"}}"#;
    let server = Server::always(json(200, failed)).await;
    let dropbox = server.client();
    let Poll::Failed(error) = dropbox.create_folder_batch_check("j", 1).await.unwrap() else { panic!() };
    assert_eq!(error.failure().code, "too_many_files");
}
