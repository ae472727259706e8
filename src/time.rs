//! Time as the state machines see it: an integer that their driver hands them.
