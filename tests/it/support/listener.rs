//! The part of a server below its protocol: connections on loopback, threads, and the end of both.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MAX_CONNECTIONS: usize = 256;
const IDLE: Duration = Duration::from_secs(120);

/// A TCP listener on loopback with one thread per connection; dropping it closes them all.
pub(super) struct Listening {
    addr: SocketAddr,
    open: Arc<Open>,
    acceptor: Option<JoinHandle<()>>,
}

impl Listening {
    pub(super) fn start(on_connection: impl Fn(usize, TcpStream, &Open) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let open = Arc::new(Open::new());
        let shared = Arc::clone(&open);
        let acceptor = thread::spawn(move || accept(&listener, &shared, Arc::new(on_connection)));
        Self { addr, open, acceptor: Some(acceptor) }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn connections(&self) -> usize {
        self.open.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.open.stop();
        // A last connection wakes `accept`, which then sees that it has to end.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept<F>(listener: &TcpListener, open: &Arc<Open>, on_connection: Arc<F>)
where
    F: Fn(usize, TcpStream, &Open) + Send + Sync + 'static,
{
    while let Ok((socket, _)) = listener.accept() {
        if open.stopped() {
            return;
        }
        let Some(number) = open.enter(&socket) else {
            continue;
        };
        let (open, on_connection) = (Arc::clone(open), Arc::clone(&on_connection));
        thread::spawn(move || {
            on_connection(number, socket, &open);
            open.leave(number);
        });
    }
}

/// The connections that are open, and whether it is time to go.
pub(super) struct Open {
    accepted: AtomicUsize,
    adopted: AtomicUsize,
    sockets: Mutex<HashMap<usize, TcpStream>>,
    stopped: Mutex<bool>,
    stopping: Condvar,
}

/// A socket that [`Open`] looks after although nobody connected to us with it.
pub(super) struct Adopted<'a> {
    open: &'a Open,
    number: usize,
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        self.open.leave(self.number);
    }
}

impl Open {
    fn new() -> Self {
        Self {
            accepted: AtomicUsize::new(0),
            // Counts down from the top, so that these never meet the numbers of connections.
            adopted: AtomicUsize::new(usize::MAX),
            sockets: Mutex::default(),
            stopped: Mutex::default(),
            stopping: Condvar::new(),
        }
    }

    /// Sleeps, but no longer than the server lives.
    pub(super) fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.stopping.wait_timeout(stopped, left);
            stopped = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of the new connection; `None` (and hung up) when there are too many.
    fn enter(&self, socket: &TcpStream) -> Option<usize> {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let mut sockets = lock(&self.sockets);
        if sockets.len() >= MAX_CONNECTIONS {
            return None;
        }
        socket.set_read_timeout(Some(IDLE)).ok()?;
        socket.set_nodelay(true).ok()?;
        sockets.insert(number, socket.try_clone().ok()?);
        Some(number)
    }

    /// Closes `socket` too when the server stops, for as long as the result is kept.
    pub(super) fn adopt(&self, socket: &TcpStream) -> io::Result<Adopted<'_>> {
        let number = self.adopted.fetch_sub(1, Ordering::SeqCst);
        lock(&self.sockets).insert(number, socket.try_clone()?);
        Ok(Adopted { open: self, number })
    }

    fn leave(&self, number: usize) {
        if let Some(socket) = lock(&self.sockets).remove(&number) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn stopped(&self) -> bool {
        *lock(&self.stopped)
    }

    fn stop(&self) {
        *lock(&self.stopped) = true;
        self.stopping.notify_all();
        for socket in lock(&self.sockets).values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Locks, also after a thread has panicked while holding it: the panic is reported by itself.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
