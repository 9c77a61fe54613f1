//! The only folder that knows a database: rows in, rows out, and no rules.

pub(crate) mod rows;
