//! Looking through the log: by what was searched, by place, by time; and the searches people keep.

use crate::cache::SavedSearches;
use crate::client::Client;
use crate::ui::{EventPage, EventQuery, Failure};
use gatepass_core::{Code, Time};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A part of a result, by place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct EventSlice {
    /// As in `EventQuery`.
    pub text: String,
    /// So many newer ones are left out.
    #[ts(type = "number")]
    pub offset: u64,
    pub limit: u32,
}

/// Where in the log what matches a search is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct EventMap {
    /// How many match.
    #[ts(type = "number")]
    pub total: u64,
    /// There may be more, older ones; see `EventPage`.
    pub capped: bool,
    /// Positions of the log.
    #[ts(type = "number")]
    pub size: u64,
    /// Moments and their places, over the whole log, oldest first.
    pub marks: Vec<EventMark>,
    /// How many match before the first of the midnights that were given, from each to the next, and from the last on.
    #[ts(type = "number[]")]
    pub days: Vec<u64>,
    /// Which of 400 equal parts of the log have a match, oldest first.
    pub parts: Vec<u32>,
}

/// A moment and the first position that is not before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct EventMark {
    #[ts(type = "string")]
    pub at: Time,
    #[ts(type = "number")]
    pub seq: u64,
}

/// An event and where in a result it is, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct EventPlace {
    #[ts(type = "number")]
    pub seq: u64,
    #[ts(type = "string")]
    pub at: Time,
    /// Of the first match at or after it, newest first; of the newest one where there is none.
    #[ts(type = "number")]
    pub offset: u64,
}

/// A search that a person keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct SavedSearch {
    pub name: String,
    pub text: String,
}

/// More of these make no list that anybody would read.
const MOST_SAVED: usize = 100;
const LONGEST_NAME: usize = 80;
const LONGEST_TEXT: usize = 1_000;

impl Client {
    /// Audit: a page of what matches, newest first, from the cache.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage, Failure> {
        self.cached(move |cache, now| cache.events(&query, now)).await
    }

    /// What stands from a place in the result on; any place is as near as the first.
    pub async fn event_slice(&self, slice: EventSlice) -> Result<EventPage, Failure> {
        self.cached(move |cache, now| cache.event_slice(&slice, now)).await
    }

    /// Where in the log what matches is. `midnights`: when the days of whoever looks begin, ascending, in milliseconds
    /// since 1970.
    pub async fn event_map(&self, text: String, midnights: Vec<i64>) -> Result<EventMap, Failure> {
        self.cached(move |cache, now| cache.event_map(&text, &midnights, now)).await
    }

    /// How many match each of these searches.
    pub async fn event_counts(&self, texts: Vec<String>) -> Result<Vec<u64>, Failure> {
        self.cached(move |cache, now| cache.event_counts(&texts, now)).await
    }

    /// The first event at or after a moment, and where in the result of a search it is or would be.
    pub async fn event_at(&self, text: String, at: Time) -> Result<Option<EventPlace>, Failure> {
        self.cached(move |cache, now| cache.place_at(&text, at, now)).await
    }

    /// An event by its number, or the next one that may be read, and where in the result of a search it is or would be.
    pub async fn event_numbered(&self, text: String, seq: u64) -> Result<Option<EventPlace>, Failure> {
        self.cached(move |cache, now| cache.place_of(&text, seq, now)).await
    }

    /// By name.
    pub async fn saved_searches(&self) -> Result<Vec<SavedSearch>, Failure> {
        self.saved(|saved| saved.all()).await
    }

    /// Keeps a search on this device; one of the same name is replaced.
    pub async fn save_search(&self, name: &str, text: &str) -> Result<Vec<SavedSearch>, Failure> {
        let search = SavedSearch { name: named(name)?, text: text.trim().to_owned() };
        if search.text.is_empty() || search.text.chars().count() > LONGEST_TEXT {
            let message = format!("A saved search has 1 to {LONGEST_TEXT} characters.");
            return Err(Failure::new(Code::Malformed, message));
        }
        self.saved(move |saved| {
            let known = saved.all()?;
            if known.len() >= MOST_SAVED && !known.iter().any(|s| s.name == search.name) {
                let message = format!("At most {MOST_SAVED} searches are kept; delete one first.");
                return Err(Failure::new(Code::Malformed, message));
            }
            saved.put(&search)?;
            saved.all()
        })
        .await
    }

    pub async fn rename_search(&self, name: &str, to: &str) -> Result<Vec<SavedSearch>, Failure> {
        let (name, to) = (name.to_owned(), named(to)?);
        self.saved(move |saved| {
            if name != to && saved.all()?.iter().any(|s| s.name == to) {
                let message = format!("There is a search called “{to}” already.");
                return Err(Failure::new(Code::Malformed, message));
            }
            if !saved.rename(&name, &to)? {
                return Err(Failure::new(Code::NotFound, format!("There is no search called “{name}”.")));
            }
            saved.all()
        })
        .await
    }

    /// Deleting what is not there is fine.
    pub async fn delete_search(&self, name: &str) -> Result<Vec<SavedSearch>, Failure> {
        let name = name.to_owned();
        self.saved(move |saved| {
            saved.delete(&name)?;
            saved.all()
        })
        .await
    }

    async fn saved<T: Send + 'static>(
        &self,
        act: impl FnOnce(&SavedSearches) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let joined = self.joined()?;
        let path = self.0.profile.file("searches.db");
        let task =
            tokio::task::spawn_blocking(move || act(&SavedSearches::open(&path, joined.secrets.cache())?));
        task.await.map_err(|e| Failure::local("The thread of the saved searches ended", e))?
    }
}

fn named(name: &str) -> Result<String, Failure> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        let message = format!("A saved search needs a name of at most {LONGEST_NAME} characters.");
        return Err(Failure::new(Code::Malformed, message));
    }
    Ok(name)
}
