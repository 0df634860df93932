//! Kernels that lack newer calls, played by a filter or by `strace`; `tests/kernels/` boots real
//! ones.

mod calls;
mod sets_unnamed;
