//! From a command line to the function that does it, and to its exit code.

use super::{
    Error, Out,
    args::{Cli, Command, Demo},
    care, check,
    daemon::{Daemon, config_path},
    export, password, reindex, services, show, simulate, verify,
};
use crate::{
    app::{self, DemoOptions},
    config::Env,
};
use clap::Parser;
use std::ffi::OsString;

/// Runs one command line, the program's name first. The exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, env: &Env, out: &mut Out) -> u8 {
    let outcome = match Cli::try_parse_from(args) {
        Ok(cli) => dispatch(cli.command, env, out),
        // `--help` and `--version` come this way too, as answers and not as complaints.
        Err(e) if e.use_stderr() => {
            out.complain(e.render().to_string().trim_end());
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
        Err(e) => {
            out.text(e.render().to_string());
            Ok(())
        }
    };
    let outcome = outcome.and_then(|()| out.finish().map_err(Error::Output));
    outcome.map_or_else(
        |e| {
            out.complain(e.to_string());
            e.exit_code()
        },
        |()| 0,
    )
}

fn dispatch(command: Command, env: &Env, out: &mut Out) -> Result<(), Error> {
    match command {
        Command::CheckConfig(args) => check::check_config(&args, env, out),
        Command::ImportNginx(args) => check::import_nginx(&args, out),
        Command::Simulate(args) => many_threads(simulate::simulate(args, out)),
        Command::Status(args) => one_thread(show::status(&Daemon::of(&args, env)?, &args, out)),
        Command::Cameras(args) => one_thread(show::cameras(&Daemon::of(&args, env)?, &args, out)),
        Command::Recordings(args) => one_thread(show::recordings(&Daemon::of(&args.admin, env)?, &args, out)),
        Command::Export(args) => one_thread(export::export(&Daemon::of(&args.admin, env)?, &args, out)),
        Command::Reindex(args) => one_thread(reindex::reindex(&args, env, out)),
        Command::Verify(args) => one_thread(verify::verify(&args, env, out)),
        Command::Backup(args) => one_thread(care::backup(&args, env, out)),
        Command::Restore(args) => care::restore(&args, env, out),
        Command::Run(args) => Ok(app::run(&config_path(&args, env), env.clone())?),
        Command::Demo(args) => {
            let Demo { channels, dir, length, codec } = args;
            let options = DemoOptions { channels, dir, run_for: length, codec: simulate::codec(codec) };
            Ok(app::demo(&options, env, out)?)
        }
        Command::Services(args) => one_thread(services::services(&Daemon::of(&args, env)?, &args, out)),
        Command::Jobs(_) => Err(Error::NotBuilt("jobs")),
        Command::HashPassword => password::hash_password(out),
    }
}

/// Runs a client's work, which waits for one answer at a time.
pub(super) fn one_thread<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?.block_on(work)
}

/// Runs what has many things to do at once.
fn many_threads<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start)?.block_on(work)
}
