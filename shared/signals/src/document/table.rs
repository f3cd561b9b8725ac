//! Where the members of a document's objects stand: a table of bounded size, filled as the document is checked, so that
//! an ordinary event is walked over once. What does not fit is walked over when it is asked for.

use std::cell::{Cell, Ref, RefCell};

use super::keys::Tag;

/// Objects whose members are remembered.
const OBJECTS: usize = 64;

/// Members that are remembered, of all those objects.
const MEMBERS: usize = 256;

/// An object with more members is walked over each time: it is no section of an event.
const MANY: usize = 64;

/// Where a member stands: start and end of its raw key (nothing in a list), start and end of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: u32,
    pub(crate) key_end: u32,
    pub(crate) tag: Tag,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Is the key written with escapes?
    pub(crate) key_escaped: bool,
    /// Is the value a text written with escapes?
    pub(crate) escaped: bool,
}

/// A place in a document as it is noted.
#[expect(clippy::cast_possible_truncation, reason = "a document is shorter than 4 GiB, see `Document::read`")]
pub(crate) const fn place(at: usize) -> u32 {
    at as u32
}

/// The members that are known, and where large values end.
#[derive(Debug)]
pub(crate) struct Table {
    /// Objects by their start: where their members stand in `members`, and how many.
    objects: [Cell<Object>; OBJECTS],
    members: RefCell<Vec<Member>>,
    ends: Ends,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    start: u32,
    first: u16,
    count: u16,
}

impl Object {
    /// No object starts there: a document is shorter.
    const NONE: Self = Self { start: u32::MAX, first: 0, count: 0 };
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            objects: [const { Cell::new(Object::NONE) }; OBJECTS],
            members: RefCell::new(Vec::with_capacity(MEMBERS / 8)),
            ends: Ends([const { Cell::new((0, 0)) }; OBJECTS]),
        }
    }

    /// Notes the members of an object that was just read, as far as there is room.
    pub(crate) fn note(&mut self, start: u32, object: &[Member]) {
        let members = self.members.get_mut();
        if object.len() <= MANY && members.len() + object.len() <= MEMBERS {
            let first = members.len();
            members.extend_from_slice(object);
            self.put(start, first, object.len());
        }
    }

    /// Notes where an object or a list ends.
    pub(crate) fn note_end(&self, start: u32, end: u32) {
        self.ends.note(start, end);
    }

    /// Where the object or list that starts here ends, where that is known.
    pub(crate) fn end(&self, start: u32) -> Option<u32> {
        self.ends.get(start)
    }

    fn put(&self, start: u32, first: usize, count: usize) {
        if let (Some(place), Ok(first), Ok(count)) = (self.place(start), first.try_into(), count.try_into()) {
            place.set(Object { start, first, count });
        }
    }

    fn place(&self, start: u32) -> Option<&Cell<Object>> {
        self.objects.get((start.wrapping_mul(0x9e37_79b1) >> 26) as usize)
    }

    /// The members of the object that starts here; where they are not known, what `walk` finds, which is then known
    /// and makes what was known before give way. `None` when there are too many.
    pub(crate) fn members(&self, start: u32, walk: impl Iterator<Item = Member>) -> Option<Ref<'_, [Member]>> {
        let Object { start: known, first, count } = self.place(start)?.get();
        let (mut first, mut count) = (usize::from(first), usize::from(count));
        if known != start {
            let mut members = self.members.borrow_mut();
            if members.len() + MANY > MEMBERS {
                members.clear();
                self.objects.iter().for_each(|place| place.set(Object::NONE));
            }
            first = members.len();
            for member in walk {
                if members.len() - first == MANY {
                    members.truncate(first);
                    return None;
                }
                members.push(member);
            }
            count = members.len() - first;
            self.put(start, first, count);
        }
        Some(Ref::map(self.members.borrow(), |members| members.get(first..first + count).unwrap_or_default()))
    }
}

/// Where large objects and lists end: noted as the document is checked, so that none of them is walked over again to
/// find what stands behind it. Of two that fall on one place in the table the larger stays.
#[derive(Debug)]
struct Ends([Cell<(u32, u32)>; OBJECTS]);

impl Ends {
    /// Smaller ones are walked over faster than they are looked up.
    const LARGE: u32 = 128;

    fn note(&self, start: u32, end: u32) {
        if end - start >= Self::LARGE
            && let Some(place) = self.place(start)
        {
            let (from, to) = place.get();
            if to - from < end - start {
                place.set((start, end));
            }
        }
    }

    fn get(&self, start: u32) -> Option<u32> {
        self.place(start).map(Cell::get).filter(|(from, to)| *from == start && to > from).map(|(_, to)| to)
    }

    fn place(&self, start: u32) -> Option<&Cell<(u32, u32)>> {
        self.0.get((start ^ start >> 6) as usize % OBJECTS)
    }
}
