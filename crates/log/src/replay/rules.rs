//! Every rule that a log is held to, by the name that a finding carries. docs/log-format.md has the same list.

/// A rule's name, and what holds where it is kept.
pub const RULES: &[(&str, &str)] = &[
    // The log itself.
    ("dense", "Every position from the first on is there, once. (Whole logs.)"),
    ("order", "Positions ascend. (Parts of a log.)"),
    ("leaf", "The leaf hash is SHA-256(0x00 || content)."),
    ("event", "The content is the canonical JSON (RFC 8785) of an event of a kind that is known."),
    ("event-id", "No two events have the same id."),
    // Who signed what.
    (
        "author",
        "What only Gatepass does is by Gatepass and carries no command; what only people do is by a person; what is either \
         carries a command exactly when it is by a person.",
    ),
    (
        "device",
        "The device that signed was enrolled before, for the person that the event names, and was not disabled.",
    ),
    ("signature", "The signature over the command’s body holds, strictly, under the key of its device."),
    ("command", "What was signed is what the event says happened: the same kind, subject, texts, durations."),
    (
        "command-id",
        "A command has one event, or, when everything of a person ends, the events that follow from it: no id comes twice.",
    ),
    (
        "time",
        "What was signed is no more than five minutes from the time of its event, and what happens to a request \
         happens in order, give or take what clocks differ.",
    ),
    ("head", "The head that the body names is one that the log had when it was signed. (Whole logs.)"),
    // People, devices, catalogues.
    ("person", "A person is recorded before anything else is said of them."),
    ("enrolment", "A device’s id is new, and the key that it enrols has signed the enrolment."),
    ("admin", "Only an admin, or Gatepass at the server’s console, ends everything of a person."),
    (
        "revoke-all",
        "What is said to follow from ending everything of a person was ordered before, at the same time, and is theirs.",
    ),
    ("catalogue", "The catalogue’s document, where it is there, hashes to the catalogue that is named."),
    // Requests.
    ("request-id", "A request’s id is that of the command that asked; no id and no number comes twice."),
    ("context", "What an event is about began before, here."),
    (
        "rule",
        "The rule of a request is the one of its role in the catalogue in force; what the role requires was given.",
    ),
    ("asker", "Who asks is in a group that may ask; also when it is granted, and before it is set up."),
    ("duration", "What is asked for is within the role’s bounds, together with what it extends."),
    ("extension", "Only the holder extends an access, and only while it is active."),
    ("lapse", "A request lapses when the catalogue says, not before; nothing is decided after."),
    ("pending", "Only a pending request is decided, withdrawn or lapses; a denial is final."),
    ("shown", "A decision names the revision and the digest of what it is about."),
    ("self", "Nobody decides on what they asked for."),
    ("approver", "Who decides is in a group that the rule names."),
    ("twice", "Nobody approves the same request twice."),
    ("needed", "An approval fills a place that was free."),
    ("allowed", "An approval allows at least a second and no more than was asked for."),
    (
        "quorum",
        "An access is granted only when each place of the rule is filled by another person, or the rule has none.",
    ),
    (
        "granted",
        "What is granted is the shortest time that anybody allowed, and its latest end follows from that.",
    ),
    ("withdrawn", "Only who asked withdraws."),
    ("voided", "Only an approval that was given is voided."),
    // Accesses.
    ("grant", "A grant’s id is new when it is granted, and the same in all that follows."),
    (
        "grant-state",
        "An access goes on only: scheduled, provisioning, active, ending, over. Nothing comes after.",
    ),
    (
        "active",
        "An access begins after it was granted, and its end is fixed from its beginning and its duration.",
    ),
    ("extended", "An end moves only by an approved request to extend it, once, and by what that allows."),
    ("returned", "Only the holder gives an access back."),
    ("revoked", "Only who may approve a request, or an admin, revokes its access, and says why."),
    ("expired", "An access does not expire before its end."),
    ("cause", "How an access ends fits where it stood, and what is over names why it ended."),
    ("removal", "What is over was read back from the target after it began to end."),
    ("unexplained", "An access that was taken away as unexplained had no live grant."),
    // Access that no grant explains.
    ("drift", "What is told of drift follows from what was told before."),
    ("marked", "Only admins and the approvers of what it holds mark drift, at the revision that was shown."),
    // Parts of a log: see `Bundle`.
    ("text", "A text beside an event is one that it names. (Stores and caches.)"),
    ("root", "The events add up to the head that is kept with them. (Stores and caches.)"),
    ("checkpoint", "The newest signed head holds, and the events add up to it. (Stores and caches.)"),
    ("inclusion", "The event is in the tree of the signed head. (Bundles.)"),
];

/// The sentence of a rule.
pub fn sentence(rule: &str) -> Option<&'static str> {
    RULES.iter().find(|(name, _)| *name == rule).map(|(_, sentence)| *sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_stable_words_and_each_stands_once() {
        let names: BTreeSet<&str> = RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), RULES.len());
        for (name, sentence) in RULES {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(sentence.ends_with('.') || sentence.ends_with(')'), "{name}");
        }
        assert_eq!(sentence("self"), Some("Nobody decides on what they asked for."));
    }
}
