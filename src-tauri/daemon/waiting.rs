//! Which notifications wait for a click: pure.

use std::collections::VecDeque;

use zbus::names::OwnedUniqueName;

use crate::note::{Act, Note};

/// So many can wait for a click; the oldest gives way.
pub const MOST: usize = 1000;
/// So many clicks are kept that came before the answer which says what they were on.
const EARLY: usize = 16;

/// Where a notification is: the daemon that shows it, by the name that no other ever gets, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub daemon: OwnedUniqueName,
    pub id: u32,
}

/// What clicks do: on the text, and on the buttons, whose keys are their numbers.
#[derive(Clone, Debug)]
pub struct Buttons {
    default: Act,
    others: Vec<Act>,
}

impl From<&Note> for Buttons {
    fn from(note: &Note) -> Self {
        let others = note.actions.iter().map(|(_, act)| act.clone()).collect();
        Self { default: note.default.clone(), others }
    }
}

impl Buttons {
    fn act(mut self, key: &str) -> Option<Act> {
        match key {
            "default" => Some(self.default),
            key => key.parse().ok().filter(|n| *n < self.others.len()).map(|n| self.others.swap_remove(n)),
        }
    }
}

/// What follows from a notification that was shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Then {
    /// It was clicked already.
    pub act: Option<Act>,
    /// Must be taken back, because its clicks are no longer known.
    pub over: Option<Shown>,
}

/// In the order they were shown.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Who owns the daemon's name now.
    owner: Option<OwnedUniqueName>,
    shown: VecDeque<(Shown, Buttons)>,
    early: VecDeque<(Shown, String)>,
}

impl Waiting {
    /// Begins anew, on a connection that was just made.
    pub fn start(&mut self, owner: Option<OwnedUniqueName>) {
        *self = Self { owner, ..Self::default() };
    }

    /// Another daemon took over: what the old one showed is gone, and the new one counts from the start.
    pub fn owner_changed(&mut self, old: Option<OwnedUniqueName>, new: Option<OwnedUniqueName>) {
        self.shown.retain(|(shown, _)| Some(&shown.daemon) != old.as_ref());
        self.early.retain(|(shown, _)| Some(&shown.daemon) != old.as_ref());
        self.owner = new;
    }

    pub fn add(&mut self, shown: Shown, buttons: Buttons) -> Then {
        if let Some(at) = self.early.iter().position(|(early, _)| *early == shown) {
            let key = self.early.remove(at).map(|(_, key)| key).unwrap_or_default();
            return Then { act: buttons.act(&key), over: None };
        }
        self.shown.push_back((shown, buttons));
        let over = (self.shown.len() > MOST).then(|| self.shown.pop_front()).flatten();
        Then { act: None, over: over.map(|(oldest, _)| oldest) }
    }

    /// What a click does; nothing when whoever says so is not the daemon now, or when there was one before.
    pub fn clicked(&mut self, on: &Shown, key: &str) -> Option<Act> {
        if self.owner.as_ref() != Some(&on.daemon) {
            return None;
        }
        let Some(at) = self.shown.iter().position(|(shown, _)| shown == on) else {
            // Another app's, most likely: some daemons tell everybody.
            self.early.push_back((on.clone(), key.to_owned()));
            if self.early.len() > EARLY {
                self.early.pop_front();
            }
            return None;
        };
        self.shown.remove(at).and_then(|(_, buttons)| buttons.act(key))
    }

    pub fn closed(&mut self, closed: &Shown) {
        if self.owner.as_ref() == Some(&closed.daemon) {
            self.shown.retain(|(shown, _)| shown != closed);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shown.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn owner(name: &'static str) -> OwnedUniqueName {
        name.try_into().unwrap()
    }

    fn on(daemon: &'static str, id: u32) -> Shown {
        Shown { daemon: owner(daemon), id }
    }

    /// Nothing on the text, and one button that opens the inbox.
    fn buttons() -> Buttons {
        Buttons { default: Act::Nothing, others: vec![inbox()] }
    }

    fn inbox() -> Act {
        Act::Open(crate::navigate::Place::inbox())
    }

    fn waiting() -> Waiting {
        let mut waiting = Waiting::default();
        waiting.start(Some(owner(":1.5")));
        waiting
    }

    #[test]
    fn a_click_does_its_act_once() {
        let mut waiting = waiting();
        assert_eq!(waiting.add(on(":1.5", 1), buttons()), Then::default());
        waiting.add(on(":1.5", 2), buttons());
        assert_eq!(waiting.clicked(&on(":1.5", 2), "0"), Some(inbox()));
        assert_eq!(waiting.clicked(&on(":1.5", 2), "0"), None);
        assert_eq!(waiting.clicked(&on(":1.5", 1), "7"), None, "there is no such button");
    }

    #[test]
    fn a_click_that_is_heard_before_the_answer_counts() {
        let mut waiting = waiting();
        assert_eq!(waiting.clicked(&on(":1.5", 1), "0"), None);
        assert_eq!(waiting.add(on(":1.5", 1), buttons()).act, Some(inbox()));
        for other in 100..200 {
            waiting.clicked(&on(":1.5", other), "0");
        }
        assert_eq!(waiting.early.len(), EARLY);
    }

    #[test]
    fn only_the_name_s_owner_of_the_moment_counts() {
        let mut waiting = waiting();
        waiting.add(on(":1.5", 1), buttons());
        assert_eq!(waiting.clicked(&on(":1.6", 1), "0"), None);
        waiting.closed(&on(":1.6", 1));
        waiting.owner_changed(Some(owner(":1.5")), Some(owner(":1.6")));
        for daemon in [":1.5", ":1.6"] {
            assert_eq!(waiting.clicked(&on(daemon, 1), "0"), None);
        }
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut waiting = waiting();
        let last = u32::try_from(MOST).unwrap();
        for id in 0..last {
            assert_eq!(waiting.add(on(":1.5", id), buttons()).over, None);
        }
        assert_eq!(waiting.add(on(":1.5", last), buttons()).over, Some(on(":1.5", 0)));
        assert_eq!(waiting.len(), MOST);
    }
}
