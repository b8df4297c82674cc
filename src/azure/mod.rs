//! What is Azure's own: its clouds, and the ids that name things in them.

pub(crate) mod cloud;
pub(crate) mod id;
pub(crate) mod stack_file;
