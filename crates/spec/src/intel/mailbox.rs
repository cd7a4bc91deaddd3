//! The mailbox between a VF and its PF: 16 words of memory and one register of flags.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, and "Intel 82599 10 GbE Controller Datasheet", rev. 3.4:
//! registers VFMailbox and VMBMEM / VFMBMEM, and the mailbox section of their virtualization chapters. The hardware gives memory and
//! flags; what the words mean is a convention between Intel's PF and VF drivers.
//!
//! A request: take the memory by setting [`VFU`], check that it stayed set, write the words, set [`REQ`] (which gives the memory back).
//! The PF sets [`PFACK`] when it has read them, and [`PFSTS`] when its answer lies in the same memory; the VF reads it and sets [`ACK`].
//! This module holds the words and flags of it; waiting and deadlines are the driver's.

/// Words of the mailbox memory, 32 bits each.
pub const WORDS: usize = 16;

/// VFMailbox, written by the VF: a request for the PF lies in the memory.
pub const REQ: u32 = 1 << 0;
/// VFMailbox, written by the VF: the PF's message was read.
pub const ACK: u32 = 1 << 1;
/// VFMailbox: the VF holds the memory. It stays clear where the PF holds it.
pub const VFU: u32 = 1 << 2;
/// VFMailbox, read-only: the PF holds the memory.
pub const PFU: u32 = 1 << 3;
/// VFMailbox, cleared by reading: the PF wrote a message.
pub const PFSTS: u32 = 1 << 4;
/// VFMailbox, cleared by reading: the PF has read our message.
pub const PFACK: u32 = 1 << 5;
/// VFMailbox, read-only: the PF is in reset.
pub const RSTI: u32 = 1 << 6;
/// VFMailbox, cleared by reading: the PF's reset is over.
pub const RSTD: u32 = 1 << 7;
/// VFMailbox: every bit that a read clears. What a read saw of them must be kept.
pub const CLEAR_ON_READ: u32 = PFSTS | PFACK | RSTD;

/// The code that a PF uses for messages of its own: link or PF state has changed.
pub const PF_CONTROL: u16 = 0x0100;

/// The first word of a message: 15:0 code, 23:16 info, 29 clear to send, 30 refused, 31 done.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Header(pub u32);

impl Header {
    /// The PF did what was asked.
    pub const ACK: u32 = 1 << 31;
    /// The PF refused.
    pub const NACK: u32 = 1 << 30;
    /// The PF regards the VF as initialised: it has seen RESET since its own last reset.
    pub const CTS: u32 = 1 << 29;
    /// Where the 8-bit info begins.
    pub const INFO_SHIFT: u32 = 16;

    /// A request: `info` depends on the code.
    pub const fn request(code: u16, info: u8) -> Self {
        Self(code as u32 | (info as u32) << Self::INFO_SHIFT)
    }

    /// What is asked or answered.
    pub const fn code(self) -> u16 {
        let [low, high, _, _] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The code's own argument.
    pub const fn info(self) -> u8 {
        self.0.to_le_bytes()[2]
    }

    /// What the PF says of a request.
    pub const fn verdict(self) -> Verdict {
        match (self.0 & Self::ACK != 0, self.0 & Self::NACK != 0) {
            (true, false) => Verdict::Ack,
            (false, true) => Verdict::Nack,
            _ => Verdict::Unclear,
        }
    }

    /// The PF regards the VF as initialised.
    pub const fn is_clear_to_send(self) -> bool {
        self.0 & Self::CTS != 0
    }

    /// The PF's answer to this request.
    pub const fn answered(self, verdict: Verdict, clear_to_send: bool) -> Self {
        let flags = match verdict {
            Verdict::Ack => Self::ACK,
            Verdict::Nack => Self::NACK,
            Verdict::Unclear => 0,
        };
        Self(self.0 | flags | if clear_to_send { Self::CTS } else { 0 })
    }
}

impl core::fmt::Debug for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Header({:#010x})", self.0)
    }
}

/// What a PF says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Ack,
    /// Refused.
    Nack,
    /// Neither, or both: no answer that the protocol knows.
    Unclear,
}

/// A message: 1 to 16 words, the first of them its [`Header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    words: [u32; WORDS],
    len_words: usize,
}

impl Message {
    /// A message of these words. Between 1 and 16 words, which is checked when it is compiled.
    pub const fn new<const N: usize>(words: [u32; N]) -> Self {
        const { assert!(N >= 1 && N <= WORDS, "a message has 1 to 16 words") };
        let mut all = [0; WORDS];
        let mut at = 0;
        while at < N {
            all[at] = words[at];
            at += 1;
        }
        Self { words: all, len_words: N }
    }

    /// The words to write into the memory, or those that were read from it.
    pub fn words(&self) -> &[u32] {
        &self.words[..self.len_words]
    }

    /// The memory's content with this message in it; words beyond the message are zero.
    pub const fn memory(&self) -> &[u32; WORDS] {
        &self.words
    }

    /// The same message with `value` as its word `at`, made longer where it must be: how a PF answers in the request's own words.
    ///
    /// # Panics
    /// Where `at` is not below [`WORDS`]: an index is ours, never a device's.
    pub const fn with(mut self, at: usize, value: u32) -> Self {
        self.words[at] = value;
        if self.len_words <= at {
            self.len_words = at + 1;
        }
        self
    }

    /// The same message as a PF's answer.
    pub const fn answered(self, verdict: Verdict, clear_to_send: bool) -> Self {
        self.with(0, self.header().answered(verdict, clear_to_send).0)
    }

    /// The first word.
    pub const fn header(&self) -> Header {
        Header(self.words[0])
    }

    /// Words `at` and `at + 1`, which is where a MAC address lies. Zero beyond the message.
    pub fn pair(&self, at: usize) -> [u32; 2] {
        [0, 1].map(|next| self.words.get(at + next).copied().unwrap_or(0))
    }
}

/// A message from the PF, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromPf {
    /// The PF's own: link or PF state has changed. Not clear to send: the VF must initialise again.
    Control {
        /// The PF still regards the VF as initialised.
        clear_to_send: bool,
    },
    /// The answer to a request, or whatever else was in the memory.
    Reply(Reply),
}

impl FromPf {
    /// Sorts what was read from the mailbox memory.
    pub const fn decode(message: Message) -> Self {
        let header = message.header();
        if header.code() == PF_CONTROL {
            return Self::Control { clear_to_send: header.is_clear_to_send() };
        }
        Self::Reply(Reply { message })
    }

    /// The PF's control message.
    pub const fn control(clear_to_send: bool) -> Message {
        Message::new([Header::request(PF_CONTROL, 0).answered(Verdict::Unclear, clear_to_send).0])
    }
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    message: Message,
}

impl Reply {
    /// The code of the request that is answered; the caller compares it with what it asked.
    pub const fn code(&self) -> u16 {
        self.message.header().code()
    }

    /// Done, refused, or neither.
    pub const fn verdict(&self) -> Verdict {
        self.message.header().verdict()
    }

    /// The PF regards the VF as initialised. Answers to RESET never say so.
    pub const fn is_clear_to_send(&self) -> bool {
        self.message.header().is_clear_to_send()
    }

    /// The PF refused and no longer regards the VF as initialised: begin again with RESET. Not meant for the answer to RESET itself.
    pub const fn lost_clear_to_send(&self) -> bool {
        matches!(self.verdict(), Verdict::Nack) && !self.is_clear_to_send()
    }

    /// The whole message.
    pub const fn message(&self) -> &Message {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `e1000_mbx.h` and, with the same values, `ixgbe_mbx.h`.
    #[test]
    fn register_bits() {
        assert_eq!([REQ, ACK, VFU, PFU, PFSTS, PFACK, RSTI, RSTD], [1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80]);
        assert_eq!(CLEAR_ON_READ, 0xb0);
    }

    /// QEMU `igb_regs.h`, E1000_VT_MSGTYPE_*, E1000_VT_MSGINFO_SHIFT and _MASK, E1000_PF_CONTROL_MSG.
    #[test]
    fn header_bits() {
        assert_eq!([Header::ACK, Header::NACK, Header::CTS], [0x8000_0000, 0x4000_0000, 0x2000_0000]);
        assert_eq!(Header::request(0, 0xff).0, 0xff << 16);
        assert_eq!(PF_CONTROL, 0x100);
        let header = Header(0xa002_0006);
        assert_eq!((header.code(), header.info(), header.verdict(), header.is_clear_to_send()), (6, 2, Verdict::Ack, true));
    }

    #[test]
    fn answers_keep_the_request() {
        let request = Header::request(4, 1);
        assert_eq!(request.answered(Verdict::Nack, true).0, 0x6001_0004);
        assert_eq!(request.answered(Verdict::Ack, false).0, 0x8001_0004);
        assert_eq!(Header(0xc000_0001).verdict(), Verdict::Unclear);
        assert_eq!(Header(1).verdict(), Verdict::Unclear);
    }

    #[test]
    fn answers_are_written_into_the_request() {
        let request = Message::new([Header::request(9, 0).0]);
        let answer = request.with(2, 4).answered(Verdict::Ack, true);
        assert_eq!(answer.words(), [0xa000_0009, 0, 4]);
    }

    #[test]
    fn messages_are_sorted() {
        assert_eq!(FromPf::decode(FromPf::control(true)), FromPf::Control { clear_to_send: true });
        assert_eq!(FromPf::control(true).words(), [0x2000_0100]);
        assert_eq!(FromPf::decode(FromPf::control(false)), FromPf::Control { clear_to_send: false });
        let FromPf::Reply(lost) = FromPf::decode(Message::new([0x4000_0002, 0, 0])) else { panic!("an answer to SET_MAC") };
        assert!(lost.lost_clear_to_send());
        assert_eq!(lost.code(), 2);
        let FromPf::Reply(refused) = FromPf::decode(Message::new([0x6000_0002])) else { panic!("an answer to SET_MAC") };
        assert!(!refused.lost_clear_to_send());
    }

    #[test]
    fn nothing_that_a_pf_writes_panics() {
        for word in [0, u32::MAX, 0xdead_beef] {
            let message = Message::new([word; WORDS]);
            let _ = FromPf::decode(message);
            assert_eq!(message.pair(15), [word, 0]);
            assert_eq!(message.pair(40), [0, 0]);
        }
    }
}
