//! A record that is larger than an item, in several items.
//!
//! All parts are written in one transaction and carry the version of the first, so that a reader that comes between
//! two writes notices.

use super::store::{Item, Key};
use crate::error::{Error, Kind, Result};

/// A DynamoDB item holds 400 KB (Amazon DynamoDB: "Service, account, and table quotas"); the key and the other
/// attributes need a little of it.
pub(super) const LARGEST: usize = 380 * 1024;
/// A DynamoDB transaction holds 4 MB ("Amazon DynamoDB transactions: how it works"); limits and brake go with it.
const MOST: usize = 9;
/// No JSON document begins with it.
const SIGN: char = '~';

/// The bodies of a record's items. One is the record itself.
///
/// # Errors
/// [`Kind::Unsupported`] when it is too large for a transaction.
pub(super) fn split(body: String, version: u64) -> Result<Vec<String>> {
    if body.len() <= LARGEST {
        return Ok(vec![body]);
    }
    let mut chunks = Vec::new();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(rest.floor_char_boundary(LARGEST.min(rest.len())));
        chunks.push(chunk);
        rest = tail;
    }
    let count = chunks.len();
    if count > MOST {
        let message =
            format!("the plan needs {} bytes and a record holds {}; name fewer objects", body.len(), MOST * LARGEST);
        return Err(Error::new(Kind::Unsupported, "ledger:write", message));
    }
    Ok(chunks.into_iter().map(|chunk| format!("{SIGN}{count}{SIGN}{version}{SIGN}{chunk}")).collect())
}

/// The key of a part after the first.
pub(super) fn key(of: &Key, part: usize) -> Key {
    Key(format!("{} +{part}", of.as_str()))
}

/// How many items hold the record whose first item this is.
pub(super) fn count(first: &Item) -> usize {
    open(&first.body).map_or(1, |(count, ..)| count)
}

/// The record; `None` when the parts are not of one write.
pub(super) fn join<'a>(first: &Item, others: impl Iterator<Item = Option<&'a Item>>) -> Option<String> {
    let Some((_, version, chunk)) = open(&first.body) else { return Some(first.body.clone()) };
    let mut body = chunk.to_owned();
    for part in others {
        let (_, of, chunk) = open(&part?.body)?;
        if of != version {
            return None;
        }
        body.push_str(chunk);
    }
    Some(body)
}

fn open(body: &str) -> Option<(usize, u64, &str)> {
    let (count, rest) = body.strip_prefix(SIGN)?.split_once(SIGN)?;
    let (version, chunk) = rest.split_once(SIGN)?;
    Some((count.parse().ok()?, version.parse().ok()?, chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(body: String) -> Item {
        Item { version: 1, body }
    }

    #[test]
    fn what_was_split_joins_again_and_two_writes_never_mix() {
        for length in [0, 10, LARGEST - 1, LARGEST, LARGEST + 1, 3 * LARGEST + 7] {
            // Two bytes a character, so that a chunk can end in the middle of one.
            let body = format!("{{{}", "é".repeat(length / 2));
            let parts: Vec<_> = split(body.clone(), 7).expect("fits").into_iter().map(item).collect();
            let (first, rest) = parts.split_first().expect("one at least");
            assert_eq!(count(first), parts.len());
            assert_eq!(join(first, rest.iter().map(Some)).as_deref(), Some(body.as_str()), "{length}");
            let newer: Vec<_> = split(body, 8).expect("fits").into_iter().map(item).collect();
            if parts.len() > 1 {
                assert_eq!(join(first, newer.iter().skip(1).map(Some)), None, "parts of two writes");
                assert_eq!(join(first, rest.iter().map(|_| None)), None, "a part is missing");
            }
        }
        assert!(split("x".repeat(MOST * LARGEST + 1), 1).is_err());
    }
}
