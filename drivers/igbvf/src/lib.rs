//! Driver of the Intel 82576 and I350 virtual functions.
