//! The environment as an input, so that a test brings its own.

use std::ffi::OsString;

use stanch_core::{Error, Result};

/// Where variables come from.
pub(crate) struct Env(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Env {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        Self(Box::new(|name| std::env::var_os(name)))
    }

    /// These variables and no other.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables: std::collections::BTreeMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Self(Box::new(move |name| variables.get(name).cloned()))
    }

    /// The variable is there and not blank.
    pub(crate) fn has(&self, name: &str) -> bool {
        (self.0)(name).is_some_and(|value| !value.is_empty())
    }

    /// The variable's text. Blank counts as absent: templates leave variables blank, and every default is the
    /// strictest choice.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`] when it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        let text = value.into_string().map_err(|_| Error::invalid(name, "must be UTF-8"))?;
        Ok(if text.trim().is_empty() { None } else { Some(text) })
    }
}
