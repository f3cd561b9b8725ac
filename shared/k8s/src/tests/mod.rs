//! The wing on the range's simulator and on the real kube-apiserver: the same cases, so that the two agree.

mod bed;
mod cases;
mod kubelet;

use std::io::Write as _;

use stanch_core::{Mark, Result};
use stanch_range::control_plane::ControlPlane;

use crate::{Annotation, KubeApi, KubeState, KubeToken, Label, Marks, Removal, Taint, Unschedulable, slot::places};

use bed::Bed;

places! {
    /// The places that are written here.
    pub(crate) enum KubeSlot { Unschedulable, Taint, Label, Annotation, Marks, Removal }
}

impl KubeSlot {
    /// The bare write, without a driver.
    async fn put(&self, seen: &KubeToken, to: &KubeState, mark: &Mark, api: &KubeApi) -> Result<()> {
        self.place().put(seen, to, mark, api).await
    }
}

#[tokio::test]
async fn on_the_simulator() {
    let bed = Bed::simulator();
    cases::all(&bed).await;
    cases::many_pods(&bed).await;
}

#[tokio::test]
async fn on_the_real_api_server() {
    match ControlPlane::start() {
        Ok(real) => {
            let bed = Bed::real(real);
            cases::all(&bed).await;
            kubelet::a_stolen_kubelet_uncordons_itself_but_keeps_its_taint(&bed).await;
        }
        // Past the harness's capture: a suite that was not run must be seen.
        Err(why) => {
            writeln!(std::io::stderr(), "skipped: stanch-k8s on the real kube-apiserver: {why}").expect("stderr");
        }
    }
}
