//! Everything outside the process comes in through [`Sys`]: arguments, environment, clock, HTTP,
//! the programs of others and the terminal. Clippy forbids the ambient ways, so what a function can reach is what it is
//! given. The real one is made by [`crate::world`].

pub(crate) mod http;

use std::rc::Rc;

use crate::os::browser::Browser;
use crate::os::clock::Clock;
use crate::os::env::{Env, USER_ONLY, belongs_to_machine};
use crate::os::process::ProgramRunner;
use crate::os::{OWN_NAMES, own_name};
use crate::terminal::Terminal;

use crate::sys::http::Http;

/// The world as one process sees it.
pub struct Sys {
    /// The arguments, the program's name first.
    pub args: Vec<String>,
    /// The environment as it was at the start.
    pub env: Env,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// The network; nothing is set up before the first request.
    pub http: Box<dyn Http>,
    /// The programs of others; nothing is started before one is asked.
    pub programs: Box<dyn ProgramRunner>,
    /// What opens a browser.
    pub browser: Rc<dyn Browser>,
    /// The command line of the program that has started us; empty where it can't be known.
    pub parent: fn() -> Vec<String>,
    /// What people read.
    pub terminal: Terminal,
}

impl Sys {
    /// The name that we were called by, for messages, help and the entries that convert writes.
    pub fn called_as(&self) -> &'static str {
        self.args.first().and_then(|path| own_name(path)).unwrap_or(OWN_NAMES[0])
    }

    /// The world as kubectl would show it to the program of an exec entry with these `variables`. What
    /// was injected here is injected there.
    #[must_use]
    pub fn for_exec_entry(&self, variables: &[(String, String)]) -> Self {
        let env = self.env.with_entry(variables);
        let world = Self {
            args: self.args.clone(),
            clock: self.clock.clone(),
            http: self.http.for_env(&env),
            programs: self.programs.for_env(&env),
            browser: self.browser.clone(),
            parent: self.parent,
            terminal: self.terminal.for_env(&env),
            env,
        };
        let of_user = USER_ONLY.into_iter().filter(|name| world.env.is_overridden(name));
        let of_machine = variables.iter().map(|(name, _)| name.as_str()).filter(|name| belongs_to_machine(name));
        for name in of_user.chain(of_machine) {
            world.terminal.detail(1, || format!("the entry's {name} does not count here"));
        }
        world
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A world in which nothing is there, for tests to put in what they need.

    use super::{Env, Rc, Sys, Terminal};
    use crate::os::browser::fake::NoBrowser;
    use crate::os::clock::fake::FakeClock;
    use crate::os::process::fake::NoPrograms;

    use super::http::fake::FakeHttp;

    impl Sys {
        /// No arguments, no variables, a clock that passes at once, no answer from the network, no program, no
        /// browser, and a terminal that nobody reads.
        pub(crate) fn fake() -> Self {
            Self {
                args: Vec::new(),
                env: Env::default(),
                clock: Rc::new(FakeClock::default()),
                http: Box::new(FakeHttp::default()),
                programs: Box::new(NoPrograms),
                browser: Rc::new(NoBrowser),
                parent: Vec::new,
                terminal: Terminal::to(std::io::sink()),
            }
        }
    }
}
