//! Messages between a VF and its PF, put together from the words of the mailbox memory.

use vfwire_recorder::{Access, Space, What};
use vfwire_spec::{
    intel::mailbox::{ACK, FromPf, Header, Message, PFACK, PFSTS, PFU, REQ, RSTD, RSTI, Reply, VFU, Verdict, WORDS},
    reg::{RegArray, Rw},
};

/// A mailbox, and what is said in it.
pub(crate) struct MailboxWords {
    /// The BAR that it is in.
    pub(crate) bar: u8,
    /// Where the flags are.
    pub(crate) flags: u32,
    /// The memory.
    pub(crate) memory: RegArray<u32, Rw>,
    /// What a request with this code is called.
    pub(crate) code_name: fn(u16) -> Option<&'static str>,
    /// What a request asks for.
    pub(crate) request: fn(Message) -> String,
}

impl MailboxWords {
    /// The names of the flags that are set, where it is the register of the flags.
    pub(super) fn flags_of(&self, access: &Access) -> Option<String> {
        const NAMES: [(u32, &str); 8] =
            [(REQ, "REQ"), (ACK, "ACK"), (VFU, "VFU"), (PFU, "PFU"), (PFSTS, "PFSTS"), (PFACK, "PFACK"), (RSTI, "RSTI"), (RSTD, "RSTD")];
        if access.space != Space::Bar(self.bar) || access.offset != self.flags || access.value == u64::from(u32::MAX) {
            return None;
        }
        let set: Vec<_> = NAMES.iter().filter(|(bit, _)| access.value & u64::from(*bit) != 0).map(|(_, name)| *name).collect();
        Some(set.join(" ")).filter(|names| !names.is_empty())
    }

    fn word_of(&self, access: &Access) -> Option<usize> {
        let index = if access.space == Space::Bar(self.bar) { self.memory.index_of(access.offset)? } else { return None };
        usize::try_from(index).ok()
    }

    fn name(&self, code: u16) -> String {
        (self.code_name)(code).map_or_else(|| format!("message {code:#x}"), str::to_owned)
    }

    /// A message in words.
    pub(super) fn tell(&self, to_pf: bool, words: [u32; WORDS]) -> String {
        let message = Message::new(words);
        if to_pf {
            return format!("→ PF  {}: {}", self.name(message.header().code()), (self.request)(message));
        }
        match FromPf::decode(message) {
            FromPf::Control { clear_to_send } => format!("← PF  something has changed{}", clear(clear_to_send)),
            FromPf::Reply(reply) => self.tell_reply(&reply, words),
        }
    }

    fn tell_reply(&self, reply: &Reply, words: [u32; WORDS]) -> String {
        let verdict = match reply.verdict() {
            Verdict::Ack => "done",
            Verdict::Nack => "refused",
            Verdict::Unclear => "neither done nor refused",
        };
        let used = words.iter().rposition(|word| *word != 0).unwrap_or(0);
        let rest: String = words[1..=used.max(1)].iter().map(|word| format!(" {word:08x}")).collect();
        let rest = if used == 0 { String::new() } else { format!(", words{rest}") };
        let clear = clear(reply.is_clear_to_send());
        let code = Header(words[0]).code();
        format!("← PF  answer to {}: {verdict}{clear}{rest}", self.name(code))
    }
}

fn clear(to_send: bool) -> &'static str {
    if to_send { ", clear to send" } else { ", not clear to send" }
}

/// Puts messages together: neighbouring accesses to the memory, one way, are one message.
pub(super) struct Talk {
    mailbox: Option<&'static MailboxWords>,
    /// Whether it goes to the PF, and its words.
    open: Option<(bool, [u32; WORDS])>,
}

impl Talk {
    pub(super) fn new(mailbox: Option<&'static MailboxWords>) -> Self {
        Self { mailbox, open: None }
    }

    /// Whether a step is part of a message, and the message that ended before it.
    pub(super) fn hear(&mut self, what: &What) -> (bool, Option<String>) {
        let (to_pf, access) = match what {
            What::Read { access, .. } => (false, access),
            What::Write(access) => (true, access),
            _ => return (false, self.end()),
        };
        let word = self.mailbox.and_then(|mailbox| mailbox.word_of(access)).zip(u32::try_from(access.value).ok());
        let Some((index, value)) = word else { return (false, self.end()) };
        // The first word begins a message.
        let goes_on = index != 0 && self.open.is_some_and(|(other, _)| other == to_pf);
        let said = if goes_on { None } else { self.end() };
        let (_, words) = self.open.get_or_insert((to_pf, [0; WORDS]));
        if let Some(word) = words.get_mut(index) {
            *word = value;
        }
        (true, said)
    }

    /// The message that has ended, if there is one.
    pub(super) fn end(&mut self) -> Option<String> {
        let (to_pf, words) = self.open.take()?;
        self.mailbox.map(|mailbox| format!("  {}", mailbox.tell(to_pf, words)))
    }
}
