//! Where a ledger is, and the names of its documents.

use stanch_core::{Error, Key, Result, names::ProjectId};

/// `PROJECT/COLLECTION` or `PROJECT/DATABASE/COLLECTION`, as `STANCH_LEDGER` says after `firestore:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `projects/P/databases/D`.
    pub(crate) database: String,
    collection: String,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let form = || {
            let message = "must be firestore:PROJECT/COLLECTION or firestore:PROJECT/DATABASE/COLLECTION";
            Error::invalid("STANCH_LEDGER", message)
        };
        let mut parts = text.trim().split('/');
        let (project, database, collection) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(project), Some(collection), None, None) => (project, "(default)", collection),
            (Some(project), Some(database), Some(collection), None) => (project, database, collection),
            _ => return Err(form()),
        };
        let project: ProjectId = project.parse().map_err(|_| form())?;
        if !is_database(database) || !is_collection(collection) {
            return Err(form());
        }
        Ok(Self { database: format!("projects/{project}/databases/{database}"), collection: collection.to_owned() })
    }

    /// The full name of the document that holds an item.
    pub(crate) fn document(&self, key: &Key) -> String {
        format!("{}/documents/{}/{}", self.database, self.collection, id(key.as_str()))
    }
}

/// A document's id has no slash, is neither `.` nor `..`, and does not begin and end with two underscores (Firestore:
/// "Quotas and limits"). What could break a rule is percent-encoded, so that two keys never share a document.
fn id(key: &str) -> String {
    let mut id = String::with_capacity(key.len());
    for (at, c) in key.char_indices() {
        match c {
            '%' => id.push_str("%25"),
            '/' => id.push_str("%2F"),
            '.' if at == 0 => id.push_str("%2E"),
            '_' if at == 0 => id.push_str("%5F"),
            other => id.push(other),
        }
    }
    id
}

/// `(default)`, or lower-case letters, digits and hyphens (Firestore: "Manage databases").
fn is_database(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text == "(default)" || ((4..=63).contains(&text.len()) && text.bytes().all(fits))
}

fn is_collection(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"_-.".contains(&c);
    (1..=100).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['_', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_project_database_and_collection() {
        let place = Place::parse("acme-prod/stanch").expect("the default database");
        assert_eq!(
            place.document(&Key::raw("record x gke:acme-prod/europe-west1/prod 7")),
            "projects/acme-prod/databases/(default)/documents/stanch/record x gke:acme-prod%2Feurope-west1%2Fprod 7"
        );
        let place = Place::parse("example.com:acme-prod/security/ledger").expect("another database");
        assert_eq!(
            place.document(&Key::raw("k")),
            "projects/example.com:acme-prod/databases/security/documents/ledger/k"
        );
        for bad in
            ["", "acme-prod", "acme-prod/", "/stanch", "acme-prod/a/b/c", "acme-prod/../stanch", "x/y/z", "a b/c"]
        {
            let error = Place::parse(bad).expect_err(bad);
            assert_eq!(error.resource(), "STANCH_LEDGER", "{bad:?}");
        }
    }

    #[test]
    fn two_keys_are_two_documents_and_none_breaks_a_rule() {
        let keys = ["a/b", "a%2Fb", "a%252Fb", ".", "..", "__x__", "%2E", "%5F_x__"];
        let ids: std::collections::BTreeSet<_> = keys.iter().map(|key| id(key)).collect();
        assert_eq!(ids.len(), keys.len(), "{ids:?}");
        assert!(ids.iter().all(|id| !id.contains('/') && !id.starts_with('.') && !id.starts_with('_')), "{ids:?}");
    }
}
