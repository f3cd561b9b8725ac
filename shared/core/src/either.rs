//! A slot that is one of two: for a responder that writes with two SDKs, each of which has slots of its own.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    slot::{Change, Disruption, Mark, Recorded, Seen, Slot},
};

/// One of two. As JSON it is what it holds, so that two slots (and their states) must differ in their tags or fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Either<A, B> {
    /// Of the first kind.
    One(A),
    /// Of the second kind.
    Other(B),
}

impl<A: Slot<Token: Clone>> Change<A> {
    /// As a change of either, of the first kind.
    pub fn one<B: Slot<Token: Clone>>(self) -> Change<Either<A, B>> {
        Change { slot: Either::One(self.slot), before: Either::One(self.before), after: Either::One(self.after) }
    }

    /// As a change of either, of the second kind.
    pub fn other<B: Slot<Token: Clone>>(self) -> Change<Either<B, A>> {
        Change { slot: Either::Other(self.slot), before: Either::Other(self.before), after: Either::Other(self.after) }
    }
}

/// Calls the same of whichever it is, with whichever state belongs to it; a state of the other kind has no answer.
macro_rules! of {
    ($slot:expr, $state:expr, $name:ident $(, $more:expr)*) => {
        match ($slot, $state) {
            (Either::One(slot), Either::One(state)) => Some(slot.$name(state $(, $more)*)),
            (Either::Other(slot), Either::Other(state)) => Some(slot.$name(state $(, $more)*)),
            _ => None,
        }
    };
}

/// The same where only the slot is asked.
macro_rules! ask {
    ($slot:expr, $name:ident) => {
        match $slot {
            Either::One(slot) => slot.$name(),
            Either::Other(slot) => slot.$name(),
        }
    };
}

impl<A: Slot<Token: Clone>, B: Slot<Token: Clone>> Slot for Either<A, B> {
    type Api = (A::Api, B::Api);
    type State = Either<A::State, B::State>;
    type Token = Either<A::Token, B::Token>;

    async fn look(&self, api: &Self::Api, mark: &Mark) -> Result<Seen<Self>> {
        Ok(match self {
            Self::One(slot) => {
                let Seen { state, token, ids, settling } = slot.look(&api.0, mark).await?;
                Seen { state: Either::One(state), token: Either::One(token), ids, settling }
            }
            Self::Other(slot) => {
                let Seen { state, token, ids, settling } = slot.look(&api.1, mark).await?;
                Seen { state: Either::Other(state), token: Either::Other(token), ids, settling }
            }
        })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Self::Api) -> Result<()> {
        let (ids, settling) = (seen.ids.clone(), seen.settling.clone());
        match (change.slot(), change.to(), seen.state.clone(), seen.token.clone()) {
            (Self::One(slot), Either::One(to), Either::One(state), Either::One(token)) => {
                let seen = Seen { state, token, ids, settling };
                A::write(Recorded::new(slot, to, change.mark()).after_another(change.again()), &seen, &api.0).await
            }
            (Self::Other(slot), Either::Other(to), Either::Other(state), Either::Other(token)) => {
                let seen = Seen { state, token, ids, settling };
                B::write(Recorded::new(slot, to, change.mark()).after_another(change.again()), &seen, &api.1).await
            }
            _ => Err(Error::new(Kind::Internal, "write", "a state of the other kind of slot")),
        }
    }

    fn what(&self, to: &Self::State) -> String {
        of!(self, to, what).unwrap_or_default()
    }

    fn command(&self, to: &Self::State, mark: &Mark) -> String {
        of!(self, to, command, mark).unwrap_or_default()
    }

    fn halfway(&self, present: &Self::State) -> bool {
        of!(self, present, halfway).unwrap_or_default()
    }

    fn kept(&self) -> Option<&'static str> {
        ask!(self, kept)
    }

    fn shared(&self) -> Option<Self::State> {
        match self {
            Self::One(slot) => slot.shared().map(Either::One),
            Self::Other(slot) => slot.shared().map(Either::Other),
        }
    }

    fn blind(&self) -> Option<Self::Token> {
        match self {
            Self::One(slot) => slot.blind().map(Either::One),
            Self::Other(slot) => slot.blind().map(Either::Other),
        }
    }

    fn patience(&self) -> Duration {
        ask!(self, patience)
    }

    fn may_undo(&self, api: &Self::Api, made: Timestamp, now: Timestamp) -> Result<()> {
        match self {
            Self::One(slot) => slot.may_undo(&api.0, made, now),
            Self::Other(slot) => slot.may_undo(&api.1, made, now),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        ask!(self, visible_to_attacker)
    }

    fn disruption(&self) -> Disruption {
        ask!(self, disruption)
    }

    fn bind(&self, to: &Self::State, now: Timestamp) -> Option<Self::State> {
        match (self, to) {
            (Self::One(slot), Either::One(to)) => slot.bind(to, now).map(Either::One),
            (Self::Other(slot), Either::Other(to)) => slot.bind(to, now).map(Either::Other),
            _ => None,
        }
    }

    fn repeatable(&self) -> bool {
        ask!(self, repeatable)
    }

    fn lag(&self) -> Duration {
        ask!(self, lag)
    }
}
