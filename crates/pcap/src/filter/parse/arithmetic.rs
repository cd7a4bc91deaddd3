//! Relations of two numbers: `tcp[13] & 2 != 0`, `ip[2:2] > len - 14`.

use super::{
    super::{
        FilterError,
        code::Block,
        lex::{Placed, Token},
        primitive::{ICMP6, Primitives, Proto, proto},
        program::{Base, Binary, Op, Relation, STACK, Size},
    },
    Result,
};

/// Most parentheses in one another.
const DEPTH_MAX: usize = 32;

/// What stands in brackets before the protocol is placed in a frame.
#[derive(Clone, Copy, Debug)]
enum Step {
    Plain(Op),
    Load(Proto, Size),
}

/// A relation that was read. It adds nothing to the program until it is emitted.
#[derive(Debug)]
pub(super) struct Related {
    steps: Vec<Step>,
    relation: Relation,
    is_not: bool,
}

/// Reads a relation from `at` on, which is left behind it; None where none stands there.
pub(super) fn relation(tokens: &[Placed], at: &mut usize) -> Result<Option<Related>> {
    let mut reader = Reader { tokens, at: *at, steps: Vec::new(), depth: 0 };
    if !reader.numbers(0)? {
        return Ok(None);
    }
    let (relation, is_not) = match reader.peek() {
        Some(Token::Sign("=")) => (Relation::Equal, false),
        Some(Token::Sign("!=")) => (Relation::Equal, true),
        Some(Token::Sign(">")) => (Relation::Greater, false),
        Some(Token::Sign("<=")) => (Relation::Greater, true),
        Some(Token::Sign(">=")) => (Relation::NotLess, false),
        Some(Token::Sign("<")) => (Relation::NotLess, true),
        _ => return Ok(None),
    };
    reader.at += 1;
    if !reader.numbers(0)? {
        return Err(FilterError::new("a number is missing behind a relation"));
    }
    *at = reader.at;
    Ok(Some(Related { steps: reader.steps, relation, is_not }))
}

struct Reader<'a> {
    tokens: &'a [Placed],
    at: usize,
    steps: Vec<Step>,
    depth: usize,
}

/// Signs between two numbers, and how close they bind.
fn binary(token: Option<&Token>) -> Option<(Binary, u8)> {
    let Some(Token::Sign(sign)) = token else { return None };
    Some(match *sign {
        "|" => (Binary::Or, 1),
        "^" => (Binary::Xor, 2),
        "&" => (Binary::And, 3),
        "<<" => (Binary::Left, 4),
        ">>" => (Binary::Right, 4),
        "+" => (Binary::Add, 5),
        "-" => (Binary::Subtract, 5),
        "*" => (Binary::Multiply, 6),
        "/" => (Binary::Divide, 6),
        "%" => (Binary::Remainder, 6),
        _ => return None,
    })
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let is_there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    /// Numbers joined by what binds at least so close. Whether there are any.
    fn numbers(&mut self, closeness: u8) -> Result<bool> {
        if self.depth >= DEPTH_MAX {
            return Err(FilterError::new(format!("more than {DEPTH_MAX} parentheses or signs in one another")));
        }
        self.depth += 1;
        let found = self.joined(closeness);
        self.depth -= 1;
        found
    }

    fn joined(&mut self, closeness: u8) -> Result<bool> {
        if !self.number()? {
            return Ok(false);
        }
        while let Some((op, close)) = binary(self.peek()).filter(|(_, close)| *close > closeness) {
            self.at += 1;
            let from = self.steps.len();
            if !self.numbers(close)? {
                return Ok(false);
            }
            // Refused here where it can be seen, as libpcap does.
            if let [Step::Plain(Op::Push(value))] = self.steps[from..] {
                match (op, value) {
                    (Binary::Divide | Binary::Remainder, 0) => return Err(FilterError::new("a division by 0")),
                    (Binary::Left | Binary::Right, 32..) => return Err(FilterError::new(format!("a shift by {value} bits, more than 31"))),
                    _ => {}
                }
            }
            self.steps.push(Step::Plain(Op::Two(op)));
        }
        Ok(true)
    }

    fn number(&mut self) -> Result<bool> {
        let Some(token) = self.peek().cloned() else { return Ok(false) };
        self.at += 1;
        match token {
            Token::Number(value) => self.steps.push(Step::Plain(Op::Push(value))),
            Token::Sign("-") => {
                if !self.numbers(6)? {
                    return Ok(false);
                }
                self.steps.push(Step::Plain(Op::Negate));
            }
            Token::Sign("(") => return Ok(self.numbers(0)? && self.takes(")")),
            Token::Word(word) if word == "len" => self.steps.push(Step::Plain(Op::Len)),
            Token::Word(word) => match (proto(&word), constant(&word)) {
                (Some(proto), _) if self.takes("[") => return self.access(proto, &word),
                (None, Some(value)) => self.steps.push(Step::Plain(Op::Push(value))),
                _ => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `[offset]` or `[offset:size]`, behind the bracket.
    fn access(&mut self, proto: Proto, word: &str) -> Result<bool> {
        if !self.numbers(0)? {
            return Err(FilterError::new(format!("`{word}[` needs an offset")));
        }
        let size = if self.takes(":") {
            let size = match self.peek() {
                Some(Token::Number(1)) => Size::One,
                Some(Token::Number(2)) => Size::Two,
                Some(Token::Number(4)) => Size::Four,
                _ => return Err(FilterError::new(format!("`{word}[…:…]` takes 1, 2 or 4 bytes"))),
            };
            self.at += 1;
            size
        } else {
            Size::One
        };
        if !self.takes("]") {
            return Err(FilterError::new(format!("`{word}[` has no `]`")));
        }
        self.steps.push(Step::Load(proto, size));
        Ok(true)
    }
}

/// Names of offsets and values: RFC 792, RFC 4443, RFC 9293.
fn constant(word: &str) -> Option<u32> {
    Some(match word {
        "icmptype" | "icmp6type" | "icmp-echoreply" => 0,
        "icmpcode" | "icmp6code" => 1,
        "icmp-unreach" => 3,
        "icmp-sourcequench" => 4,
        "icmp-redirect" => 5,
        "icmp-echo" => 8,
        "icmp-routeradvert" => 9,
        "icmp-routersolicit" => 10,
        "icmp-timxceed" => 11,
        "icmp-paramprob" => 12,
        "icmp-tstamp" => 13,
        "icmp-tstampreply" => 14,
        "icmp6-destinationunreach" => 1,
        "icmp6-packettoobig" => 2,
        "icmp6-timeexceeded" => 3,
        "icmp6-parameterproblem" => 4,
        "icmp6-echo" => 128,
        "icmp6-echoreply" => 129,
        "icmp6-routersolicit" => 133,
        "icmp6-routeradvert" => 134,
        "icmp6-neighborsolicit" => 135,
        "icmp6-neighboradvert" => 136,
        "icmp6-redirect" => 137,
        "tcpflags" => 13,
        "tcp-fin" => 1,
        "tcp-syn" => 2,
        "tcp-rst" => 4,
        "tcp-push" => 8,
        "tcp-ack" => 16,
        "tcp-urg" => 32,
        "tcp-ece" => 64,
        "tcp-cwr" => 128,
        _ => return None,
    })
}

impl Related {
    /// Adds it: first that the frame is of the protocols that it looks into, then the relation itself.
    pub(super) fn emit(&self, primitives: &mut Primitives) -> Result {
        let mut is_of = None;
        let mut ops = Vec::new();
        let mut depth: usize = 0;
        for step in &self.steps {
            let op = match *step {
                Step::Plain(op) => op,
                Step::Load(proto, size) => {
                    if let Some(check) = check(primitives, proto)? {
                        is_of = Some(match is_of {
                            None => check,
                            Some(before) => primitives.code.and(before, check),
                        });
                    }
                    Op::Load(base(primitives, proto), size)
                }
            };
            match op {
                Op::Push(_) | Op::Len => depth += 1,
                Op::Two(_) => depth -= 1,
                Op::Load(..) | Op::Negate => {}
            }
            if depth > STACK {
                return Err(FilterError::new(format!("arithmetic with more than {STACK} numbers in hand: use fewer parentheses")));
            }
            ops.push(op);
        }
        let block = primitives.code.computed(&ops, self.relation)?;
        let block = if self.is_not { block.not() } else { block };
        Ok(match is_of {
            None => block,
            Some(is_of) => primitives.code.and(is_of, block),
        })
    }
}

/// That a frame is of the protocol. Above IPv4 its packet must be the first of its fragments; only ICMPv6 is looked into above IPv6.
fn check(primitives: &mut Primitives, proto: Proto) -> Result<Option<Block>> {
    match proto {
        Proto::Ether => Ok(None),
        ICMP6 => {
            let ip = primitives.is(Proto::Ip6)?;
            let at = primitives.network_at + 6;
            let next = primitives.code.field(Base::Frame(0), at, Size::One, u32::MAX, 58)?;
            Ok(Some(primitives.code.and(ip, next)))
        }
        Proto::Upper(number, ..) => {
            let proto = primitives.is(Proto::Upper(number, true, false))?;
            let first = primitives.first_fragment()?;
            Ok(Some(primitives.code.and(proto, first)))
        }
        proto => primitives.is(proto).map(Some),
    }
}

fn base(primitives: &Primitives, proto: Proto) -> Base {
    match proto {
        Proto::Ether => Base::Frame(0),
        ICMP6 => Base::Frame(primitives.network_at + 40),
        Proto::Upper(..) => Base::BehindIp(primitives.network_at),
        _ => Base::Frame(primitives.network_at),
    }
}
