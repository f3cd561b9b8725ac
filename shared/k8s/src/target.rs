//! What the Kubernetes responders take, beyond one kind of target.

use stanch_core::{
    Target, TargetKind,
    target::{Image, KubeNamespace, KubeSubject, Node, Pod, ServiceAccount, Workload},
};

macro_rules! any_of {
    ($(#[$doc:meta])* $Name:ident { $($Kind:ident($Type:ident) = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $Name {
            $(#[doc = concat!("A target of kind `", $name, "`.")] $Kind($Type)),+
        }

        impl From<$Name> for Target {
            fn from(target: $Name) -> Self {
                match target { $($Name::$Kind(it) => it.into()),+ }
            }
        }

        impl TargetKind for $Name {
            const KINDS: &'static [&'static str] = &[$($name),+];
            fn of(target: &Target) -> Option<Self> {
                match target {
                    $(Target::$Kind(it) => Some(Self::$Kind(it.clone())),)+
                    _ => None,
                }
            }
        }
    };
}

any_of! {
    /// Pods, by themselves or by what they have in common: a change is made for each.
    PodsOf {
        Pod(Pod) = "pod",
        Workload(Workload) = "workload",
        ServiceAccount(ServiceAccount) = "service-account",
        Image(Image) = "image",
        Node(Node) = "node",
    }
}

any_of! {
    /// The same, to be looked for only.
    Locate {
        Pod(Pod) = "pod",
        Workload(Workload) = "workload",
        ServiceAccount(ServiceAccount) = "service-account",
        Image(Image) = "image",
        Node(Node) = "node",
    }
}

any_of! {
    /// A workload, or a pod that stands for the workload that it is of.
    WorkloadOf {
        Workload(Workload) = "workload",
        Pod(Pod) = "pod",
    }
}

any_of! {
    /// A service account, or a pod that stands for the one that it runs as.
    AccountOf {
        ServiceAccount(ServiceAccount) = "service-account",
        Pod(Pod) = "pod",
    }
}

any_of! {
    /// Whom a role binding can give rights to. A pod is none: the audit log names pods that somebody reached for, and
    /// only who reached is to be contained.
    Grantee {
        ServiceAccount(ServiceAccount) = "service-account",
        KubeSubject(KubeSubject) = "kube-subject",
    }
}

any_of! {
    /// A service account, known by its name alone: it is deleted and made again, and its record has to be found
    /// between the two.
    AccountByName {
        ServiceAccount(ServiceAccount) = "service-account",
    }
}

any_of! {
    /// A workload, known by its name alone: its record has to be found when it is deleted.
    WorkloadByName {
        Workload(Workload) = "workload",
    }
}

any_of! {
    /// A pod that may be gone: with its UID, its record is found all the same.
    PodOrGone {
        Pod(Pod) = "pod",
    }
}

any_of! {
    /// A namespace, or what stands for the one that it is in.
    NamespaceOf {
        Namespace(KubeNamespace) = "namespace",
        Pod(Pod) = "pod",
        Workload(Workload) = "workload",
        ServiceAccount(ServiceAccount) = "service-account",
    }
}

impl From<Locate> for PodsOf {
    fn from(target: Locate) -> Self {
        match target {
            Locate::Pod(it) => Self::Pod(it),
            Locate::Workload(it) => Self::Workload(it),
            Locate::ServiceAccount(it) => Self::ServiceAccount(it),
            Locate::Image(it) => Self::Image(it),
            Locate::Node(it) => Self::Node(it),
        }
    }
}
