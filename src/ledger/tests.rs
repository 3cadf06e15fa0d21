//! Each verb of the ledger on a file of its own.
