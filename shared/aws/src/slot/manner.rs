//! How a place is written, as part of the slot that names it.

use serde::{Deserialize, Serialize};

/// A way of writing. Two slots that differ in it alone are the same place, so that a record knows the place again, and
/// the first *before* of it, when the containment is brought back in another way.
#[derive(Clone, Copy, Debug, Default, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manner<T>(pub T);

impl<T> PartialEq for Manner<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
