//! Makes programs: tests, joined by `and`, `or` and `not`, whose open ends are closed as the text goes on.

use super::{
    FilterError,
    program::{ACCEPT, Base, Op, Program, REJECT, Relation, STEPS_MAX, Size, Step, Test},
};

/// A part of a program: where it begins, and which of its answers lead out of it.
#[derive(Clone, Debug)]
pub(super) struct Block {
    from: u16,
    when_true: Vec<End>,
    when_false: Vec<End>,
}

/// One answer of one step.
#[derive(Clone, Copy, Debug)]
struct End {
    step: u16,
    of_then: bool,
}

impl Block {
    /// The same, with the answers exchanged.
    pub(super) fn not(self) -> Self {
        Self { from: self.from, when_true: self.when_false, when_false: self.when_true }
    }
}

/// A program in the making. Blocks are joined in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Code {
    program: Program,
}

impl Code {
    pub(super) fn test(&mut self, test: Test) -> Result<Block, FilterError> {
        if self.program.steps.len() >= STEPS_MAX {
            return Err(FilterError::new(format!("the expression is too long: it takes more than {STEPS_MAX} steps")));
        }
        let step = u16::try_from(self.program.steps.len()).unwrap_or(REJECT);
        self.program.steps.push(Step { test, then: REJECT, otherwise: REJECT });
        let [when_true, when_false] = [true, false].map(|of_then| vec![End { step, of_then }]);
        Ok(Block { from: step, when_true, when_false })
    }

    /// Whether bytes of the frame, masked, are `value`.
    pub(super) fn field(&mut self, base: Base, at: u32, size: Size, mask: u32, value: u32) -> Result<Block, FilterError> {
        self.test(Test::Field { base, at, size, mask, relation: Relation::Equal, value })
    }

    /// Whether what `ops` leave is so related.
    pub(super) fn computed(&mut self, ops: &[Op], relation: Relation) -> Result<Block, FilterError> {
        let from = self.program.ops.len();
        self.program.ops.extend_from_slice(ops);
        let too_long = |_| FilterError::new("the expression has too much arithmetic");
        let from = u16::try_from(from).map_err(too_long)?;
        let to = u16::try_from(self.program.ops.len()).map_err(too_long)?;
        self.test(Test::Computed { from, to, relation })
    }

    /// `second` was made right after `first`.
    pub(super) fn and(&mut self, first: Block, mut second: Block) -> Block {
        self.lead(&first.when_true, second.from);
        second.when_false.extend(first.when_false);
        Block { from: first.from, ..second }
    }

    /// `second` was made right after `first`.
    pub(super) fn or(&mut self, first: Block, mut second: Block) -> Block {
        self.lead(&first.when_false, second.from);
        second.when_true.extend(first.when_true);
        Block { from: first.from, ..second }
    }

    fn lead(&mut self, ends: &[End], to: u16) {
        for end in ends {
            let Some(step) = self.program.steps.get_mut(usize::from(end.step)) else { continue };
            if end.of_then {
                step.then = to;
            } else {
                step.otherwise = to;
            }
        }
    }

    pub(super) fn finish(mut self, block: &Block) -> Program {
        self.lead(&block.when_true, ACCEPT);
        self.lead(&block.when_false, REJECT);
        self.program
    }
}
