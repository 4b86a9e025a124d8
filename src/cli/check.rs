//! `check-config`: all faults, or what the config comes to. `import-nginx`: what another one comes to.

use super::{
    Out,
    args::{CheckConfig, ImportNginx},
    daemon::config_path,
    error::Error,
};
use crate::config::{self, Env};

/// `skyvis check-config`
pub(super) fn check_config(args: &CheckConfig, env: &Env, out: &mut Out) -> Result<(), Error> {
    let path = config_path(&args.file, env);
    let config = config::load(&path, env)?;
    match (args.print, args.json) {
        (true, true) => out.json(&config.to_view()),
        (true, false) => out.text(config.to_toml()),
        (false, _) => {
            let devices = match config.devices.len() {
                1 => "1 device".to_owned(),
                n => format!("{n} devices"),
            };
            out.line(format!("{}: fine, {devices}", path.display()));
        }
    }
    Ok(())
}

/// `skyvis import-nginx`
pub(super) fn import_nginx(args: &ImportNginx, out: &mut Out) -> Result<(), Error> {
    let imported = config::nginx::import(&args.file).map_err(Error::Nginx)?;
    out.text(imported.toml);
    if imported.left > 0 {
        out.complain(format!("{} directives were not taken over; the comments at the top say why", imported.left));
    }
    Ok(())
}
