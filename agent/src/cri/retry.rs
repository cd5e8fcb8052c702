//! When a question is worth asking again.

use std::time::Duration;

use tetragon_cri::{CriContainer, CriError};
use tower::BoxError;
use tower::retry::Policy;

/// What the runtime answers to one question.
pub(super) type Answer = Result<Option<CriContainer>, CriError>;

/// Asks again after each of these pauses. A process can be seen before the runtime knows its own container, and a
/// runtime that restarts is back soon.
#[derive(Clone, Debug)]
pub(super) struct Again {
    pauses: std::vec::IntoIter<Duration>,
}

impl Again {
    pub(super) fn after(pauses: Vec<Duration>) -> Self {
        Self { pauses: pauses.into_iter() }
    }
}

impl Policy<String, Answer, BoxError> for Again {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, _: &mut String, result: &mut Result<Answer, BoxError>) -> Option<Self::Future> {
        match result {
            Ok(Ok(Some(_)) | Err(CriError::Id(_))) | Err(_) => None,
            Ok(Ok(None) | Err(_)) => self.pauses.next().map(tokio::time::sleep),
        }
    }

    fn clone_request(&mut self, request: &String) -> Option<String> {
        Some(request.clone())
    }
}
