//! What is Azure's own: its clouds, and the ids that name things in them.

pub mod cloud;
pub mod id;
pub mod stack_file;
