//! Servers as their callers describe them, over real TLS on this machine.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::Url;

use super::ReqwestHttp;
use crate::error::ErrorKind;
use crate::os::clock::SystemClock;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{ClientCertificate, Http, Peer, Request, Server, ServerProxy, TOKEN_GIVER, Transport};

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
        let Ok(read) = stream.read(&mut request) else {
            // Whoever closes with bytes unread takes the alert back that says why.
            let _ = tcp.shutdown(Shutdown::Write);
            let _ = tcp.read_to_end(&mut Vec::new());
            return;
        };
        let text = String::from_utf8_lossy(&request[..read]).to_lowercase();
        let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let body = format!(
            "sni={} host={} client={}{}",
            stream.conn.server_name().unwrap_or("-"),
            host.split(':').next().unwrap_or_default(),
            stream.conn.peer_certificates().is_some(),
            text.lines()
                .find(|line| line.starts_with("authorization: "))
                .map(|line| format!(" {line}"))
                .unwrap_or_default()
        );
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    });
    address
}

/// What `server` answers at `host` and the port of `address`, or the error.
fn asked(host: &str, address: SocketAddr, server: Server) -> Result<String, (ErrorKind, String)> {
    let url = Url::parse(&format!("https://{host}:{}/", address.port())).unwrap();
    sent(&Env::default(), &Request::get(url, &CLUSTER).over(Transport::Server(Box::new(server))))
}

fn sent(env: &Env, request: &Request) -> Result<String, (ErrorKind, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = ReqwestHttp::new(env);
    let answer = runtime.block_on(http.send(request, Duration::from_secs(20), &SystemClock::start()));
    match answer {
        Ok(answer) => Ok(String::from_utf8(answer.body).unwrap()),
        Err(error) => Err((error.kind(), error.what().to_owned())),
    }
}

fn cluster() -> Server {
    Server::new("the cluster", ServerProxy::Environment)
}

fn with_roots(authority: &Authority) -> Server {
    Server { roots: Some(authority.pem()), ..cluster() }
}

#[test]
fn the_given_roots_are_believed_and_no_others() {
    let (right, wrong) = (Authority::new("Right"), Authority::new("Wrong"));
    let ok = asked("localhost", serve(&right, "localhost", None), with_roots(&right));
    assert_eq!(ok, Ok("sni=localhost host=localhost client=false".into()));
    let (kind, what) = asked("localhost", serve(&right, "localhost", None), with_roots(&wrong)).unwrap_err();
    assert_eq!(kind, ErrorKind::Tls);
    assert!(what.contains("comes from a CA that is not trusted here: CN=Right"), "{what}");
    let (kind, what) = asked("localhost", serve(&right, "localhost", None), cluster()).unwrap_err();
    assert_eq!(kind, ErrorKind::Tls, "{what}");
    let none = Server { roots: Some(b"no PEM".to_vec()), ..cluster() };
    let (_, what) = asked("localhost", serve(&right, "localhost", None), none).unwrap_err();
    assert_eq!(what, "the CA of the cluster holds no usable certificate");
}

#[test]
fn another_certificate_is_accepted_only_where_that_was_said() {
    let authority = Authority::new("Nobody's");
    let insecure = Server { insecure: true, ..cluster() };
    assert!(asked("localhost", serve(&authority, "another.example", None), insecure).is_ok());
    let (kind, what) =
        asked("localhost", serve(&authority, "another.example", None), with_roots(&authority)).unwrap_err();
    assert_eq!(kind, ErrorKind::TlsName);
    assert!(what.contains("shows a certificate for another name"), "{what}");
}

/// Our token, and what asks for one, are for verified servers. What the entry itself holds goes where kubectl sends it.
#[test]
fn nothing_of_ours_goes_to_a_server_that_is_not_verified() {
    let authority = Authority::new("Nobody's");
    let own = Server { authorization: Some(Secret::new("Basic own")), ..cluster() };
    let insecure = Server { insecure: true, ..own.clone() };
    let to = |scheme: &str, port: u16, server: &Server, peer| {
        let url = Url::parse(&format!("{scheme}://localhost:{port}/")).unwrap();
        Request::get(url, peer).over(Transport::Server(Box::new(server.clone())))
    };
    let refused = |request: Request| {
        let (kind, what) = sent(&Env::default(), &request).unwrap_err();
        assert_eq!(kind, ErrorKind::OptionInvalid);
        what
    };
    let why = "the question is not sent to the cluster, whose certificate is not verified";
    for header in ["Authorization", "authorization", "Impersonate-User"] {
        assert_eq!(refused(to("https", 9, &insecure, &CLUSTER).header(header, "Bearer ours")), why);
    }
    let why = "the question is not sent to the cluster, which is not asked by https";
    assert_eq!(refused(to("http", 9, &own, &CLUSTER).header("Authorization", "Bearer ours")), why);
    refused(to("https", 9, &insecure, &TOKEN_GIVER));
    let port = || serve(&authority, "another.example", None).port();
    let answer = sent(&Env::default(), &to("https", port(), &insecure, &CLUSTER).header("Accept", "application/json"));
    assert_eq!(answer, Ok("sni=localhost host=localhost client=false authorization: basic own".into()));
    let verified = Server { roots: Some(authority.pem()), ..own };
    let port = serve(&authority, "localhost", None).port();
    let answer = sent(&Env::default(), &to("https", port, &verified, &CLUSTER).header("Authorization", "Bearer ours"));
    assert_eq!(answer, Ok("sni=localhost host=localhost client=false authorization: bearer ours".into()));
}

#[test]
fn the_servers_name_is_sent_and_verified() {
    let authority = Authority::new("CA");
    let named = Server { name: Some("cluster.example".into()), ..with_roots(&authority) };
    let answer = asked("127.0.0.1", serve(&authority, "cluster.example", None), named.clone());
    assert_eq!(answer, Ok("sni=cluster.example host=127.0.0.1 client=false".into()));
    let (kind, _) = asked("127.0.0.1", serve(&authority, "other.example", None), named).unwrap_err();
    assert_eq!(kind, ErrorKind::TlsName);
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
    let behind = Server { name: Some("a.example".into()), proxy: ServerProxy::Given(proxy), ..cluster() };
    let by_address = Server { name: Some("10.0.0.1".into()), ..cluster() };
    for server in [behind, by_address] {
        let (kind, what) = asked("localhost", SocketAddr::from(([127, 0, 0, 1], 9)), server).unwrap_err();
        assert_eq!(kind, ErrorKind::OptionInvalid, "{what}");
    }
}

#[test]
fn a_given_address_stands_for_every_name() {
    let authority = Authority::new("CA");
    let address = serve(&authority, "cluster.invalid", None);
    let server = Server { address: Some(address.ip()), ..with_roots(&authority) };
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
    let (kind, what) = asked("localhost", served(), with_roots(&authority)).unwrap_err();
    assert_eq!(kind, ErrorKind::TlsClientCertificate, "{what}");
    assert!(what.ends_with(" wants a client certificate"), "{what}");
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
    let server = Server { proxy: ServerProxy::Given(proxy), ..cluster() };
    let (kind, what) = asked("cluster.invalid", nowhere, server).unwrap_err();
    assert_eq!(kind, ErrorKind::Proxy, "{what}");
    assert!(asking.join().unwrap().starts_with("CONNECT cluster.invalid:6443 "));
}

/// A proxy that leads one `CONNECT` to `target`, whatever name it is asked for; gives its address and the request.
fn tunnel(target: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"CONNECT "), "a tunnel and nothing else");
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        String::from_utf8(head).unwrap()
    });
    (address, asked)
}

/// The proxy looks up the name and sees nothing but it: the server is verified through it, and the token is for the
/// server.
#[test]
fn a_proxy_leads_to_a_verified_server() {
    let authority = Authority::new("CA");
    for given in [true, false] {
        let target = serve(&authority, "cluster.invalid", None);
        let (address, asking) = tunnel(target);
        let proxy = format!("http://{address}");
        let url = Url::parse(&format!("https://cluster.invalid:{}/", target.port())).unwrap();
        let (env, proxy) = if given {
            let elsewhere = Env::from([("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "*")]);
            (elsewhere, ServerProxy::Given(Url::parse(&proxy).unwrap()))
        } else {
            (Env::from([("HTTPS_PROXY", proxy.as_str())]), ServerProxy::Environment)
        };
        let server = Transport::Server(Box::new(Server { proxy, ..with_roots(&authority) }));
        let answer = sent(&env, &Request::get(url, &CLUSTER).header("Authorization", "Bearer ours").over(server));
        let expected = "sni=cluster.invalid host=cluster.invalid client=false authorization: bearer ours";
        assert_eq!(answer, Ok(expected.into()));
        let head = asking.join().unwrap();
        assert!(head.starts_with(&format!("CONNECT cluster.invalid:{} HTTP/1.1\r\n", target.port())), "{head}");
        assert!(!head.contains("ours"), "{head}");
    }
}

/// As with kubectl: this machine need not know the name.
#[test]
fn a_socks5_proxy_looks_up_the_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Url::parse(&format!("socks5://{}", listener.local_addr().unwrap())).unwrap();
    let asking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).unwrap();
        stream.read_exact(&mut vec![0; greeting[1].into()]).unwrap();
        stream.write_all(&[5, 0]).unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).unwrap();
        let mut name = vec![0; request[4].into()];
        stream.read_exact(&mut name).unwrap();
        let _ = stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
        (request[3], String::from_utf8(name).unwrap())
    });
    let server = Server { proxy: ServerProxy::Given(proxy), ..cluster() };
    asked("cluster.invalid", SocketAddr::from(([127, 0, 0, 1], 6443)), server).unwrap_err();
    assert_eq!(asking.join().unwrap(), (3, "cluster.invalid".to_owned()));
}

#[test]
fn a_connection_that_does_not_stand_in_time_has_its_kind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let (kind, what) = sent(&Env::default(), &Request::get(url, &CLUSTER).over(Transport::Probe)).unwrap_err();
    assert_eq!(kind, ErrorKind::ConnectTimeout, "{what}");
}
