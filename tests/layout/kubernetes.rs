//! Kubernetes: the roles of every responder, and how it runs in the cluster that it acts on.

use std::{collections::BTreeMap, fmt::Write};

use stanch_core::Permission;
use stanch_tests::Said;

use crate::generated::{parts, wing};

/// Path and text of everything in `infra/k8s` that follows from what the responders declare.
pub(crate) fn files(all: &BTreeMap<&'static str, Said>) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let (mut roles, mut events, mut orders) = (Vec::new(), Vec::new(), Vec::new());
    for (name, said) in all.iter().filter(|(name, _)| wing(name) == "k8s") {
        roles.push(*name);
        files.insert(format!("infra/k8s/base/roles/{name}.yaml"), roles_of(name, said).concat());
        let folder = if said.trigger == "event" { "responders" } else { "orders" };
        if said.trigger == "event" { &mut events } else { &mut orders }.push(*name);
        files.insert(format!("infra/k8s/in-cluster/{folder}/{name}.yaml"), in_cluster(name));
        if said.trigger == "event" {
            files.insert(format!("infra/k8s/knative/responders/{name}.yaml"), knative(name));
        }
    }
    for (folder, names) in [
        ("base/roles", &roles),
        ("in-cluster/responders", &events),
        ("in-cluster/orders", &orders),
        ("knative/responders", &events),
    ] {
        files.insert(format!("infra/k8s/{folder}/kustomization.yaml"), kustomization(names));
    }
    files.extend(chart(all, &roles));
    files
}

fn kustomization(names: &[&str]) -> String {
    let list: String = names.iter().map(|name| format!("  - {name}.yaml\n")).collect();
    format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n# Generated.\nresources:\n{list}")
}

/// The `ClusterRole`s of a responder, bound to the groups that its identities belong to: to act, and to undo.
fn roles_of(name: &str, said: &Said) -> [String; 2] {
    let (act, undo) = parts(said);
    let mut text = format!("# {name}: plan and apply. Generated from what the responder declares.\n");
    text += &role(name, &rules(&act));
    let mut undoes = String::new();
    if !undo.is_empty() {
        let _ = write!(undoes, "---\n# {name}: plan and revert, for people and playbooks.\n");
        undoes += &role(&format!("{name}-undo"), &rules(&undo));
    }
    [text, undoes]
}

/// Rules by group and resource, verbs joined.
fn rules(needs: &[Permission]) -> BTreeMap<(&'static str, &'static str), Vec<&'static str>> {
    let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for need in needs {
        let Permission::Kube { group, resource, verbs } = need else { panic!("{need} is no Kubernetes permission") };
        let known = rules.entry((*group, *resource)).or_default();
        known.extend(verbs.iter().copied());
        known.sort_unstable();
        known.dedup();
    }
    rules
}

fn role(name: &str, rules: &BTreeMap<(&str, &str), Vec<&str>>) -> String {
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: stanch:{name}\n  labels:\n    \
         app.kubernetes.io/part-of: stanch\nrules:\n"
    );
    for ((group, resource), verbs) in rules {
        let _ = write!(
            text,
            "  - apiGroups: [\"{group}\"]\n    resources: [\"{resource}\"]\n    verbs: [{}]\n",
            verbs.iter().map(|verb| format!("\"{verb}\"")).collect::<Vec<_>>().join(", ")
        );
    }
    let group = if name.ends_with("-undo") { "undo" } else { name };
    let _ = write!(
        text,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: stanch:{name}\n  \
         labels:\n    app.kubernetes.io/part-of: stanch\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: \
         ClusterRole\n  name: stanch:{name}\nsubjects:\n  - apiGroup: rbac.authorization.k8s.io\n    kind: Group\n    \
         name: stanch:{group}\n"
    );
    text
}

/// Who a responder is in the cluster: bound to its own role, and to the one that asks who a caller is.
const IDENTITY: &str = r"# NAME in the cluster. Generated.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: NAME
  namespace: stanch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: stanch:in-cluster:NAME
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: stanch:NAME
subjects:
  - kind: ServiceAccount
    name: NAME
    namespace: stanch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: stanch:callers:NAME
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: stanch:callers
subjects:
  - kind: ServiceAccount
    name: NAME
    namespace: stanch
";

const SERVER: &str = r#"---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: stanch
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: stanch
spec:
  replicas: 1
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app.kubernetes.io/name: NAME
  template:
    metadata:
      labels:
        app.kubernetes.io/name: NAME
        app.kubernetes.io/part-of: stanch
      <settings>
    spec:
POD
      containers:
        - name: responder
          image: stanch/NAME
          env:
            - name: PORT
              value: "8443"
          ports:
            - name: https
              containerPort: 8443
          readinessProbe: &healthy
            httpGet:
              scheme: HTTPS
              path: /healthz
              port: https
          livenessProbe: *healthy
CONTAINER
            - name: tls
              mountPath: /tls
              readOnly: true
      volumes:
        <file>
        - name: ledger
          persistentVolumeClaim:
            claimName: stanch-ledger
        </file>
        - name: tls
          secret:
            secretName: stanch-tls
---
apiVersion: v1
kind: Service
metadata:
  name: NAME
  namespace: stanch
spec:
  selector:
    app.kubernetes.io/name: NAME
  ports:
    - name: https
      port: 8443
      targetPort: https
---
# Whether it could act here, today; a failed Job is the alarm.
apiVersion: batch/v1
kind: CronJob
metadata:
  name: check-NAME
  namespace: stanch
  labels:
    app.kubernetes.io/part-of: stanch
spec:
  schedule: "MINUTE * * * *"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 1
      activeDeadlineSeconds: 300
      template:
        metadata:
          labels:
            app.kubernetes.io/part-of: stanch
        spec:
JOB
          restartPolicy: Never
          containers:
            - name: check
              image: stanch/NAME
              args: [check]
CHECK
          volumes:
            <file>
            - name: ledger
              persistentVolumeClaim:
                claimName: stanch-ledger
            </file>
"#;

/// What only a ledger in a file needs, on a volume: it stands between `<file>` and `</file>`, for the chart to leave out.
/// All pods of Stanch stand on one node then, as the volume is mounted on one; an accused node's own pods go elsewhere by
/// hand.
const POD: &str = r"serviceAccountName: NAME
priorityClassName: system-cluster-critical
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
<file>
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app.kubernetes.io/part-of: stanch
</file>";

const CONTAINER: &str = r"envFrom:
  - configMapRef:
      name: stanch
resources:
  requests:
    cpu: 20m
    memory: 32Mi
  limits:
    memory: 128Mi
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  <file>
  - name: ledger
    mountPath: /ledger
  </file>";

/// A responder that runs in the cluster: its identity, its server, its name, and its check.
fn in_cluster(name: &str) -> String {
    let text = server().replace("MINUTE", &minute(name).to_string()).replace("NAME", name);
    let marks = ["<file>", "</file>", "<settings>"];
    text.lines().filter(|line| !marks.contains(&line.trim())).map(|line| format!("{line}\n")).collect()
}

fn server() -> String {
    let server = SERVER
        .replace("POD\n", &format!("{}\n", indented(POD, 6)))
        .replace("CONTAINER\n", &format!("{}\n", indented(CONTAINER, 10)))
        .replace("JOB\n", &format!("{}\n", indented(POD, 10)))
        .replace("CHECK\n", &format!("{}\n", indented(CONTAINER, 14)));
    format!("{IDENTITY}{server}")
}

/// When a responder is checked: they are spread over the hour.
fn minute(name: &str) -> u32 {
    name.bytes().fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 60)
}

const PULL_SECRETS: &str = "\
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
";

/// A pod reads its settings when it starts: a new one must start when they change.
const SETTINGS: &str = r#"      annotations:
        stanch/settings: {{ include (print $.Template.BasePath "/settings.yaml") $ | sha256sum }}
"#;

/// The same as a Helm chart, for those of `.Values.responders`.
fn chart(all: &BTreeMap<&'static str, Said>, names: &[&str]) -> [(String, String); 2] {
    let mut roles = String::from("{{- /* Generated from what the responders declare. */ -}}\n");
    for name in names {
        let [act, undo] = roles_of(name, &all[name]);
        let _ = write!(roles, "{{{{- if has \"{name}\" .Values.responders }}}}\n---\n{act}{{{{- end }}}}\n");
        // Always: what a responder has contained outlasts its deployment.
        roles += &undo;
    }
    let minutes: String = names.iter().map(|name| format!(" \"{name}\" {}", minute(name))).collect();
    let body: String = server()
        .replace("image: stanch/NAME", "image: {{ include \"stanch.image\" (list $ $name) }}")
        .replace("namespace: stanch", "namespace: {{ $.Release.Namespace }}")
        .replace("secretName: stanch-tls", "secretName: {{ $.Values.tls }}")
        .replacen("---\n", &format!("{PULL_SECRETS}---\n"), 1)
        .replace("MINUTE", "{{ $minute }}")
        .replace("NAME", "{{ $name }}")
        .lines()
        .map(|line| match line.trim() {
            "<file>" => "{{- if hasPrefix \"sqlite:\" $.Values.ledger.url }}\n".to_owned(),
            "</file>" => "{{- end }}\n".to_owned(),
            "<settings>" => SETTINGS.to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    let responders = format!(
        "{{{{- /* Generated. */ -}}}}\n{{{{- $minutes := dict{minutes} }}}}\n{{{{- range $name := .Values.responders }}}}\n\
         {{{{- $minute := required (printf \"responders: %s is not known\" $name) (get $minutes $name) }}}}\n\
         ---\n{body}{{{{- end }}}}\n"
    );
    let place = |file: &str| format!("infra/k8s/helm/templates/{file}.yaml");
    [(place("roles"), roles), (place("responders"), responders)]
}

/// The same as a Knative service, which is there only while something happens.
fn knative(name: &str) -> String {
    const SERVICE: &str = r#"---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: NAME
  namespace: stanch
  labels:
    app.kubernetes.io/part-of: stanch
    networking.knative.dev/visibility: cluster-local
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/max-scale: "3"
    spec:
      serviceAccountName: NAME
      containerConcurrency: 10
      timeoutSeconds: 300
      containers:
        - image: stanch/NAME
          envFrom:
            - configMapRef:
                name: stanch
          ports:
            - containerPort: 8080
          readinessProbe:
            httpGet:
              path: /healthz
          resources:
            requests:
              cpu: 20m
              memory: 32Mi
            limits:
              memory: 128Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
            runAsUser: 65532
            seccompProfile:
              type: RuntimeDefault
            capabilities:
              drop: [ALL]
"#;
    format!("{IDENTITY}{SERVICE}").replace("NAME", name)
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}", "")).collect::<Vec<_>>().join("\n")
}
