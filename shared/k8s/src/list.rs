//! Lists: paged, and of each item only what is asked for is kept.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use stanch_core::{Kind, Result};

use crate::{
    KubeApi, Resource,
    error::Call,
    wire::{self, META_LIST, escape, get_as, parse},
};

/// A page of a list: what is held in memory at once. The server's own page for its controllers.
const PAGE: u16 = 500;
/// More pages than any cluster has (Kubernetes: "Considerations for large clusters": 150,000 pods).
const MOST_PAGES: usize = 2_000;
/// How often a list that expired is begun anew.
const ANEW: usize = 3;

/// What to list.
#[derive(Clone, Debug)]
pub struct List {
    /// Of which resource.
    pub resource: Resource,
    /// In which namespace; everywhere, if none is named.
    pub namespace: Option<String>,
    /// A field selector, or empty.
    pub fields: String,
    /// A label selector, or empty.
    pub labels: String,
    /// Metadata is enough.
    pub metadata_only: bool,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    // `default` alone would ask for `T: Default`.
    #[serde(default = "Option::default")]
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue", default)]
    next: String,
}

#[derive(Default, Deserialize)]
struct Expired {
    #[serde(default)]
    metadata: PageMeta,
}

impl List {
    /// Everything of a resource.
    pub const fn of(resource: Resource) -> Self {
        Self { resource, namespace: None, fields: String::new(), labels: String::new(), metadata_only: false }
    }

    /// Only in a namespace.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    fn path(&self, next: &str) -> String {
        let mut path = format!("{}?limit={PAGE}", self.resource.path(self.namespace.as_deref()));
        for (name, value) in
            [("fieldSelector", self.fields.as_str()), ("labelSelector", &self.labels), ("continue", next)]
        {
            if !value.is_empty() {
                path.extend(["&", name, "=", &escape(value)]);
            }
        }
        path
    }
}

impl KubeApi {
    /// What `pick` makes of each item, in the server's order. The items of a page are read into `T` and dropped
    /// before the next page is asked for.
    ///
    /// A list that expires on the way (410) goes on from where it is, where the server offers that, else it begins
    /// anew.
    ///
    /// # Errors
    /// [`Kind::Denied`] without `list`.
    pub async fn list<T: DeserializeOwned, U>(
        &self,
        list: &List,
        mut pick: impl FnMut(T) -> Option<U>,
    ) -> Result<Vec<U>> {
        let resource = list.resource.qualified();
        let object = list.namespace.as_deref().map_or_else(String::new, |namespace| format!("namespace/{namespace}"));
        let call = Call { verb: "list", resource: &resource, object: &object };
        let (mut found, mut next, mut anew) = (Vec::new(), String::new(), 0);
        for _ in 0..MOST_PAGES {
            let accept = if list.metadata_only { META_LIST } else { "application/json" };
            let request = get_as(&list.path(&next), accept);
            let answer = wire::exchange(self.client(), call, request, Vec::new()).await?;
            if answer.status == StatusCode::GONE && anew < ANEW {
                next = serde_json::from_slice::<Expired>(&answer.body).unwrap_or_default().metadata.next;
                if next.is_empty() {
                    found.clear();
                }
                anew += 1;
                continue;
            }
            if !answer.status.is_success() {
                return Err(wire::refusal(call, &answer));
            }
            let page: Page<T> = parse(call, &answer.body)?;
            drop(answer);
            found.extend(page.items.into_iter().flatten().filter_map(&mut pick));
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(found);
            }
        }
        Err(call.error(Kind::Internal, "the list does not end"))
    }
}
