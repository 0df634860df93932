//! Tests of what the commands print.

mod golden;
