//! What needs no judge: nothing that is given makes a filter panic or loop. What filters select: `tests/judges.rs`.

use super::*;
use proptest::prelude::*;

#[test]
fn an_empty_text_takes_every_frame() {
    let filter = Filter::new("  ").unwrap();
    assert!(filter.accepts(&[], 0) && filter.accepts(&[1; 60], 60));
    assert!(!Filter::new("less 59").unwrap().accepts(&[1; 60], 60));
}

const WORDS: &str =
    "ip tcp ether len vlan mpls port host net not and or ( ) [ ] : & = != 4 0 10 53 10.0.0.0 ::1 2:0:0:0:0:1 - + / << 7-9 src dst proto";

proptest! {
    #[test]
    fn any_text_is_a_filter_or_an_error(text in "\\PC{0,40}", data in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(filter) = Filter::new(&text) {
            filter.accepts(&data, 80);
        }
    }

    #[test]
    fn any_words_are_a_filter_or_an_error(
        words in proptest::collection::vec(prop::sample::select(WORDS.split(' ').collect::<Vec<_>>()), 0..24),
        data in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Ok(filter) = Filter::new(&words.join(" ")) {
            filter.accepts(&data, 80);
        }
    }
}
