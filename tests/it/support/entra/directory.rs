//! Who and what there is: tenants, apps, resources and users.

/// The default tenant, also known as `contoso.onmicrosoft.com`.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// A verified domain of [`TENANT`].
pub const TENANT_DOMAIN: &str = "contoso.onmicrosoft.com";
/// A second tenant, also known as `fabrikam.onmicrosoft.com`.
pub const OTHER_TENANT: &str = "22222222-2222-4222-8222-222222222222";
/// The AKS server app: the audience of tokens for clusters.
pub const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
/// The AKS client app: public, in every tenant.
pub const AKS_CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";
/// Azure Resource Manager in the public cloud, as az asks for it.
pub const ARM: &str = "https://management.core.windows.net/";
/// Microsoft Graph, the resource of a request that names none.
pub const GRAPH: &str = "https://graph.microsoft.com";
/// A confidential app of both tenants.
pub const APP: &str = "33333333-3333-4333-8333-333333333333";
/// Its secret, full of characters that a careless form encoder gets wrong.
pub const APP_SECRET: &str = "s3cr3t+with%percent&and=equals é~";
/// Another secret of [`APP`], which has expired.
pub const APP_EXPIRED_SECRET: &str = "0ld-s3cr3t";
/// The object id of [`APP`]'s service principal in [`TENANT`].
pub const APP_OID: &str = "44444444-4444-4444-8444-444444444444";
/// At home in [`TENANT`], guest in [`OTHER_TENANT`].
pub const ALICE: &str = "alice@contoso.onmicrosoft.com";
/// Alice's object id at home.
pub const ALICE_OID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
/// Alice's object id as a guest of [`OTHER_TENANT`].
pub const ALICE_GUEST_OID: &str = "aaaaaaaa-bbbb-4aaa-8aaa-aaaaaaaaaaaa";
/// At home in [`TENANT`] and nowhere else.
pub const BOB: &str = "bob@contoso.onmicrosoft.com";
/// Bob's object id.
pub const BOB_OID: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
/// A group that Alice is in.
pub const ADMINS: &str = "99999999-0000-4000-8000-000000000001";
/// A group that Alice and Bob are in.
pub const DEVELOPERS: &str = "99999999-0000-4000-8000-000000000002";

/// A tenant; `names` are its GUID and verified domains.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The GUID.
    pub id: String,
    /// Verified domains.
    pub domains: Vec<String>,
}

/// An app registration together with its service principals.
#[derive(Clone, Debug)]
pub struct App {
    /// The client id.
    pub client_id: String,
    /// Whether it may do without a secret.
    pub public: bool,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// Where it has a service principal; empty means everywhere, as for Microsoft's own apps.
    pub tenants: Vec<String>,
    /// Object id of the service principal.
    pub oid: String,
    /// Groups the service principal is in.
    pub groups: Vec<String>,
}

/// A client secret.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its value.
    pub value: String,
    /// Whether Entra answers 7000222 to it.
    pub expired: bool,
}

/// A person.
#[derive(Clone, Debug)]
pub struct User {
    /// User principal name.
    pub upn: String,
    /// Where the account lives.
    pub home_tenant: String,
    /// Object id in the home tenant.
    pub oid: String,
    /// Groups in the home tenant.
    pub groups: Vec<String>,
    /// Other tenants that have invited the user.
    pub guest_of: Vec<Guest>,
}

/// A user's entry in a tenant that is not the home tenant.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The inviting tenant.
    pub tenant: String,
    /// Object id there.
    pub oid: String,
}

/// How a user appears in one tenant.
#[derive(Clone, Debug)]
pub struct Member {
    /// User principal name at home.
    pub upn: String,
    /// The tenant.
    pub tenant: String,
    /// Object id in this tenant.
    pub oid: String,
    /// Groups in this tenant.
    pub groups: Vec<String>,
    /// Whether the account lives elsewhere.
    pub guest: bool,
    /// `uid` and `utid` of `client_info`: object id and tenant at home.
    pub home: (String, String),
}

impl User {
    /// The user's entry in `tenant`, if there is one.
    pub fn in_tenant(&self, tenant: &str) -> Option<Member> {
        let home = self.home_tenant == tenant;
        let invitation = self.guest_of.iter().find(|guest| guest.tenant == tenant);
        let oid = match invitation {
            _ if home => &self.oid,
            Some(guest) => &guest.oid,
            None => return None,
        };
        Some(Member {
            upn: self.upn.clone(),
            tenant: tenant.to_owned(),
            oid: oid.clone(),
            groups: if home { self.groups.clone() } else { Vec::new() },
            guest: !home,
            home: (self.oid.clone(), self.home_tenant.clone()),
        })
    }
}

/// Everything registered in the fake.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) tenants: Vec<Tenant>,
    pub(super) apps: Vec<App>,
    pub(super) resources: Vec<String>,
    pub(super) users: Vec<User>,
}

impl Directory {
    /// The world that every test starts from.
    pub(super) fn default_world() -> Self {
        let mut world = Self::default();
        world.add_tenant(TENANT, &[TENANT_DOMAIN]);
        world.add_tenant(OTHER_TENANT, &["fabrikam.onmicrosoft.com"]);
        for resource in [AKS_SERVER, ARM, "https://management.azure.com", GRAPH] {
            world.resources.push(resource.to_owned());
        }
        world.apps = vec![aks_client(), confidential_app()];
        world.users = vec![alice(), bob()];
        world
    }

    pub(super) fn add_tenant(&mut self, id: &str, domains: &[&str]) {
        self.tenants.retain(|tenant| tenant.id != id);
        self.tenants.push(Tenant { id: id.to_owned(), domains: owned(domains) });
    }

    pub(super) fn add_app(&mut self, app: App) {
        self.apps.retain(|known| known.client_id != app.client_id);
        self.apps.push(app);
    }

    pub(super) fn add_user(&mut self, user: User) {
        self.users.retain(|known| known.upn != user.upn);
        self.users.push(user);
    }

    /// By GUID or verified domain, in any case.
    pub(super) fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| {
            let mut names = tenant.domains.iter().chain([&tenant.id]);
            names.any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    pub(super) fn app(&self, client_id: &str, tenant: &str) -> Option<&App> {
        let app = self.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id))?;
        let here = app.tenants.is_empty() || app.tenants.iter().any(|known| known == tenant);
        here.then_some(app)
    }

    /// The resource as registered; a trailing slash makes no difference to Entra.
    pub(super) fn resource(&self, name: &str) -> Option<&str> {
        let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
        let found = self.resources.iter().find(|known| plain(known) == plain(name));
        found.map(String::as_str)
    }

    pub(super) fn user(&self, upn: &str) -> Option<&User> {
        self.users.iter().find(|user| user.upn.eq_ignore_ascii_case(upn))
    }
}

fn aks_client() -> App {
    App {
        client_id: AKS_CLIENT.to_owned(),
        public: true,
        secrets: Vec::new(),
        tenants: Vec::new(),
        oid: "80faf920-0000-4000-8000-000000000000".to_owned(),
        groups: Vec::new(),
    }
}

fn confidential_app() -> App {
    App {
        client_id: APP.to_owned(),
        public: false,
        secrets: vec![
            Secret { value: APP_SECRET.to_owned(), expired: false },
            Secret { value: APP_EXPIRED_SECRET.to_owned(), expired: true },
        ],
        tenants: owned(&[TENANT, OTHER_TENANT]),
        oid: APP_OID.to_owned(),
        groups: owned(&[DEVELOPERS]),
    }
}

fn alice() -> User {
    User {
        upn: ALICE.to_owned(),
        home_tenant: TENANT.to_owned(),
        oid: ALICE_OID.to_owned(),
        groups: owned(&[ADMINS, DEVELOPERS]),
        guest_of: vec![Guest { tenant: OTHER_TENANT.to_owned(), oid: ALICE_GUEST_OID.to_owned() }],
    }
}

fn bob() -> User {
    User {
        upn: BOB.to_owned(),
        home_tenant: TENANT.to_owned(),
        oid: BOB_OID.to_owned(),
        groups: owned(&[DEVELOPERS]),
        guest_of: Vec::new(),
    }
}

pub(super) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
