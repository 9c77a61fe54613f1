//! Many requests of one kind at once: each has an outcome of its own.

use std::time::{Duration, Instant};

use crate::engine::{CommandError, Handled, Host, Shard};
pub(crate) use crate::error::Outcomes;
use crate::error::{Error, ErrorKind};

/// Decides each of the requests, in one transaction.
pub(super) fn decide_each<R, T>(
    shard: &mut Shard,
    requests: Vec<R>,
    decide: impl Fn(&mut Shard, R) -> Handled<T>,
) -> Handled<Outcomes<T>> {
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        outcomes.push(match decide(shard, request) {
            Ok(done) => Ok(done),
            Err(CommandError::Refused(error)) => Err(error),
            Err(CommandError::Store(error)) => return Err(error.into()),
        });
        shard.settle()?;
    }
    Ok(outcomes)
}

/// Most bytes that one transaction of a stretch writes, and the longest that it takes: what is stored of each may
/// be large.
const STRETCH_BYTES_MAX: usize = 2 << 20;
const STRETCH_TIME_MAX: Duration = Duration::from_millis(20);

/// Decides each of the requests, in as many transactions as it takes. `bytes` tells how many a request carries.
pub(super) async fn decide_in_stretches<R: Send + 'static, T: Send + 'static>(
    host: &Host,
    mut requests: Vec<R>,
    bytes: impl Fn(&R) -> usize,
    decide: impl Fn(&mut Shard, R) -> Handled<T> + Copy + Send + 'static,
) -> Result<Outcomes<T>, Error> {
    let mut outcomes = Outcomes::new();
    while !requests.is_empty() {
        let carried = requests.iter().map(&bytes).sum();
        let stretch = host.operate_on(carried, move |shard| decide_stretch(shard, requests, decide)).await?;
        outcomes.extend(stretch.0);
        requests = stretch.1;
    }
    Ok(outcomes)
}

/// Decides the first of the requests, and others as far as a transaction goes. Hands back the others.
fn decide_stretch<R, T>(
    shard: &mut Shard,
    requests: Vec<R>,
    decide: impl Fn(&mut Shard, R) -> Handled<T> + Copy,
) -> Handled<(Outcomes<T>, Vec<R>)> {
    let (begun, bytes) = (Instant::now(), shard.written_bytes());
    let (mut outcomes, mut left) = (Outcomes::new(), requests.into_iter());
    for request in left.by_ref() {
        outcomes.extend(decide_each(shard, vec![request], decide)?);
        if shard.written_bytes() > bytes + STRETCH_BYTES_MAX || begun.elapsed() > STRETCH_TIME_MAX {
            break;
        }
    }
    Ok((outcomes, left.collect()))
}

/// Has those requests done that have passed their checks, and puts the outcomes back in order.
pub(crate) async fn handle_valid<R, T, E: From<Error>, F: Future<Output = Result<Outcomes<T>, Error>>>(
    requests: Vec<Result<R, E>>,
    done: impl FnOnce(Vec<R>) -> F,
) -> Result<Outcomes<T, E>, E> {
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
pub(super) fn only_outcome<T>(outcomes: Outcomes<T>) -> Result<T, Error> {
    outcomes.into_iter().next().unwrap_or_else(lost)
}

fn lost<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Internal, "internal", "the host lost an outcome"))
}
