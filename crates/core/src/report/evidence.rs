//! The evidence of one access as a page: who asked, who approved, why, by which rule, from when to when, how it was
//! removed, and where the log holds all of it. The page shortens digests, since the pack beside it holds them whole.

use super::html::{self, Local, escape, grouped, in_utc, moment, short};
use super::review::MARK;
use crate::Time;
use crate::catalogue::Slot;
use crate::duration;
use crate::text::Digest;
use crate::wire::{EndCause, Head, PersonRef, Removal, RequestState};

/// What the page says; put together by whoever holds the log.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// `R-3187`
    pub number: String,
    pub holder: PersonRef,
    pub device: Key,
    pub resource_name: String,
    pub environment: String,
    pub role: String,
    pub target: String,
    /// Kind of the target.
    pub kind: String,
    pub asked_at: Time,
    pub asked_s: u32,
    pub state: RequestState,
    pub reason: Words,
    pub ticket: Words,
    pub decisions: Vec<Decided>,
    pub rule: RuleText,
    pub starts_at: Option<Time>,
    pub ends_at: Option<Time>,
    pub end: Option<EndCause>,
    pub ended_at: Option<Time>,
    pub removal: Option<Removal>,
    pub steps: Vec<Step>,
    pub pack: Pack,
    pub made_at: Time,
    pub made_by: String,
}

/// A device as people compare it.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// Absent when its name is not the reader's to see.
    pub name: Option<String>,
    pub fingerprint: String,
}

/// A text that people wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// Nothing was written.
    None,
    Text(String),
    /// There was one; it was erased, or is not here.
    Gone,
}

#[derive(Clone, Debug)]
pub struct Decided {
    pub by: PersonRef,
    pub approved: bool,
    /// The groups of the rule whose member they are now.
    pub groups: Vec<String>,
    pub device: Key,
    pub at: Time,
    /// Ed25519, base64.
    pub signature: String,
}

/// The rule as it was frozen into the request.
#[derive(Clone, Debug)]
pub struct RuleText {
    pub catalogue: Digest,
    pub approve: Vec<Slot>,
    pub max_s: u32,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub at: Time,
    pub what: String,
    pub seq: u64,
    pub leaf: Digest,
}

/// The bundle that comes with the page, and what checking it came to.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The name of the file.
    pub name: String,
    pub sha256: Digest,
    pub events: u64,
    /// Signed commands of this access.
    pub signatures: u64,
    /// `Err` is what does not hold.
    pub held: Result<(), String>,
    pub head: Head,
    pub origin: String,
    pub vkey: String,
    /// Hashes that lead from an event to the head, the most.
    pub hashes: usize,
}

/// The whole page.
pub fn page(e: &Evidence, local: Local<'_>) -> String {
    let mut body = format!(
        "<main class=\"report\">\n<header class=\"report-head\">{MARK}<b>Gatepass</b>\
         <span class=\"muted\">Evidence of one access</span><span class=\"grow\"></span>\
         <span class=\"muted\">{}</span></header>\n",
        escape(&e.number)
    );
    body += &format!("<h1>{}</h1>\n", said(e));
    body += &checks(e, local);
    body += &asked(e, local);
    body += &decided(e, local);
    body += &steps(e, local);
    body += &proofs(e, local);
    body += &how(e);
    body += &format!(
        "<footer class=\"report-foot\"><span>Made {} ({}) by {}</span><span class=\"grow\"></span>Pack \
         <span class=\"mono\">sha256:{}</span></footer>\n</main>\n",
        moment(e.made_at, local),
        in_utc(e.made_at, local),
        escape(&e.made_by),
        short(&e.pack.sha256),
    );
    html::page(&format!("Evidence, {} · Gatepass", e.number), include_str!("evidence.css"), &body)
}

fn strong(text: &str) -> String {
    format!("<b>{}</b>", escape(text))
}

/// `a, b and c`
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn said(e: &Evidence) -> String {
    let who = strong(&e.holder.name);
    let what = format!(
        "{} on {} ({})",
        strong(&e.role),
        strong(&e.resource_name),
        escape(if e.environment.is_empty() { &e.target } else { &e.environment })
    );
    let approved: Vec<String> =
        e.decisions.iter().filter(|d| d.approved).map(|d| strong(&d.by.name)).collect();
    let by = if approved.is_empty() {
        "with no approval needed".to_owned()
    } else {
        format!("approved by {}", list(&approved))
    };
    match (e.starts_at, e.state) {
        (Some(from), _) => match e.ended_at {
            Some(to) => format!("{who} had {what} for {}, {by}", strong(&length(from, to))),
            None => format!("{who} has {what}, {by}"),
        },
        (None, RequestState::Denied) => format!("{who} did not get {what}: it was denied"),
        (None, RequestState::Withdrawn) => format!("{who} asked for {what} and withdrew it"),
        (None, RequestState::Lapsed) => format!("{who} did not get {what}: nobody decided in time"),
        (None, RequestState::Pending) => format!("{who} asks for {what}"),
        (None, RequestState::Approved) if e.ended_at.is_some() => {
            format!("{who} did not get {what}: it could not be set up")
        }
        (None, RequestState::Approved) => format!("{who} is to get {what}, {by}"),
    }
}

fn length(from: Time, to: Time) -> String {
    duration::say(u32::try_from((to - from).num_seconds()).unwrap_or(0))
}

fn check(holds: bool, what: &str, more: &str) -> String {
    let (class, sign) = if holds { ("is-ok", "✓") } else { ("is-bad", "✗") };
    format!(
        "<li class=\"{class}\"><i aria-hidden=\"true\">{sign}</i><div><b>{what}</b><span>{more}</span></div></li>\n"
    )
}

fn checks(e: &Evidence, local: Local<'_>) -> String {
    let pack = &e.pack;
    let (signed, logged) = match &pack.held {
        Ok(()) => (
            check(true, &format!("{} signatures valid", pack.signatures), "of those who asked and decided"),
            check(true, &format!("{} events in the log", e.steps.len()), "each leads to the signed head"),
        ),
        Err(what) => (
            check(false, "The pack does not hold", &escape(what)),
            check(false, "Not proven", "do not rely on this page"),
        ),
    };
    let removed = match (&e.removal, e.starts_at) {
        (Some(r), _) => {
            check(true, "Removed from target", &format!("read back {}", moment(r.checked_at, local)))
        }
        (None, Some(_)) => check(false, "Not removed yet", "it is still held"),
        (None, None) => check(true, "Nothing was given", "so nothing had to be removed"),
    };
    format!("<ul class=\"report-checks\">\n{signed}{logged}{removed}</ul>\n")
}

fn words(words: &Words, none: &str) -> String {
    match words {
        Words::None => format!("<span class=\"muted\">{none}</span>"),
        Words::Text(text) => escape(text),
        Words::Gone => "<span class=\"muted\">erased, or not here to be read</span>".to_owned(),
    }
}

fn key(key: &Key) -> String {
    let name = key.name.as_deref().unwrap_or("a device");
    format!("{} <span class=\"mono\">{}</span>", escape(name), escape(&key.fingerprint))
}

fn asked(e: &Evidence, local: Local<'_>) -> String {
    format!(
        "<div class=\"report-2\"><section><h2>Asked</h2><dl>\
         <dt>By</dt><dd>{} <span class=\"muted\">{}</span></dd><dt>Device</dt><dd>{}</dd>\
         <dt>Time</dt><dd>{} <span class=\"muted\">{}</span></dd><dt>For</dt><dd>{}</dd><dt>Ticket</dt><dd>{}</dd></dl>\
         </section>\n<section><h2>Reason</h2><blockquote>{}</blockquote></section></div>\n",
        escape(&e.holder.name),
        escape(&e.holder.handle),
        key(&e.device),
        moment(e.asked_at, local),
        in_utc(e.asked_at, local),
        duration::say(e.asked_s),
        words(&e.ticket, "none"),
        words(&e.reason, "none was given"),
    )
}

fn decided(e: &Evidence, local: Local<'_>) -> String {
    let row = |d: &Decided| {
        format!(
            "<tr><td><b>{}</b>{}</td><td>{}</td><td>{}</td><td class=\"t\">{}</td><td class=\"mono t\">{}</td></tr>\n",
            escape(&d.by.name),
            if d.approved { "" } else { " denied" },
            escape(&d.groups.join(", ")),
            key(&d.device),
            local(d.at).format("%H:%M:%S"),
            escape(&cut(&d.signature)),
        )
    };
    let rows: String = e.decisions.iter().map(row).collect();
    let table = if rows.is_empty() {
        "<p class=\"muted\">Nobody: the rule asks for no approval, or nobody decided.</p>\n".to_owned()
    } else {
        format!(
            "<table><thead><tr><th scope=\"col\">Person</th><th scope=\"col\">As</th>\
             <th scope=\"col\">Device and key</th><th scope=\"col\">Signed</th><th scope=\"col\">Signature, Ed25519</th>\
             </tr></thead>\n<tbody>\n{rows}</tbody></table>\n"
        )
    };
    let title = if e.state == RequestState::Denied { "Decided" } else { "Approved" };
    format!(
        "<section><h2>{title}</h2>\n{table}<p class=\"report-rule\"><b>Rule</b> <span class=\"mono\">catalogue \
         sha256:{}</span> <span class=\"muted\">{}</span></p></section>\n",
        short(&e.rule.catalogue),
        escape(&rule(&e.rule)),
    )
}

fn cut(signature: &str) -> String {
    let chars: Vec<char> = signature.chars().collect();
    match chars.len() {
        0..=20 => signature.to_owned(),
        n => format!(
            "{} … {}",
            chars[..12].iter().collect::<String>(),
            chars[n - 6..].iter().collect::<String>()
        ),
    }
}

/// The rule in words.
fn rule(rule: &RuleText) -> String {
    let needs: Vec<String> = rule
        .approve
        .iter()
        .map(|slot| {
            format!(
                "{} from {}",
                if slot.count == 1 { "one".to_owned() } else { slot.count.to_string() },
                slot.from.join(" or ")
            )
        })
        .collect();
    let most = format!("{} at most", duration::say(rule.max_s));
    match needs.is_empty() {
        true => format!("Given at once, without approval; {most}."),
        false => format!("Different people, {}, not the one who asks; {most}.", list(&needs)),
    }
}

fn steps(e: &Evidence, local: Local<'_>) -> String {
    let first = local(e.asked_at).date_naive();
    let row = |s: &Step| {
        let at = local(s.at);
        // The day stands above; only another one is said again.
        let format = if at.date_naive() == first { "%H:%M:%S" } else { "%-d %b, %H:%M:%S" };
        format!(
            "<tr><td class=\"t\">{}</td><td class=\"t\">{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"mono t\">{}</td></tr>\n",
            at.format(format),
            s.at.format("%H:%M:%S"),
            escape(&s.what),
            grouped(s.seq),
            short(&s.leaf),
        )
    };
    let rows: String = e.steps.iter().map(row).collect();
    format!(
        "<section><h2>From start to end</h2>\n<table><thead><tr><th scope=\"col\">Local</th><th scope=\"col\">UTC</th>\
         <th scope=\"col\">What happened</th><th scope=\"col\" class=\"n\">Event</th><th scope=\"col\">Leaf hash</th></tr>\
         </thead>\n<tbody>\n{rows}</tbody></table></section>\n"
    )
}

fn proofs(e: &Evidence, local: Local<'_>) -> String {
    let removal = match &e.removal {
        Some(r) => format!(
            "<dt>Read back</dt><dd>{} <span class=\"muted\">{}</span>: nothing of it is left</dd>\
             <dt>Sessions</dt><dd>{}</dd><dt>Tries</dt><dd>{}</dd>{}",
            moment(r.checked_at, local),
            in_utc(r.checked_at, local),
            match r.sessions_ended {
                0 => "none was open".to_owned(),
                1 => "1 was open and was ended".to_owned(),
                n => format!("{n} were open and were ended"),
            },
            r.attempts,
            e.starts_at
                .map(|from| format!(
                    "<dt>Exposed for</dt><dd>{}, from start to read back</dd>",
                    length(from, r.checked_at)
                ))
                .unwrap_or_default(),
        ),
        None => "<dt>Read back</dt><dd>nothing was removed yet</dd>".to_owned(),
    };
    let end = match e.end {
        Some(EndCause::Expired) => "its time was over",
        Some(EndCause::Returned) => "given back by its holder",
        Some(EndCause::Revoked) => "ended early by somebody entitled",
        Some(EndCause::Failed) => "it could not be set up",
        Some(EndCause::Missing) => "taken away on the target",
        None => "it has not ended",
    };
    let pack = &e.pack;
    let due = e.ends_at.map(|at| moment(at, local)).unwrap_or_else(|| "never fixed".to_owned());
    format!(
        "<div class=\"report-2\"><section><h2>Proof of removal</h2><dl><dt>Target</dt><dd>{}, {}</dd>\
         <dt>End due</dt><dd>{due}</dd><dt>Why</dt><dd>{end}</dd>{removal}</dl></section>\n\
         <section><h2>Position in the log</h2><dl><dt>Head</dt><dd>{} events <span class=\"mono\">{}</span></dd>\
         <dt>Signed by</dt><dd>{}</dd><dt>Proof</dt><dd>up to {} hashes an event, in the pack</dd></dl></section></div>\n",
        escape(&e.target),
        escape(&e.kind),
        grouped(pack.head.size),
        short(&pack.head.root),
        escape(&pack.origin),
        pack.hashes,
    )
}

fn how(e: &Evidence) -> String {
    format!(
        "<section class=\"report-how\"><h2>How to check this without trusting Gatepass’s server</h2>\n<ol>\
         <li>Take <code>{0}</code>, which came with this page, to any computer. No network is needed.</li>\
         <li>Run <code>gatepass audit verify {0}</code>, or any verifier for docs/log-format.md. It must say \
         <b>Holds: {1} events</b>: those above, and the keys, groups and catalogue they are checked with.</li>\
         <li>Compare the log’s key with one you got another way: <code class=\"key\">{2}</code></li></ol></section>\n",
        escape(&e.pack.name),
        e.pack.events,
        escape(&e.pack.vkey),
    )
}

#[cfg(test)]
mod tests;
