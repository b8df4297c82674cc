//! Whether this machine has a managed identity of IMDS, and the memory that it has none.

use std::path::Path;

use crate::cache::{Cache, Slot, TokenEntry};
use crate::cache_key::CacheKey;
use crate::entra::{Session, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::managed_identity::{self, imds};

use super::super::Login;
use super::methods::ImdsProbe;

/// The token of this machine's identity, or why there is none. Only a machine that has an identity
/// is asked in earnest: on a laptop the address of IMDS swallows whatever is sent to it. One that has
/// `served` this very request before needs no probe, which on a busy machine may come too late.
pub(super) async fn try_imds(
    session: &Session<'_>,
    memory: &NegativeCache<'_>,
    login: &Login,
    question: &ImdsProbe,
    served: bool,
) -> Result<Result<TokenResponse, String>, Error> {
    let now = session.sys.clock.now();
    if !served && memory.says_absent(now) {
        return Ok(Err("IMDS was not there when it was last looked for".into()));
    }
    let seen = if served { imds::ProbeResult::Imds } else { imds::probe(session.sys).await };
    match seen {
        imds::ProbeResult::Imds => {}
        imds::ProbeResult::Unclear => return Ok(Err("IMDS is not there, or not well".into())),
        imds::ProbeResult::Slow => {
            memory.absent(session, now.saturating_sub(ABSENT_FOR - SLOW_FOR));
            return Ok(Err("no IMDS answers in half a second".into()));
        }
        imds::ProbeResult::Nobody => {
            memory.absent(session, now);
            return Ok(Err("no IMDS answers".into()));
        }
    }
    // Whoever names an identity is not to be signed in as somebody else.
    let named = question.wanted.selector.is_some();
    match login.acquire(session).await {
        Ok(grant) => Ok(Ok(grant)),
        // The probe, or an earlier token, has shown that it is there: only the identity can be missing.
        Err(error) if !named && error.kind() == ErrorKind::IdentityUnknown => {
            memory.absent(session, now);
            Ok(Err(error.what().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// That an identity was looked for in vain.
pub(super) struct NegativeCache<'c> {
    slot: Option<Slot<'c>>,
    /// How long it counts, in seconds.
    good_for: u64,
}

/// A machine does not become another one while it runs, but an identity may be given to it.
const ABSENT_FOR: u64 = 24 * 3600;
/// What was too slow to be known is looked for again after this time.
const SLOW_FOR: u64 = 600;
/// Where nothing else is there it is worth another probe: some containers have their identity a
/// while after their start only. Processes that run at the same time share one.
const ABSENT_FOR_LAST_HOPE: u64 = 10;

impl<'c> NegativeCache<'c> {
    pub(super) fn of(cache: &'c Cache, question: &ImdsProbe, last_hope: bool) -> Self {
        let mut identity = CacheKey::new("absence of IMDS");
        identity.field("url", question.host.host().endpoint.as_str());
        if let Some(selector) = &question.wanted.selector {
            identity.field(selector.by.words(), &selector.id);
        }
        identity.field("machine", &machine());
        let good_for = if last_hope { ABSENT_FOR_LAST_HOPE } else { ABSENT_FOR };
        Self { slot: cache.slot(&identity), good_for }
    }

    fn says_absent(&self, now: u64) -> bool {
        let seen = self.slot.as_ref().map(Slot::read).unwrap_or_default();
        seen.imds_absent_at.is_some_and(|on| on <= now && now - on < self.good_for)
    }

    fn absent(&self, session: &Session<'_>, now: u64) {
        if let Some(slot) = &self.slot {
            slot.write(session.sys, &TokenEntry { imds_absent_at: Some(now), ..TokenEntry::default() });
        }
    }
}

/// What tells this machine from others that share a home directory with it, also after a restart: a
/// person who has signed in here stays signed in. Containers of one image may have one id.
pub(super) fn machine() -> String {
    let read =
        |path: &str| crate::os::files::read_text(Path::new(path), 1024).ok().filter(|text| !text.trim().is_empty());
    match read("/etc/machine-id") {
        Some(id) => format!("{id}{}", read("/proc/sys/kernel/hostname").unwrap_or_default()),
        None => managed_identity::machine().unwrap_or_default(),
    }
}
