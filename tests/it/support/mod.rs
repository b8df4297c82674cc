//! The fake world: everything Azure and Kubernetes that a test or the demo talks to, on loopback.
//!
//! | Part | Stands for |
//! |---|---|
//! | [`tls::Authority`] | the CA that the machine trusts |
//! | [`entra::FakeEntra`] | Entra ID in every cloud, and an AD FS |
//! | [`apiserver::FakeApiServer`] | the API server of an AKS cluster |
//! | [`arm::FakeArm`] | Azure Resource Manager, which hands out kubeconfigs |
//! | [`hosts::FakeHosts`] | managed identity on every host, and the OIDC of CI systems |
//! | [`token_proxy::TokenProxy`] | the way to Entra of pods with an identity binding |
//! | [`az::FakeTool`] | `az` and `azd` on PATH |
//! | [`az_merge::merge`] | what az makes of a kubeconfig before it calls us |
//! | [`browser::FakeBrowser`], [`browser::FakeOpener`] | a browser, and what opens it |
//! | [`chromium::Chromium`] | nothing: it is the real one, if it is installed |
//! | [`proxy::FakeProxy`] | the network: leads the real host names to the fakes |

#![allow(dead_code, unreachable_pub, reason = "every test binary and the demo take only a part of this world")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "servers for tests live in real time and may give up loudly"
)]

pub mod apiserver;
pub mod arm;
pub mod az;
pub mod az_merge;
pub mod browser;
pub mod certificates;
pub mod chromium;
mod clock;
pub mod entra;
pub mod hosts;
pub mod http;
mod listener;
pub mod pop;
pub mod proxy;
pub mod skip;
pub mod tls;
pub mod token_proxy;

use apiserver::FakeApiServer;
use browser::FakeBrowser;
use entra::{ENTRA_HOSTS, FakeEntra};
use hosts::FakeHosts;
use proxy::FakeProxy;
pub use skip::missing;
use std::fs;
use std::path::{Path, PathBuf};
use tls::Authority;
use token_proxy::TokenProxy;

/// All fakes, wired together.
pub struct World {
    /// Signs the certificates of the others.
    pub authority: Authority,
    /// Entra ID with its default directory (see [`entra::directory`]).
    pub entra: FakeEntra,
    /// Leads port 443 of every cloud's login host to [`entra`](Self::entra).
    pub proxy: FakeProxy,
    /// A cluster that trusts the default tenant and the AKS server app.
    pub api: FakeApiServer,
    /// The places that know who they run.
    pub hosts: FakeHosts,
    /// Leads assertions to [`entra`](Self::entra).
    pub token_proxy: TokenProxy,
    ca_file: PathBuf,
}

impl World {
    /// Starts everything and writes `ca.pem` into `directory`.
    pub fn start(directory: &Path) -> Self {
        let authority = Authority::new();
        let entra = FakeEntra::start(&authority);
        let api = FakeApiServer::start(&authority, &entra);
        let proxy = FakeProxy::start();
        for host in ENTRA_HOSTS {
            proxy.route(&format!("{host}:443"), entra.addr());
        }
        let hosts = FakeHosts::start(&authority, &entra, &directory.join("arc-keys"));
        let token_proxy = TokenProxy::start(&entra);
        fs::write(directory.join("token-proxy-ca.pem"), token_proxy.ca_pem()).expect("the directory can be written to");
        let ca_file = directory.join("ca.pem");
        fs::write(&ca_file, authority.ca_pem()).expect("the directory can be written to");
        Self { authority, entra, proxy, api, hosts, token_proxy, ca_file }
    }

    /// A browser that trusts this world and finds Entra in it.
    pub fn browser(&self) -> FakeBrowser {
        FakeBrowser::new(&self.authority, &self.entra)
    }

    /// The PEM file with the CA, for `SSL_CERT_FILE` and the like.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}
