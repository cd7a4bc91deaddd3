//! The grammar of pcap-filter(7): `and` and `or` bind alike, from the left; `not` binds closer; a value without a keyword asks what the one before it asked.

mod arithmetic;

use super::{
    FilterError,
    code::Block,
    lex::{Placed, Token, tokens},
    primitive::{Direction, Primitives, Proto, proto},
    program::Program,
};
use arithmetic::relation;

type Result<T = Block> = std::result::Result<T, FilterError>;

/// How deep parentheses may stand in one another.
const DEPTH_MAX: usize = 32;

/// What a value is asked for.
#[derive(Clone, Copy, Debug)]
struct Quality {
    proto: Option<Proto>,
    direction: Direction,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

pub(super) fn parse(text: &str) -> Result<Program> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0, primitives: Primitives::new() };
    if parser.tokens.is_empty() {
        // Every frame has a length, so that this holds of each.
        let all = parser.primitives.length(true, 0)?;
        return Ok(parser.primitives.code.finish(&all));
    }
    let (block, _) = parser.expression(None)?;
    if parser.at < parser.tokens.len() {
        return Err(parser.unexpected("`and`, `or` or the end"));
    }
    Ok(parser.primitives.code.finish(&block))
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    primitives: Primitives,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|placed| &placed.token)
    }

    fn word(&self, ahead: usize) -> &str {
        match self.peek(ahead) {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let is_there = self.word(0) == wanted;
        self.at += usize::from(is_there);
        is_there
    }

    fn takes_sign(&mut self, wanted: &'static str) -> bool {
        let is_there = self.peek(0) == Some(&Token::Sign(wanted));
        self.at += usize::from(is_there);
        is_there
    }

    fn unexpected(&self, expected: &str) -> FilterError {
        FilterError::new(match self.tokens.get(self.at) {
            Some(placed) => format!("`{}` is not understood, expected {expected}", &self.text[placed.from..placed.to]),
            None => format!("the filter ends where {expected} was expected"),
        })
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(FilterError::new(format!("more than {DEPTH_MAX} parentheses or `not` in one another")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Terms with `and` and `or` between them. `before` is what values were asked for before this.
    fn expression(&mut self, before: Option<Quality>) -> Result<(Block, Option<Quality>)> {
        let (mut whole, mut quality) = self.term(before)?;
        while let Some(is_and) = self.joint() {
            let (next, its) = if self.value_is_next(quality) {
                let asked = quality.ok_or_else(|| self.unexpected("a keyword"))?;
                (self.values(asked)?, quality)
            } else {
                self.term(quality)?
            };
            whole = if is_and { self.primitives.code.and(whole, next) } else { self.primitives.code.or(whole, next) };
            quality = its;
        }
        Ok((whole, quality))
    }

    fn joint(&mut self) -> Option<bool> {
        if self.takes_word("and") || self.takes_sign("&&") {
            Some(true)
        } else if self.takes_word("or") || self.takes_sign("||") {
            Some(false)
        } else {
            None
        }
    }

    /// Whether a value comes that asks what the one before it asked: past `not` and parentheses no word of the language stands.
    fn value_is_next(&self, quality: Option<Quality>) -> bool {
        if quality.is_none() || relation(&self.tokens, &mut self.at.clone()).is_ok_and(|relation| relation.is_some()) {
            return false;
        }
        let mut ahead = 0;
        while self.word(ahead) == "not" || matches!(self.peek(ahead), Some(Token::Sign("!" | "("))) {
            ahead += 1;
        }
        match self.peek(ahead) {
            Some(Token::Number(_) | Token::Dotted(..) | Token::Mac(_) | Token::Ip6(_) | Token::Name(_)) => {
                relation(&self.tokens, &mut (self.at + ahead)).is_ok_and(|relation| relation.is_none())
            }
            Some(Token::Word(word)) => word.starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        }
    }

    fn term(&mut self, before: Option<Quality>) -> Result<(Block, Option<Quality>)> {
        if self.takes_word("not") || self.takes_sign("!") {
            let (block, quality) = self.deeper(|parser| parser.term(before))?;
            return Ok((block.not(), quality));
        }
        let mut after = self.at;
        if let Some(relation) = relation(&self.tokens, &mut after)? {
            self.at = after;
            return Ok((relation.emit(&mut self.primitives)?, None));
        }
        if self.takes_sign("(") {
            let (block, _) = self.deeper(|parser| parser.expression(before))?;
            return if self.takes_sign(")") { Ok((block, before)) } else { Err(self.unexpected("`)`")) };
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Result<(Block, Option<Quality>)> {
        let alone = |block: Block| Ok((block, None));
        for (word, is_greater) in [("less", false), ("greater", true)] {
            if self.takes_word(word) {
                let length = self.number("a length")?;
                return alone(self.primitives.length(is_greater, length)?);
            }
        }
        if self.takes_word("vlan") {
            let id = self.optional_number();
            return alone(self.primitives.vlan(id)?);
        }
        if self.takes_word("mpls") {
            let label = self.optional_number();
            return alone(self.primitives.mpls(label)?);
        }
        let proto = proto(self.word(0));
        self.at += usize::from(proto.is_some());
        if self.takes_word("broadcast") {
            return alone(self.primitives.broadcast(proto)?);
        }
        if self.takes_word("multicast") {
            return alone(self.primitives.multicast(proto)?);
        }
        let direction = self.direction();
        let kind = self.kind();
        match (proto, direction, kind) {
            (Some(proto), None, None) => alone(self.primitives.is(proto)?),
            (None, None, None) => Err(self.unexpected("a keyword such as `host`, `port` or `tcp`")),
            (_, Some(_), Some(Kind::Proto)) => Err(FilterError::new("`proto` has no direction: leave out `src` or `dst`")),
            (proto, direction, kind) => {
                let quality = Quality { proto, direction: direction.unwrap_or(Direction::Either), kind: kind.unwrap_or(Kind::Host) };
                Ok((self.values(quality)?, Some(quality)))
            }
        }
    }

    fn direction(&mut self) -> Option<Direction> {
        let other = match self.word(0) {
            "src" => "dst",
            "dst" => "src",
            _ => return None,
        };
        if self.word(2) == other && matches!(self.word(1), "or" | "and") {
            let is_and = self.word(1) == "and";
            self.at += 3;
            return Some(if is_and { Direction::Both } else { Direction::Either });
        }
        self.at += 1;
        Some(if other == "dst" { Direction::Source } else { Direction::Destination })
    }

    fn kind(&mut self) -> Option<Kind> {
        let kind = match self.word(0) {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            "proto" => Kind::Proto,
            _ => return None,
        };
        self.at += 1;
        Some(kind)
    }

    /// A value, or several in parentheses.
    fn values(&mut self, quality: Quality) -> Result {
        if self.takes_word("not") || self.takes_sign("!") {
            return self.deeper(|parser| parser.values(quality)).map(Block::not);
        }
        if !self.takes_sign("(") {
            return self.value(quality);
        }
        let mut whole = self.deeper(|parser| parser.values(quality))?;
        while let Some(is_and) = self.joint() {
            let next = self.deeper(|parser| parser.values(quality))?;
            whole = if is_and { self.primitives.code.and(whole, next) } else { self.primitives.code.or(whole, next) };
        }
        if self.takes_sign(")") { Ok(whole) } else { Err(self.unexpected("`)`")) }
    }

    fn value(&mut self, Quality { proto, direction, kind }: Quality) -> Result {
        let Some(token) = self.peek(0).cloned() else { return Err(self.unexpected("a value")) };
        let block = match (kind, token) {
            (Kind::Port, Token::Number(port)) if port <= 65535 => {
                self.at += 1;
                self.primitives.ports(proto, direction, (port, port))?
            }
            (Kind::PortRange, Token::Word(range)) => {
                let ports = range.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
                let Some((first, last)): Option<(u16, u16)> = ports else { return Err(self.unexpected("ports such as 1000-2000")) };
                self.at += 1;
                self.primitives.ports(proto, direction, (first.min(last).into(), first.max(last).into()))?
            }
            (Kind::PortRange, Token::Number(port)) if port <= 65535 => {
                self.at += 1;
                self.primitives.ports(proto, direction, (port, port))?
            }
            (Kind::Proto, Token::Number(number)) => {
                self.at += 1;
                self.primitives.proto_number(proto, number)?
            }
            (Kind::Proto, Token::Name(name) | Token::Word(name)) => self.named_proto(proto, &name)?,
            (Kind::Host, Token::Mac(mac)) => {
                self.at += 1;
                self.primitives.mac(proto, direction, mac)?
            }
            (Kind::Host | Kind::Net, Token::Ip6(address)) => {
                self.at += 1;
                let bits = self.prefix_bits(kind, 128)?.unwrap_or(128);
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                if address.to_bits() & !mask != 0 {
                    return Err(FilterError::new(format!("{address}/{bits} has bits set behind its prefix")));
                }
                self.primitives.net6(proto, direction, address, bits)?
            }
            (Kind::Host, Token::Dotted(address, 4)) => {
                self.at += 1;
                self.primitives.net4(proto, direction, address, u32::MAX)?
            }
            (Kind::Net, Token::Dotted(address, parts)) => {
                self.at += 1;
                self.net4((proto, direction), address, parts)?
            }
            // `net 10` is 10.0.0.0/8.
            (Kind::Net, Token::Number(first)) if first <= 255 => {
                self.at += 1;
                self.net4((proto, direction), first, 1)?
            }
            (Kind::Port | Kind::PortRange, _) => return Err(self.unexpected("a port from 0 to 65535, as a number")),
            (Kind::Proto, _) => return Err(self.unexpected("a protocol")),
            (Kind::Host | Kind::Net, _) => return Err(self.unexpected("an address; names are not looked up")),
        };
        Ok(block)
    }

    /// `proto \tcp`.
    fn named_proto(&mut self, of: Option<Proto>, name: &str) -> Result {
        let number = match (of, proto(name)) {
            (Some(Proto::Ether), Some(named @ (Proto::Ip | Proto::Ip6 | Proto::Arp | Proto::Rarp))) => {
                self.at += 1;
                return self.primitives.is(named);
            }
            (Some(Proto::Ip | Proto::Ip6) | None, Some(Proto::Upper(number, ..))) => number,
            _ => return Err(self.unexpected("a protocol's number")),
        };
        self.at += 1;
        self.primitives.proto_number(of, number)
    }

    fn net4(&mut self, (proto, direction): (Option<Proto>, Direction), address: u32, parts: u8) -> Result {
        let bits = u32::from(parts) * 8;
        let address = address << (32 - bits);
        let mask = if self.takes_word("mask") {
            match self.peek(0) {
                Some(&Token::Dotted(mask, 4)) => {
                    self.at += 1;
                    mask
                }
                _ => return Err(self.unexpected("a mask such as 255.255.0.0")),
            }
        } else {
            let bits = self.prefix_bits(Kind::Net, 32)?.unwrap_or(bits);
            u32::MAX.checked_shl(32 - bits).unwrap_or(0)
        };
        if address & !mask != 0 {
            let address = std::net::Ipv4Addr::from_bits(address);
            return Err(FilterError::new(format!("net {address} has bits set outside its mask")));
        }
        self.primitives.net4(proto, direction, address, mask)
    }

    fn prefix_bits(&mut self, kind: Kind, max: u32) -> Result<Option<u32>> {
        if !self.takes_sign("/") {
            return Ok(None);
        }
        if kind != Kind::Net {
            return Err(FilterError::new("`host` has no prefix length: write `net`"));
        }
        match self.peek(0) {
            Some(&Token::Number(bits)) if bits <= max => {
                self.at += 1;
                Ok(Some(bits))
            }
            _ => Err(self.unexpected(&format!("a prefix length from 0 to {max}"))),
        }
    }

    fn number(&mut self, what: &str) -> Result<u32> {
        self.optional_number().ok_or_else(|| self.unexpected(what))
    }

    fn optional_number(&mut self) -> Option<u32> {
        let &Token::Number(number) = self.peek(0)? else { return None };
        self.at += 1;
        Some(number)
    }
}
