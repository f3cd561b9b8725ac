//! The tests of this package are what there is of it.
