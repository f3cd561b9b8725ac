//! What every host needs to know, read once at the start: a wrong setting ends the process before it can do harm.

use std::{path::PathBuf, time::Duration};

use stanch_core::{Error, Guard, Result, names::AccountId, target::Cluster};
use stanch_signals::Limits;

use crate::{env::Env, yaml};

/// How long one delivery may take where nothing is said: Cloud Run's own default.
const TIMEOUT: Duration = Duration::from_mins(5);

/// The largest body that can be allowed, in KiB: a message of Pub/Sub (10 MB) in base64, with room.
const MOST_KIB: usize = 16 * 1024;

/// Who runs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A person.
    Terminal,
    /// A platform, for detectors.
    Function,
}

/// The settings.
#[derive(Debug)]
pub(crate) struct Config {
    /// Plan and report only.
    pub(crate) observe: bool,
    pub(crate) guard: Guard,
    pub(crate) ledger: Ledger,
    /// How detectors' events are read.
    pub(crate) signals: Signals,
    /// How long one delivery may take.
    pub(crate) timeout: Duration,
}

/// What the decoder of events knows besides the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// The cluster of what names none.
    pub(crate) cluster: Option<Cluster>,
    /// The accounts that may speak for others.
    pub(crate) detector_accounts: Vec<AccountId>,
    pub(crate) limits: Limits,
}

/// `KIND:PLACE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) kind: String,
    pub(crate) place: String,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the variable and the field.
    pub(crate) fn read(env: &Env, place: Place) -> Result<Self> {
        let observe = match env.text("STANCH_MODE")?.as_deref().map(str::trim) {
            None | Some("observe") => true,
            Some("enforce") => false,
            Some(_) => return Err(Error::invalid("STANCH_MODE", "must be observe or enforce")),
        };
        let guard = match env.text("STANCH_GUARD")? {
            Some(text) => yaml::setting::<Guard>("STANCH_GUARD", &text)?.validated()?,
            None => Guard::default(),
        };
        let timeout = match env.text("STANCH_TIMEOUT")? {
            Some(text) => match text.trim().parse::<u32>() {
                Ok(seconds @ 1..=3600) => Duration::from_secs(seconds.into()),
                _ => return Err(Error::invalid("STANCH_TIMEOUT", "must be 1 to 3600 seconds")),
            },
            None => TIMEOUT,
        };
        // A person who types `apply` means it; what only watches is what nobody watches.
        let observe = observe && place == Place::Function;
        Ok(Self { observe, guard, ledger: Ledger::read(env, place)?, signals: Signals::read(env)?, timeout })
    }
}

impl Signals {
    fn read(env: &Env) -> Result<Self> {
        let cluster = env
            .text("STANCH_CLUSTER")?
            .map(|text| text.trim().parse::<Cluster>().map_err(|error| error.within("STANCH_CLUSTER")))
            .transpose()?;
        let accounts = env.text("STANCH_DETECTOR_ACCOUNTS")?.unwrap_or_default();
        let accounts = accounts.split(',').map(str::trim).filter(|text| !text.is_empty());
        let detector_accounts = accounts
            .map(|text| text.parse().map_err(|error: Error| error.within("STANCH_DETECTOR_ACCOUNTS")))
            .collect::<Result<_>>()?;
        let mut limits = Limits::default();
        if let Some(text) = env.text("STANCH_BODY_LIMIT")? {
            limits.body = match text.trim().parse::<usize>() {
                Ok(kib @ 256..=MOST_KIB) => kib * 1024,
                _ => return Err(Error::invalid("STANCH_BODY_LIMIT", "must be 256 to 16384 KiB")),
            };
        }
        Ok(Self { cluster, detector_accounts, limits })
    }
}

impl Ledger {
    fn read(env: &Env, place: Place) -> Result<Self> {
        let Some(text) = env.text("STANCH_LEDGER")? else {
            return match place {
                Place::Terminal => Ok(Self { kind: "sqlite".to_owned(), place: state_file(env)? }),
                // A function's own disk is gone with its instance, and with it all that undo needs.
                Place::Function => {
                    Err(Error::invalid("STANCH_LEDGER", "must be set where no person is at the terminal"))
                }
            };
        };
        match text.trim().split_once(':') {
            Some((kind, place)) if !kind.is_empty() && !place.is_empty() => {
                Ok(Self { kind: kind.to_owned(), place: place.to_owned() })
            }
            _ => Err(Error::invalid("STANCH_LEDGER", "must be KIND:PLACE, e.g. sqlite:/var/lib/stanch/ledger.db")),
        }
    }
}

/// The ledger in the XDG state folder, whose folder is made if it is not there.
fn state_file(env: &Env) -> Result<String> {
    let base = match env.text("XDG_STATE_HOME")?.map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(path) => path,
        None => match env.text("HOME")? {
            Some(home) => PathBuf::from(home).join(".local/state"),
            None => return Err(Error::invalid("STANCH_LEDGER", "must be set where there is no HOME")),
        },
    };
    let folder = base.join("stanch");
    private_folder(&folder).map_err(|error| {
        Error::invalid("STANCH_LEDGER", format!("{} cannot be made", folder.display())).because(error)
    })?;
    folder
        .join("ledger.db")
        .into_os_string()
        .into_string()
        .map_err(|_| Error::invalid("STANCH_LEDGER", "the state folder's name must be UTF-8"))
}

/// The ledger says what was found and what is watched: for its owner only.
fn private_folder(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(variables: &[(&str, &str)]) -> Result<Config> {
        let mut all = vec![("STANCH_LEDGER", "sqlite:/x")];
        all.extend(variables);
        Config::read(&Env::of(&all), Place::Function)
    }

    #[test]
    fn observe_is_the_default_of_functions_only() -> Result<()> {
        assert!(function(&[])?.observe);
        assert!(function(&[("STANCH_MODE", "observe")])?.observe);
        assert!(!function(&[("STANCH_MODE", "enforce")])?.observe);
        let terminal = Env::of(&[("STANCH_LEDGER", "sqlite:/x"), ("STANCH_MODE", "observe")]);
        assert!(!Config::read(&terminal, Place::Terminal)?.observe);
        Ok(())
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (name, value) in [
            ("STANCH_MODE", "Enforce"),
            ("STANCH_MODE", "on"),
            ("STANCH_GUARD", "severity_floor: hgih"),
            ("STANCH_GUARD", "/no/such/file"),
            ("STANCH_LEDGER", "somewhere"),
            ("STANCH_LEDGER", "sqlite:"),
            ("STANCH_CLUSTER", "prod"),
            ("STANCH_TIMEOUT", "0"),
            ("STANCH_TIMEOUT", "1h"),
            ("STANCH_DETECTOR_ACCOUNTS", "111122223333,prod"),
            ("STANCH_BODY_LIMIT", "1MiB"),
            ("STANCH_BODY_LIMIT", "16385"),
        ] {
            let error = function(&[(name, value)]).expect_err(value).to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn how_events_are_read_can_be_set() -> Result<()> {
        let signals = function(&[])?.signals;
        assert_eq!((signals.detector_accounts.len(), signals.limits.body), (0, 1024 * 1024));
        let signals =
            function(&[("STANCH_DETECTOR_ACCOUNTS", "111122223333, 444455556666,"), ("STANCH_BODY_LIMIT", "12288")])?
                .signals;
        assert_eq!((signals.detector_accounts.len(), signals.limits.body), (2, 12 * 1024 * 1024));
        Ok(())
    }

    #[test]
    fn a_function_has_no_default_ledger_and_a_terminal_has() -> std::io::Result<()> {
        assert!(Config::read(&Env::of(&[]), Place::Function).is_err());
        let state = std::env::temp_dir().join(format!("stanch-state-{}", std::process::id()));
        let text = state.display().to_string();
        let config = Config::read(&Env::of(&[("XDG_STATE_HOME", &text)]), Place::Terminal).expect("default");
        assert_eq!(config.ledger.place, format!("{text}/stanch/ledger.db"));
        std::fs::remove_dir_all(state)
    }
}
