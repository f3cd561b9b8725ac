//! Who the token is and what it may do.

/// What a token may do: as one rule of a `ClusterRole`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    verbs: Vec<String>,
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
    namespace: Option<String>,
}

impl Rule {
    /// These verbs on these resources of one API group (`""` = core), cluster-wide. `*` stands for all.
    pub fn new(verbs: &[&str], group: &str, resources: &[&str]) -> Self {
        let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
        Self { verbs: own(verbs), group: group.into(), resources: own(resources), ..Self::default() }
    }

    /// Only on objects of these names.
    #[must_use]
    pub fn names(self, names: &[&str]) -> Self {
        Self { names: names.iter().map(|&one| one.to_owned()).collect(), ..self }
    }

    /// Only in one namespace, as a `Role` would.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    fn grants(&self, asked: &Access<'_>) -> bool {
        let has = |list: &[String], one: &str| list.iter().any(|held| held == one || held == "*");
        has(&self.verbs, asked.verb)
            && (self.group == asked.group || self.group == "*")
            && has(&self.resources, asked.resource)
            && (self.names.is_empty() || asked.name.is_some_and(|name| self.names.iter().any(|held| held == name)))
            && self.namespace.as_deref().is_none_or(|own| asked.namespace == Some(own))
    }
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
}

/// Whom a token stands for.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) audiences: Vec<String>,
    /// `None` = everything.
    pub(crate) rules: Option<Vec<Rule>>,
}

impl User {
    pub(crate) fn may(&self, asked: &Access<'_>) -> bool {
        // `system:basic-user` is bound to every authenticated user.
        let basic = asked.verb == "create"
            && asked.group == "authorization.k8s.io"
            && matches!(asked.resource, "selfsubjectaccessreviews" | "selfsubjectrulesreviews");
        basic || self.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.grants(asked)))
    }
}
