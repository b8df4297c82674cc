//! Servers as their callers describe them, over real TLS on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::Url;

use super::ReqwestHttp;
use crate::error::ErrorKind;
use crate::os::clock::SystemClock;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{ClientCertificate, Http, Peer, Request, Server, Transport};

static CLUSTER: Peer = Peer { request: "the question", foreign_answer: ErrorKind::AnswerBroken };

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for `name` and its key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Answers one request with the name that the client sent by TLS and whether it showed a certificate.
fn serve(authority: &Authority, name: &str, clients: Option<&Authority>) -> SocketAddr {
    let (certificate, key) = authority.issue(name);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(clients.0.der().clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(config).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut request = [0; 4096];
        let Ok(read) = stream.read(&mut request) else { return };
        let text = String::from_utf8_lossy(&request[..read]).to_lowercase();
        let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let body = format!(
            "sni={} host={} client={}",
            stream.conn.server_name().unwrap_or("-"),
            host.split(':').next().unwrap_or_default(),
            stream.conn.peer_certificates().is_some()
        );
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    });
    address
}

/// What `server` answers at `host` and the port of `address`, or the error.
fn asked(host: &str, address: SocketAddr, server: Server) -> Result<String, (ErrorKind, String)> {
    let url = Url::parse(&format!("https://{host}:{}/", address.port())).unwrap();
    let request = Request::get(url, &CLUSTER).over(Transport::Server(Box::new(server)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = ReqwestHttp::new(&Env::default());
    let answer = runtime.block_on(http.send(&request, Duration::from_secs(20), &SystemClock::start()));
    match answer {
        Ok(answer) => Ok(String::from_utf8(answer.body).unwrap()),
        Err(error) => Err((error.kind(), error.what().to_owned())),
    }
}

fn with_roots(authority: &Authority) -> Server {
    Server { roots: Some(authority.pem()), ..Server::new("the cluster") }
}

#[test]
fn the_given_roots_are_believed_and_no_others() {
    let (right, wrong) = (Authority::new("Right"), Authority::new("Wrong"));
    let ok = asked("localhost", serve(&right, "localhost", None), with_roots(&right));
    assert_eq!(ok, Ok("sni=localhost host=localhost client=false".into()));
    let (kind, what) = asked("localhost", serve(&right, "localhost", None), with_roots(&wrong)).unwrap_err();
    assert_eq!(kind, ErrorKind::Tls);
    assert!(what.contains("comes from a CA that is not trusted here: CN=Right"), "{what}");
    let (kind, what) = asked("localhost", serve(&right, "localhost", None), Server::new("the cluster")).unwrap_err();
    assert_eq!(kind, ErrorKind::Tls, "{what}");
    let none = Server { roots: Some(b"no PEM".to_vec()), ..Server::new("the cluster") };
    let (_, what) = asked("localhost", serve(&right, "localhost", None), none).unwrap_err();
    assert_eq!(what, "the CA of the cluster holds no usable certificate");
}

#[test]
fn another_certificate_is_accepted_only_where_that_was_said() {
    let authority = Authority::new("Nobody's");
    let insecure = Server { insecure: true, ..Server::new("the cluster") };
    assert!(asked("localhost", serve(&authority, "another.example", None), insecure).is_ok());
    let (_, what) = asked("localhost", serve(&authority, "another.example", None), with_roots(&authority)).unwrap_err();
    assert!(what.contains("shows a certificate for another name"), "{what}");
}

#[test]
fn the_servers_name_is_sent_and_verified() {
    let authority = Authority::new("CA");
    let named = Server { name: Some("cluster.example".into()), ..with_roots(&authority) };
    let answer = asked("127.0.0.1", serve(&authority, "cluster.example", None), named.clone());
    assert_eq!(answer, Ok("sni=cluster.example host=127.0.0.1 client=false".into()));
    let (kind, _) = asked("127.0.0.1", serve(&authority, "other.example", None), named).unwrap_err();
    assert_eq!(kind, ErrorKind::Tls);
}

/// Two clusters behind one CA and server name are two servers.
#[test]
fn servers_that_share_a_name_are_not_confused() {
    let authority = Authority::new("CA");
    let named = Server { name: Some("cluster.example".into()), ..with_roots(&authority) };
    let http = ReqwestHttp::new(&Env::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let address = serve(&authority, "cluster.example", None);
        let url = Url::parse(&format!("https://{host}:{}/", address.port())).unwrap();
        let request = Request::get(url.clone(), &CLUSTER).over(Transport::Server(Box::new(named.clone())));
        let client = http.ready(&request.transport, &url).unwrap();
        assert_eq!(client.stand_in.as_deref(), Some(host));
        let answer = runtime.block_on(http.send(&request, Duration::from_secs(20), &SystemClock::start())).unwrap();
        assert!(String::from_utf8(answer.body).unwrap().contains(&format!("host={host} ")));
    }
}

#[test]
fn a_server_name_that_cannot_be_sent_is_refused() {
    let proxy = Url::parse("http://127.0.0.1:9").unwrap();
    let behind = Server { name: Some("a.example".into()), proxy: Some(proxy), ..Server::new("the cluster") };
    let by_address = Server { name: Some("10.0.0.1".into()), ..Server::new("the cluster") };
    for server in [behind, by_address] {
        let (kind, what) = asked("localhost", SocketAddr::from(([127, 0, 0, 1], 9)), server).unwrap_err();
        assert_eq!(kind, ErrorKind::OptionInvalid, "{what}");
    }
}

#[test]
fn a_given_address_stands_for_every_name() {
    let authority = Authority::new("CA");
    let address = serve(&authority, "cluster.invalid", None);
    let server = Server { address: Some(address), ..with_roots(&authority) };
    let answer = asked("cluster.invalid", address, server);
    assert_eq!(answer, Ok("sni=cluster.invalid host=cluster.invalid client=false".into()));
}

#[test]
fn a_client_shows_its_certificate() {
    let (authority, clients) = (Authority::new("CA"), Authority::new("Clients"));
    let with = |(certificates, key): (String, String)| {
        let client = ClientCertificate { certificates: certificates.into_bytes(), key: Secret::new(key) };
        Server { client: Some(client), ..with_roots(&authority) }
    };
    let served = || serve(&authority, "localhost", Some(&clients));
    let answer = asked("localhost", served(), with(clients.issue("ada")));
    assert_eq!(answer, Ok("sni=localhost host=localhost client=true".into()));
    assert!(asked("localhost", served(), with(authority.issue("eve"))).is_err());
    assert!(asked("localhost", served(), with_roots(&authority)).is_err());
    let (_, other) = clients.issue("x");
    let (_, what) = asked("localhost", served(), with((clients.issue("ada").0, other))).unwrap_err();
    assert_eq!(what, "the client certificate or its key cannot be used");
}

#[test]
fn a_given_proxy_leads_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 6443));
    let server = Server { proxy: Some(proxy), ..Server::new("the cluster") };
    let (kind, what) = asked("cluster.invalid", nowhere, server).unwrap_err();
    assert_eq!(kind, ErrorKind::Proxy, "{what}");
    assert!(asking.join().unwrap().starts_with("CONNECT cluster.invalid:6443 "));
}
