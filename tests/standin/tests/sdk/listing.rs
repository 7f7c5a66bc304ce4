use std::time::Duration;

use dropbox_sdk::Error;
use dropbox_sdk::async_routes::files::{self, Metadata};
use ferrybox_standin::Settings;

use crate::client::{Sdk, pair, read};

fn names(entries: &[Metadata]) -> Vec<String> {
    let name = |entry: &Metadata| match entry {
        Metadata::File(file) => file.path_display.clone().unwrap(),
        Metadata::Folder(folder) => format!("{}/", folder.path_display.clone().unwrap()),
        Metadata::Deleted(deleted) => format!("-{}", deleted.path_display.clone().unwrap()),
    };
    entries.iter().map(name).collect()
}

/// What `continue` gives until there is no more, and the last cursor.
async fn to_the_end(sdk: &Sdk, mut cursor: String) -> (Vec<String>, String) {
    let mut found = Vec::new();
    loop {
        let page = files::list_folder_continue(sdk, &files::ListFolderContinueArg::new(cursor)).await.unwrap();
        found.extend(names(&page.entries));
        cursor = page.cursor;
        if !page.has_more {
            return (found, cursor);
        }
    }
}

#[tokio::test]
async fn a_listing_comes_in_pages_and_then_changes_follow() {
    let (standin, sdk) = pair(Settings::default()).await;
    for path in ["/A/one", "/A/Two", "/A/sub/three", "/b"] {
        standin.write(path, path).unwrap();
    }

    let arg = files::ListFolderArg::new(String::new()).with_recursive(true).with_limit(2);
    let first = files::list_folder(&sdk, &arg).await.unwrap();
    assert!(first.has_more && first.entries.len() == 2);
    let mut found = names(&first.entries);
    let (rest, cursor) = to_the_end(&sdk, first.cursor).await;
    found.extend(rest);
    assert_eq!(found, ["/A/", "/A/one", "/A/sub/", "/A/sub/three", "/A/Two", "/b"]);

    standin.delete("/A/sub");
    standin.rename("/b", "/B2");
    let (changes, _) = to_the_end(&sdk, cursor).await;
    assert_eq!(changes, ["-/A/sub", "-/b", "/B2"]);
    let flat = files::list_folder(&sdk, &files::ListFolderArg::new("/a".to_owned())).await.unwrap();
    assert_eq!(names(&flat.entries), ["/A/one", "/A/Two"]);
    let deleted = files::ListFolderArg::new(String::new()).with_include_deleted(true);
    assert_eq!(names(&files::list_folder(&sdk, &deleted).await.unwrap().entries), ["/A/", "-/b", "/B2"]);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn listing_errors_are_the_specification_s() {
    let (standin, sdk) = pair(Settings::default()).await;
    standin.write("/file", "x").unwrap();
    let lookup = |error| match error {
        Error::Api(files::ListFolderError::Path(error)) => error,
        other => panic!("{other}"),
    };
    let list = async |path: &str| files::list_folder(&sdk, &files::ListFolderArg::new(path.to_owned())).await;
    assert_eq!(lookup(list("/none").await.unwrap_err()), files::LookupError::NotFound);
    assert_eq!(lookup(list("/file").await.unwrap_err()), files::LookupError::NotFolder);

    let cursor = list("").await.unwrap().cursor;
    standin.reset_cursors();
    let error = files::list_folder_continue(&sdk, &files::ListFolderContinueArg::new(cursor)).await.unwrap_err();
    assert!(matches!(error, Error::Api(files::ListFolderContinueError::Reset)), "{error}");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_longpoll_ends_when_something_changes() {
    let settings = Settings { longpoll_limit: Some(Duration::from_secs(30)), ..Settings::default() };
    let (standin, sdk) = pair(settings).await;
    let arg = files::ListFolderArg::new(String::new()).with_recursive(true);
    let cursor = files::list_folder_get_latest_cursor(&sdk, &arg).await.unwrap().cursor;
    let anonymous = Sdk::new(&standin.url(), None);
    let poll = files::ListFolderLongpollArg::new(cursor);

    let change = async {
        let began = |standin: &ferrybox_standin::Standin| standin.calls_of("files/list_folder/longpoll") == 1;
        assert!(standin.wait_for(Duration::from_secs(10), began).await);
        standin.write("/new", "x").unwrap();
    };
    let (result, ()) = futures_util::future::join(files::list_folder_longpoll(&anonymous, &poll), change).await;
    assert!(result.unwrap().changes);
    assert!(standin.violations().is_empty());

    standin.set(|settings| settings.longpoll_limit = Some(Duration::ZERO));
    standin.set_longpoll_backoff(Some(9));
    let quiet = files::list_folder_get_latest_cursor(&sdk, &arg).await.unwrap().cursor;
    let result = files::list_folder_longpoll(&anonymous, &files::ListFolderLongpollArg::new(quiet)).await.unwrap();
    assert_eq!((result.changes, result.backoff), (false, Some(9)));
}

#[tokio::test]
async fn metadata_downloads_and_revisions() {
    let (standin, sdk) = pair(Settings::default()).await;
    let first = standin.write("/Dir/Bücher.txt", "first").unwrap();
    standin.write("/dir/bücher.TXT", "the second").unwrap();

    let found = files::get_metadata(&sdk, &files::GetMetadataArg::new("/DIR/BÜCHER.TXT".to_owned())).await.unwrap();
    let Metadata::File(file) = found else { panic!("{found:?}") };
    assert_eq!(file.path_display.as_deref(), Some("/Dir/Bücher.txt"));
    assert_eq!((file.size, file.path_lower.as_deref()), (10, Some("/dir/bücher.txt")));
    for path in [file.id.clone(), format!("rev:{}", file.rev), "/dir/bücher.txt".to_owned()] {
        let result = files::download(&sdk, &files::DownloadArg::new(path), None, None).await.unwrap();
        assert_eq!(result.result.rev, file.rev);
        assert_eq!(read(result.body.unwrap()).await, b"the second");
    }
    let old = files::DownloadArg::new(format!("rev:{first}"));
    let part = files::download(&sdk, &old, Some(1), Some(3)).await.unwrap();
    assert_eq!(read(part.body.unwrap()).await, b"irs");

    let revisions = files::list_revisions(&sdk, &files::ListRevisionsArg::new(file.id.clone())).await.unwrap();
    assert_eq!(revisions.entries.iter().map(|entry| entry.rev.clone()).collect::<Vec<_>>(), [file.rev, first.clone()]);
    let restored = files::restore(&sdk, &files::RestoreArg::new("/dir/bücher.txt".to_owned(), first.clone())).await;
    assert_eq!(restored.unwrap().size, 5);
    assert_eq!(standin.revisions("/dir/bücher.txt").len(), 3);

    let lost = files::RestoreArg::new("/dir/bücher.txt".to_owned(), "fffffffffff".to_owned());
    let error = files::restore(&sdk, &lost).await.unwrap_err();
    assert!(matches!(error, Error::Api(files::RestoreError::InvalidRevision)), "{error}");
    let gone = files::download(&sdk, &files::DownloadArg::new("/none".to_owned()), None, None).await.err().unwrap();
    assert!(matches!(gone, Error::Api(files::DownloadError::Path(files::LookupError::NotFound))), "{gone}");
    standin.delete("/dir");
    let deleted = files::GetMetadataArg::new("/dir/bücher.txt".to_owned()).with_include_deleted(true);
    assert!(matches!(files::get_metadata(&sdk, &deleted).await.unwrap(), Metadata::Deleted(_)));
    let revisions = files::ListRevisionsArg::new("/dir/bücher.txt".to_owned()).with_limit(1);
    let revisions = files::list_revisions(&sdk, &revisions).await.unwrap();
    assert!(revisions.is_deleted && revisions.has_more && revisions.server_deleted.is_some());
    assert!(standin.violations().is_empty());
}
