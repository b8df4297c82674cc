//! Command lines for tests.

use crate::exec_credential::ExecInfo;
use crate::options::args::read;
use crate::options::{Inputs, OptionSet, Values};
use crate::os::env::Env;

/// What kubectl sets.
pub(crate) const EXEC: (&str, &str) = ("KUBERNETES_EXEC_INFO", "{}");

/// What `then` makes of the words of a command line in an environment.
pub(crate) fn with_inputs<const N: usize, T>(line: &str, env: [(&str, &str); N], then: impl FnOnce(&Inputs) -> T) -> T {
    let env = Env::from(env);
    let args: Vec<_> = line.split_whitespace().map(String::from).collect();
    let given = read(&args, OptionSet::TOKEN).unwrap();
    let values = Values::resolve(&given, &env);
    let exec = ExecInfo::from_env(&env).unwrap();
    then(&Inputs { given: &given, values: &values, env: &env, exec: &exec, audience: None })
}
