//! `export`: footage to a file.

use super::{
    Out, args,
    daemon::{Daemon, query},
    error::Error,
    save::{Target, fill, unless_interrupted},
    when,
};
use crate::{
    base::{Clock, units::Human},
    model::StreamKey,
};
use http::Method;
use serde_json::json;

/// `skyvis export`
pub(super) async fn export(daemon: &Daemon, args: &args::Export, out: &mut Out) -> Result<(), Error> {
    let now = Clock::real().wall();
    let stream: StreamKey = args.stream.parse()?;
    let (from, to) = (when::parse(&args.from, now)?, when::parse(&args.to, now)?);
    if from >= to {
        return Err(Error::Usage(format!("--from {from} is not before --to {to}; swap them")));
    }
    let times = query(&[("from", &from.to_string()), ("to", &to.to_string())]);
    let path = format!("/media/{stream}/vod.mp4?{times}");
    let work = async {
        let mut target = Target::begin(&args.output, args.force)?;
        let (download, length) = daemon.download(Method::GET, &path).await?;
        fill(&mut target, daemon, download, length).await?;
        target.keep()
    };
    let bytes = unless_interrupted(work, "nothing was kept").await?;
    match args.admin.json {
        true => out.json(&json!({ "file": args.output, "bytes": bytes, "stream": stream, "from": from, "to": to })),
        false => out.line(format!("{}: {}", args.output.display(), Human(bytes))),
    }
    Ok(())
}
