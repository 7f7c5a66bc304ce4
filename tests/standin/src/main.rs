//! The stand-in server by hand: prints its address as one line of JSON, and runs until it is stopped.

use std::io::Write as _;
use std::time::Duration;

use clap::Parser;
use ferrybox_standin::{Contents, Folding, Overlap, Pace, RepeatedFinish, Settings, Standin};

/// A stand-in Dropbox server for tests and demos. It listens on 127.0.0.1 and keeps everything in memory.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Files and folders to begin with
    #[arg(long, default_value_t = 0)]
    seed_entries: usize,
    /// Delay before each request is processed, in milliseconds
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// How long a batch takes to commit, in milliseconds
    #[arg(long, default_value_t = 0)]
    commit_duration: u64,
    /// How long each entry of a batch adds to that, in milliseconds
    #[arg(long, default_value_t = 0)]
    commit_per_entry: u64,
    /// Bytes a second of each connection
    #[arg(long)]
    bandwidth: Option<u64>,
    /// An access token that is valid from the start and never expires
    #[arg(long)]
    token: Option<String>,
    /// Life of access tokens, in seconds
    #[arg(long, default_value_t = 14_400)]
    token_life: u64,
    /// The largest page of a listing
    #[arg(long, default_value_t = 2000)]
    page_size: usize,
    /// The largest sum of header names and values, in bytes
    #[arg(long, default_value_t = 61_440)]
    header_cap: usize,
    /// The longest wait of a longpoll, in milliseconds
    #[arg(long)]
    longpoll_limit: Option<u64>,
    /// Keep no file contents, only hashes
    #[arg(long)]
    hash_only: bool,
    /// Recursive listings have no entry for a folder that something is in
    #[arg(long)]
    parents_unlisted: bool,
    /// A first listing is reset after this many pages
    #[arg(long)]
    listing_breaks_after: Option<u64>,
    /// Data transport calls that the account may make
    #[arg(long)]
    transport_limit: Option<u64>,
    /// The language in which more are refused: en, de, fr or ja
    #[arg(long, default_value = "en")]
    transport_locale: String,
    /// Batches that overlap succeed, and are a violation only
    #[arg(long)]
    overlaps_succeed: bool,
    /// A session that was committed can be committed again
    #[arg(long)]
    finish_again: bool,
    /// How long a new folder at the top refuses what is written in it, in milliseconds
    #[arg(long, default_value_t = 0)]
    top_folders_settle: u64,
    /// The app sees nothing but a folder of its own
    #[arg(long)]
    app_folder: bool,
    /// How long after a change cursors tell of it, in milliseconds
    #[arg(long, default_value_t = 0)]
    listing_lag: u64,
    /// Case is folded as by a service with an older Unicode
    #[arg(long)]
    service_folding: bool,
    /// Seed of names and probabilities
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let millis = Duration::from_millis;
    let mut settings = Settings {
        port: arguments.port,
        contents: if arguments.hash_only { Contents::HashOnly } else { Contents::Keep },
        latency: millis(arguments.latency),
        commit: Pace { per_batch: millis(arguments.commit_duration), per_entry: millis(arguments.commit_per_entry) },
        bandwidth: arguments.bandwidth,
        token: arguments.token,
        token_life: Duration::from_secs(arguments.token_life),
        page_size: arguments.page_size,
        header_cap: arguments.header_cap,
        longpoll_limit: arguments.longpoll_limit.map(millis),
        parents_unlisted: arguments.parents_unlisted,
        listing_breaks_after: arguments.listing_breaks_after,
        top_folders_settle: millis(arguments.top_folders_settle),
        listing_lag: millis(arguments.listing_lag),
        app_folder: arguments.app_folder,
        transport_limit: arguments.transport_limit,
        transport_locale: arguments.transport_locale,
        seed: arguments.seed,
        ..Settings::default()
    };
    if arguments.overlaps_succeed {
        settings.overlap = Overlap::Succeeds;
    }
    if arguments.finish_again {
        settings.repeated_finish = RepeatedFinish::CommitsAgain;
    }
    if arguments.service_folding {
        settings.folding = Folding::Service;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let standin = Standin::start(settings).await?;
        if arguments.seed_entries > 0 {
            standin.generate("", arguments.seed_entries);
        }
        let ready = serde_json::json!({
            "url": standin.url(),
            "port": standin.address().port(),
            "account_id": standin.account_id(),
            "refresh_token": standin.refresh_token(),
            "access_token": standin.short_lived_token(),
        });
        let mut out = std::io::stdout();
        writeln!(out, "{ready}")?;
        out.flush()?;
        tokio::signal::ctrl_c().await
    })
}
