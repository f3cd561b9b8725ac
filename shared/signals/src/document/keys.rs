//! Keys that are looked for: told apart by a tag of four bytes first, since comparing those is one instruction.

use std::borrow::Cow;

use crate::text::unescape;

/// What is compared first of a key: its length and three of its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(u32);

impl Tag {
    pub(crate) const NONE: Self = Self(0);

    /// The bit that a capital first letter does not have.
    const CASE: u32 = 0x0020_0000;

    pub(crate) const fn of(key: &str) -> Self {
        let bytes = key.as_bytes();
        let (Some((first, _)), Some((last, _))) = (bytes.split_first(), bytes.split_last()) else { return Self::NONE };
        let (start, _) = bytes.split_at(bytes.len() / 2 + 1);
        let Some((middle, _)) = start.split_last() else { return Self::NONE };
        // Longer keys than 255 bytes are told apart by the rest, or in the end by comparing them.
        let [long, ..] = bytes.len().to_le_bytes();
        Self(u32::from_be_bytes([long, *first, *middle, *last]))
    }

    /// The same for a capital and a small first letter.
    pub(crate) const fn in_either_case(self) -> Self {
        Self(self.0 | Self::CASE)
    }
}

/// Keys that are looked for together: which of them a tag may be is looked up.
#[derive(Debug)]
pub(crate) struct Keys<const N: usize> {
    names: [&'static str; N],
    tags: [Tag; N],
    /// By [`Keys::slot`]: the index of the only key that can be meant, or one that is none.
    slots: [u8; SLOTS],
    factor: u32,
}

const SLOTS: usize = 256;

impl<const N: usize> Keys<N> {
    #[expect(clippy::indexing_slicing, reason = "while compiling")]
    pub(crate) const fn new(keys: [&'static str; N]) -> Self {
        assert!(N <= 64, "a bit for each");
        let mut it = Self { names: keys, tags: [Tag::NONE; N], slots: [u8::MAX; SLOTS], factor: 0x9e37_79b1 };
        let mut index = 0;
        while index < N {
            it.tags[index] = Tag::of(keys[index]);
            let mut other = 0;
            while other < index {
                assert!(it.tags[other].0 != it.tags[index].0, "two keys have the same tag");
                other += 1;
            }
            index += 1;
        }
        // Another factor until no two keys share a slot.
        index = 0;
        while index < N {
            let slot = it.slot(it.tags[index]);
            if it.slots[slot] == u8::MAX {
                let [low, ..] = index.to_le_bytes();
                it.slots[slot] = low;
                index += 1;
            } else {
                it.slots = [u8::MAX; SLOTS];
                it.factor = it.factor.wrapping_mul(0x0001_0dcd) | 1;
                index = 0;
            }
        }
        it
    }

    const fn slot(&self, tag: Tag) -> usize {
        let [.., slot] = tag.0.wrapping_mul(self.factor).to_le_bytes();
        slot as usize
    }

    /// The bit of the key that this raw one is, or none.
    pub(crate) fn mark(&self, tag: Tag, raw: &str, escaped: bool) -> u64 {
        let index = usize::from(self.slots.get(self.slot(tag)).copied().unwrap_or(u8::MAX));
        match (self.tags.get(index), self.names.get(index)) {
            (Some(known), Some(key)) if *known == tag && is_key(raw, escaped, key, false) => 1 << index,
            _ => 0,
        }
    }

    /// The bit of a key; to be asked while compiling.
    #[expect(clippy::panic, reason = "while compiling")]
    pub(crate) const fn bit(&self, key: &str) -> u64 {
        let (mut rest, mut bit) = (self.names.as_slice(), 1);
        while let Some((first, keys)) = rest.split_first() {
            if is_same(first.as_bytes(), key.as_bytes()) {
                return bit;
            }
            (rest, bit) = (keys, bit << 1);
        }
        panic!("the key is none of these")
    }
}

/// Keys that are looked for together, put in order while compiling.
macro_rules! keys {
    ($($key:literal),+ $(,)?) => { const { &$crate::document::Keys::new([$($key),+]) } };
}
pub(crate) use keys;

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let (Some((a, rest)), Some((b, others))) = (one.split_first(), other.split_first()) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest, others);
    }
    one.is_empty() && other.is_empty()
}

/// The key that a raw one stands for.
pub(crate) fn plain_key(raw: &str, escaped: bool) -> Cow<'_, str> {
    if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
}

/// Is the raw key this one? In either case its first letter may be a capital.
pub(crate) fn is_key(raw: &str, escaped: bool, key: &str, either_case: bool) -> bool {
    let is = |raw: &str| {
        raw == key
            || either_case
                && raw.len() == key.len()
                && raw.get(1..).is_some_and(|rest| Some(rest) == key.get(1..))
                && raw.as_bytes().first().map(u8::to_ascii_lowercase) == key.as_bytes().first().copied()
    };
    if escaped { is(&unescape(raw)) } else { is(raw) }
}
