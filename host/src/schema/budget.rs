//! What a check may cost, counted in steps rather than in time: the same input is accepted on every
//! machine.

/// Most steps of one check: some tens of milliseconds. A step is a schema held against a value, a member
/// or an element that is looked up or compared, or [`STEP_BYTES`] of a text. A value of the largest
/// size that is checked against a handful of schemas at each place takes fewer.
pub(super) const CHECK_STEPS_MAX: u32 = 3_000_000;

/// Most steps of finding out where an input does not fit: the answer names a few places.
const EXPLANATION_STEPS_MAX: u32 = 100_000;

/// Deepest nesting of schemas held against a value and the values in it: what fits on the stack of
/// any thread of the host.
pub(super) const CHECK_DEPTH_MAX: u32 = 512;

/// How many schemas within each other take as much of the stack as one whose problems are looked for.
const EXPLANATION_DEPTH: u32 = 3;

/// How much of a text one step looks at, in bytes.
const STEP_BYTES: usize = 32;

/// What is left.
pub(super) struct Budget {
    steps: u32,
    depth: u32,
}

/// Why a check was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "checking the input against the schema takes more than {CHECK_STEPS_MAX} steps: simplify the schema"
    )]
    OutOfSteps,
    #[error(
        "checking the input goes through more than {CHECK_DEPTH_MAX} schemas within each other: make the \
         schema or the input flatter"
    )]
    TooDeep,
}

impl Budget {
    pub(super) const fn of_check() -> Self {
        Self { steps: CHECK_STEPS_MAX, depth: CHECK_DEPTH_MAX }
    }

    pub(super) const fn of_explanation() -> Self {
        Self { steps: EXPLANATION_STEPS_MAX, depth: CHECK_DEPTH_MAX }
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), Fault> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(Fault::OutOfSteps)?;
        Ok(())
    }

    /// Takes the steps of looking at a text.
    pub(super) fn take_text(&mut self, bytes: usize) -> Result<(), Fault> {
        self.take(bytes / STEP_BYTES)
    }

    /// Goes one schema deeper.
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        self.take(1)?;
        self.depth = self.depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        Ok(())
    }

    /// Comes back from it.
    pub(super) const fn leave(&mut self) {
        self.depth += 1;
    }

    /// Goes one schema deeper in the search for problems.
    pub(super) fn enter_explanation(&mut self) -> Result<(), Fault> {
        self.take(1)?;
        self.depth = self.depth.checked_sub(EXPLANATION_DEPTH).ok_or(Fault::TooDeep)?;
        Ok(())
    }

    /// Comes back from it.
    pub(super) const fn leave_explanation(&mut self) {
        self.depth += EXPLANATION_DEPTH;
    }
}
