//! Statements as data: what a change does is a list of steps, made without a connection and sent in one go.

use crate::store::StoreError;
use tokio_postgres::types::{ToSql, Type};

pub type Value = Box<dyn ToSql + Sync + Send>;

/// What it means when a statement answers no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    Conflict,
    /// The command's id is taken.
    Repeated,
    LeaseLost,
    AlreadyJoined,
    Disabled,
}

/// One statement. Those with a [`Miss`] answer a row for what they did.
pub struct Step {
    pub sql: &'static str,
    pub values: Vec<Value>,
    pub types: Vec<Type>,
    pub miss: Option<Miss>,
}

impl Step {
    pub fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new(), types: Vec::new(), miss: None }
    }

    /// The next parameter, of this type.
    #[must_use]
    pub fn with<V: ToSql + Sync + Send + 'static>(mut self, of: Type, value: V) -> Self {
        self.types.push(of);
        self.values.push(Box::new(value));
        self
    }

    #[must_use]
    pub fn or(mut self, miss: Miss) -> Self {
        self.miss = Some(miss);
        self
    }
}

impl Miss {
    /// [`Miss::Repeated`] is resolved by who knows the command.
    pub fn error(self) -> StoreError {
        match self {
            Self::Conflict | Self::Repeated => StoreError::Conflict,
            Self::LeaseLost => StoreError::LeaseLost,
            Self::AlreadyJoined => StoreError::AlreadyJoined,
            Self::Disabled => StoreError::Disabled,
        }
    }
}
