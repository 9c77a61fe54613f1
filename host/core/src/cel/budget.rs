//! What the evaluation of one expression may cost. It is counted in steps and bytes rather than in
//! time, so that the same expression ends at the same place on every machine.

use super::error::Fault;

/// Most steps of one evaluation: a few milliseconds. A step is an operator, a field, an element that is
/// gone through or compared, or 32 bytes of a text that is looked at. A macro such as `exists`
/// with a comparison takes five steps an element, so lists of fifty thousand can be gone through.
pub const EVALUATION_STEPS_MAX: u32 = 250_000;

/// Most memory of the lists and texts that one evaluation makes, in bytes: twice the largest input, so
/// that any two parts of an input can be joined.
pub const EVALUATION_BYTES_MAX: usize = 2 << 20;

/// How much of a text one step looks at, in bytes: what takes about as long as an operator.
pub(super) const STEP_BYTES: usize = 32;

/// What is left of both.
pub(super) struct Budget {
    steps: u32,
    bytes: usize,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self { steps: EVALUATION_STEPS_MAX, bytes: EVALUATION_BYTES_MAX }
    }

    /// Takes steps, at least one.
    pub(super) fn take_steps(&mut self, steps: usize) -> Result<(), Fault> {
        let left = u32::try_from(steps.max(1)).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(Fault::OutOfSteps)?;
        Ok(())
    }

    /// Takes the steps of looking at a text.
    pub(super) fn take_text(&mut self, bytes: usize) -> Result<(), Fault> {
        self.take_steps(bytes / STEP_BYTES)
    }

    /// Takes memory, and the steps of filling it.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Fault::OutOfBytes)?;
        self.take_text(bytes)
    }

    /// How many steps have been taken.
    #[cfg(test)]
    pub(super) const fn steps_taken(&self) -> u32 {
        EVALUATION_STEPS_MAX - self.steps
    }
}
