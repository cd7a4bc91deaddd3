//! Words, numbers, addresses and signs of a filter expression.

use super::FilterError;
use std::net::Ipv6Addr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// A word behind a backslash: a name, never a keyword.
    Name(String),
    Number(u32),
    /// One to four decimal numbers with dots between, from the left.
    Dotted(u32, u8),
    Mac([u8; 6]),
    Ip6(Ipv6Addr),
    Sign(&'static str),
}

/// A token, and where it stands in the text.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Longest first.
const SIGNS: [&str; 22] =
    ["&&", "||", "!=", "==", "<=", ">=", "<<", ">>", "(", ")", "[", "]", ":", "/", "+", "-", "*", "%", "&", "|", "^", "!"];
const SIGNS_LAST: [&str; 3] = ["=", "<", ">"];

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, FilterError> {
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(first) = text[from..].chars().next() {
        if first.is_ascii_whitespace() {
            from += 1;
            continue;
        }
        let (token, len) = token(&text[from..], first)?;
        tokens.push(Placed { token, from, to: from + len });
        from += len;
    }
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), FilterError> {
    let colons = run(rest, |c| c.is_ascii_alphanumeric() || ".:-_".contains(c));
    if let Some(address) = address(colons).filter(|_| first.is_ascii_hexdigit() || first == ':') {
        return Ok((address, colons.len()));
    }
    if first.is_ascii_alphanumeric() {
        let word = run(rest, |c| c.is_ascii_alphanumeric() || ".-_".contains(c)).trim_end_matches(['-', '_']);
        return Ok((word_or_number(word)?, word.len()));
    }
    if let Some(name) = rest.strip_prefix('\\') {
        let name = run(name, |c| c.is_ascii_alphanumeric() || c == '-');
        return Ok((Token::Name(name.to_owned()), name.len() + 1));
    }
    match SIGNS.iter().chain(&SIGNS_LAST).find(|sign| rest.starts_with(**sign)) {
        Some(&sign) => {
            let same = match sign {
                "==" => "=",
                sign => sign,
            };
            Ok((Token::Sign(same), sign.len()))
        }
        None => Err(FilterError::new(format!("`{first}` means nothing here"))),
    }
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}

/// A MAC address with colons or hyphens, or an IPv6 address.
fn address(text: &str) -> Option<Token> {
    let separator = if text.contains(':') { ':' } else { '-' };
    let parts: Vec<&str> = text.split(separator).collect();
    if let Ok(parts) = <[&str; 6]>::try_from(parts) {
        let mut mac = [0; 6];
        let is_mac = mac.iter_mut().zip(parts).all(|(byte, part)| {
            let value = u8::from_str_radix(part, 16).ok().filter(|_| matches!(part.len(), 1 | 2));
            value.inspect(|value| *byte = *value).is_some()
        });
        if is_mac {
            return Some(Token::Mac(mac));
        }
    }
    text.parse().map(Token::Ip6).ok()
}

fn word_or_number(word: &str) -> Result<Token, FilterError> {
    if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && word.contains('.') {
        return dotted(word)
            .ok_or_else(|| FilterError::new(format!("`{word}` is no IPv4 address: write up to four numbers from 0 to 255")));
    }
    let (digits, radix) = match word.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&word[2..], 16),
        [b'0', _, ..] => (&word[1..], 8),
        _ => (word, 10),
    };
    if !word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(['-', '_']) {
        return Ok(Token::Word(word.to_owned()));
    }
    match u32::from_str_radix(digits, radix) {
        Ok(number) => Ok(Token::Number(number)),
        Err(_) => Err(FilterError::new(format!("`{word}` is no number from 0 to 4294967295"))),
    }
}

fn dotted(word: &str) -> Option<Token> {
    let mut value = 0;
    let mut parts = 0;
    for part in word.split('.') {
        let part: u8 = part.parse().ok()?;
        value = value << 8 | u32::from(part);
        parts += 1;
        if parts > 4 {
            return None;
        }
    }
    Some(Token::Dotted(value, parts))
}
