//! Which pods leave, which stay, and which stop the drain.

use std::collections::BTreeMap;

use stanch_core::{Error, Result, target::Pod};
use stanch_k8s::Lodger;

use crate::Options;

/// What a person puts on a pod that must stay (Google, "Mitigating security incidents"; `kubectl drain
/// --pod-selector='!quarantine'`), and what our own isolation puts there.
const QUARANTINED: [&str; 2] = ["quarantine", "stanch.dev/isolate"];
/// How many pods one line names.
const SHOWN: usize = 12;

/// Why a pod stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stay {
    Quarantined,
    Accused,
    Ours,
    DaemonSet,
    Mirror,
}

impl Stay {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Accused => "accused (isolate it before the node's other pods go)",
            Self::Ours => "our own",
            Self::DaemonSet => "of DaemonSets, which would make them again",
            Self::Mirror => "static, which only the node itself ends",
        }
    }
}

pub(crate) struct Sorted {
    pub(crate) leaving: Vec<Lodger>,
    pub(crate) staying: BTreeMap<Stay, Vec<Lodger>>,
}

pub(crate) fn sort(lodgers: Vec<Lodger>, accused: Option<&Pod>) -> Sorted {
    let mut sorted = Sorted { leaving: Vec::new(), staying: BTreeMap::new() };
    for lodger in lodgers {
        let stay = if QUARANTINED.iter().any(|label| lodger.pod.labels.contains_key(*label)) {
            Some(Stay::Quarantined)
        } else if lodger.is(accused) {
            Some(Stay::Accused)
        } else if lodger.ours {
            Some(Stay::Ours)
        } else if lodger.is_mirror() {
            Some(Stay::Mirror)
        } else if lodger.pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet") {
            Some(Stay::DaemonSet)
        } else {
            None
        };
        match stay {
            Some(stay) => sorted.staying.entry(stay).or_default().push(lodger),
            None => sorted.leaving.push(lodger),
        }
    }
    sorted
}

/// Everything that stops the drain, at once: a person answers all of it with one further order. What has ended harms
/// nobody by going.
pub(crate) fn refuse(leaving: &[Lodger], options: Options) -> Result<()> {
    let running = || leaving.iter().filter(|lodger| !lodger.pod.has_ended());
    let data: Vec<_> = running().filter(|lodger| lodger.empty_dir && !options.allow_emptydir).cloned().collect();
    let bare: Vec<_> =
        running().filter(|lodger| lodger.pod.owner.is_none() && !options.allow_unmanaged).cloned().collect();
    let mut why = Vec::new();
    if !data.is_empty() {
        why.push(format!("emptyDir data would be lost ({}): allow_emptydir", names(&data)));
    }
    if !bare.is_empty() {
        why.push(format!("nobody would make again ({}): allow_unmanaged", names(&bare)));
    }
    if why.is_empty() { Ok(()) } else { Err(Error::refused(format!("nothing was evicted: {}", why.join("; ")))) }
}

pub(crate) fn names(lodgers: &[Lodger]) -> String {
    let mut names: Vec<_> = lodgers.iter().take(SHOWN).map(Lodger::name).collect();
    if let Some(more) = lodgers.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
