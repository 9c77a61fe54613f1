//! Many requests of one kind at once: each has an outcome of its own, and all that succeed are one
//! transaction.

use super::shard::{CommandError, Handled, Shard};
use crate::error::{Error, ErrorKind};

/// What each of several requests came to, in their order.
pub(crate) type Each<T, E = Error> = Vec<Result<T, E>>;

impl Shard {
    /// Handles each of the requests.
    pub(crate) fn each<R, T>(
        &mut self,
        requests: Vec<R>,
        handle: impl Fn(&mut Self, R) -> Handled<T>,
    ) -> Handled<Each<T>> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            outcomes.push(match handle(self, request) {
                Ok(done) => Ok(done),
                Err(CommandError::Refused(error)) => Err(error),
                Err(CommandError::Store(error)) => return Err(error.into()),
            });
            self.settle()?;
        }
        Ok(outcomes)
    }
}

/// Has those requests done that have passed their checks, and puts the outcomes back in order.
pub(crate) async fn each_checked<R, T, E: From<Error>, F: Future<Output = Result<Each<T>, Error>>>(
    requests: Vec<Result<R, E>>,
    done: impl FnOnce(Vec<R>) -> F,
) -> Result<Each<T, E>, E> {
    let mut sound = Vec::with_capacity(requests.len());
    let refused: Vec<Option<E>> =
        requests.into_iter().map(|request| request.map(|request| sound.push(request)).err()).collect();
    let mut done = match sound.is_empty() {
        true => Vec::new(),
        false => done(sound).await?,
    }
    .into_iter();
    let outcome = |refused: Option<E>| match refused {
        Some(error) => Err(error),
        None => done.next().unwrap_or_else(lost).map_err(E::from),
    };
    Ok(refused.into_iter().map(outcome).collect())
}

/// The outcome of a single request that went the way of many.
pub(super) fn only<T>(outcomes: Each<T>) -> Result<T, Error> {
    outcomes.into_iter().next().unwrap_or_else(lost)
}

fn lost<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Internal, "internal", "the host lost an outcome"))
}
