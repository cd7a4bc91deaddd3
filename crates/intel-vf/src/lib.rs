//! What Intel's igb and ixgbe virtual functions share: the mailbox and advanced descriptors.
