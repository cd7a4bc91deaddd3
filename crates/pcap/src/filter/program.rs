//! What a filter is compiled to: tests of a frame, each of which leads forward, to acceptance or to rejection.
//!
//! It is the model of the BSD packet filter. Every jump leads forward, so that a run ends after at most as many steps as there are; a load beyond
//! what was captured rejects the frame, as it does in BPF, whatever `not` or `or` stands around it. Nothing is allocated.

/// Most steps of a program, as in Linux's and the BSDs' filters (`BPF_MAXINSNS`).
pub(super) const STEPS_MAX: usize = 4096;
/// Most values that an arithmetic expression may have in hand, as in BPF (`BPF_MEMWORDS`).
pub(super) const STACK: usize = 16;
/// Where a step leads that decides: the frame is taken.
pub(super) const ACCEPT: u16 = u16::MAX;
/// Where a step leads that decides: the frame is not taken.
pub(super) const REJECT: u16 = u16::MAX - 1;

/// From where an offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// From this byte of the frame.
    Frame(u32),
    /// From the end of the IPv4 header that begins at this byte of the frame.
    BehindIp(u32),
}

/// How many bytes are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    One,
    Two,
    Four,
}

/// What must hold of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Greater,
    NotLess,
    /// They have a bit in common.
    AnyBit,
}

impl Relation {
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::NotLess => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// Of the frame's bytes at `at` from `base`, in network order and masked.
    Field { base: Base, at: u32, size: Size, mask: u32, relation: Relation, value: u32 },
    /// Of the frame's length on the wire.
    Len { relation: Relation, value: u32 },
    /// Of the two numbers that the operations from `from` to `to` leave.
    Computed { from: u16, to: u16, relation: Relation },
}

/// A question and where its answers lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) test: Test,
    pub(super) then: u16,
    pub(super) otherwise: u16,
}

/// A step of arithmetic, on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Push(u32),
    /// The frame's length on the wire.
    Len,
    /// Replaces an offset by what is there.
    Load(Base, Size),
    Negate,
    Two(Binary),
}

/// Arithmetic of two numbers, modulo 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    Left,
    Right,
}

impl Binary {
    /// None for what rejects a frame: dividing by 0.
    pub(super) fn of(self, left: u32, right: u32) -> Option<u32> {
        Some(match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => return left.checked_div(right),
            Self::Remainder => return left.checked_rem(right),
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::Left => left.checked_shl(right).unwrap_or(0),
            Self::Right => left.checked_shr(right).unwrap_or(0),
        })
    }
}

/// A compiled filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) ops: Vec<Op>,
}

/// A frame, as far as it is there.
#[derive(Clone, Copy)]
struct Frame<'a> {
    data: &'a [u8],
    original_len: u32,
}

impl Program {
    pub(super) fn accepts(&self, data: &[u8], original_len: u32) -> bool {
        let frame = Frame { data, original_len };
        let mut at = 0;
        loop {
            let Some(step) = self.steps.get(usize::from(at)) else { return at == ACCEPT };
            let Some(holds) = self.holds(step.test, frame) else { return false };
            let next = if holds { step.then } else { step.otherwise };
            // The compiler leads forward only.
            debug_assert!(next > at);
            at = next;
        }
    }

    fn holds(&self, test: Test, frame: Frame<'_>) -> Option<bool> {
        match test {
            Test::Field { base, at, size, mask, relation, value } => Some(relation.holds(frame.load(base, at, size)? & mask, value)),
            Test::Len { relation, value } => Some(relation.holds(frame.original_len, value)),
            Test::Computed { from, to, relation } => {
                let [left, right] = compute(self.ops.get(from.into()..to.into())?, frame)?;
                Some(relation.holds(left, right))
            }
        }
    }
}

fn compute(ops: &[Op], frame: Frame<'_>) -> Option<[u32; 2]> {
    let mut stack = [0; STACK];
    let mut depth = 0;
    for op in ops {
        let value = match *op {
            Op::Push(value) => value,
            Op::Len => frame.original_len,
            Op::Load(base, size) => {
                depth -= 1;
                frame.load(base, stack[depth], size)?
            }
            Op::Negate => {
                depth -= 1;
                stack[depth].wrapping_neg()
            }
            Op::Two(binary) => {
                depth -= 2;
                binary.of(stack[depth], stack[depth + 1])?
            }
        };
        // The compiler has counted: never more than STACK.
        *stack.get_mut(depth)? = value;
        depth += 1;
    }
    Some([stack[0], stack[1]])
}

impl Frame<'_> {
    fn load(self, base: Base, at: u32, size: Size) -> Option<u32> {
        let (from, at) = match base {
            Base::Frame(from) => (from, at),
            Base::BehindIp(from) => {
                let first = self.data.get(from as usize)?;
                (from, at.wrapping_add(u32::from(first & 0xf) * 4))
            }
        };
        let bytes = self.data.get((from as usize).checked_add(at as usize)?..)?;
        Some(match size {
            Size::One => u32::from(*bytes.first()?),
            Size::Two => u32::from(u16::from_be_bytes(*bytes.first_chunk()?)),
            Size::Four => u32::from_be_bytes(*bytes.first_chunk()?),
        })
    }
}
