//! Commands whose answer never came. Asking again for the same sends the same command, so that an answer that was
//! lost on the way never makes two of anything.

use crate::ui::Failure;
use crate::writes::Texts;
use chrono::TimeDelta;
use gatepass_core::command::Command;
use gatepass_core::wire::Submit;
use gatepass_core::{Code, Time};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The server takes a command for 5 minutes after it was signed.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(4);

/// By what a command asks for, texts in plain: its digests differ each time.
#[derive(Default)]
pub(crate) struct Unanswered(Mutex<HashMap<String, (Time, Submit)>>);

/// What `command` asks for, the same whenever the same is asked.
pub(crate) fn meaning(command: &Command, texts: &Texts) -> String {
    let mut meaning = serde_json::to_value(command).unwrap_or_default();
    for text in &texts.0 {
        let Some(digest) = text.digest() else { continue };
        for value in meaning.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
            if value.as_str() == Some(digest.0.as_str()) {
                *value = format!("text {}", text.text).into();
            }
        }
    }
    meaning.to_string()
}

impl Unanswered {
    /// The command that was sent for this before, if it may still be.
    pub fn again(&self, meaning: &str, now: Time) -> Option<Submit> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, (at, _)| now - *at < GOOD_FOR);
        held.get(meaning).map(|(_, submit)| submit.clone())
    }

    pub fn sent(&self, meaning: &str, now: Time, submit: &Submit) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(meaning.to_owned()).or_insert_with(|| (now, submit.clone()));
    }

    /// A clear answer settles it; silence, and a failure somewhere on the way, do not.
    pub fn heard<T>(&self, meaning: &str, answer: &Result<T, Failure>) {
        let unclear = |code| matches!(code, Code::Unreachable | Code::Unavailable | Code::Internal);
        if !answer.as_ref().is_err_and(|failure| unclear(failure.code)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(meaning);
        }
    }
}
