//! A way of TCP that a test can break: in front of a server on this machine, with the ways a network fails.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// New ones end at once.
    Cut,
    /// Nothing passes; new ones are taken and hear nothing.
    Silent,
    /// Nothing passes until it is open again; then all that was sent does.
    Stalled,
}

struct State {
    way: Way,
    /// Where new connections lead to.
    target: u16,
    next: u64,
    /// Both ends of each connection.
    connections: HashMap<u64, [TcpStream; 2]>,
    /// Connections before this one were forgotten on the way: what is sent on them is swallowed.
    forgotten: u64,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A port on 127.0.0.1 that leads to another one. Ends with its connections when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Open, and leads to this port of 127.0.0.1.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let state = State {
            way: Way::Open,
            target,
            next: 0,
            connections: HashMap::new(),
            forgotten: 0,
            ended: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.lock().ended {
                    return;
                }
                if let Ok(client) = client {
                    accepting.connect(client);
                }
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Ends every connection; new ones pass.
    pub fn reset(&self) {
        close(&mut self.shared.lock());
    }

    /// Ends every connection, and new ones at once, until [`restore`](Self::restore).
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.way = Way::Cut;
        close(&mut state);
        self.shared.changed.notify_all();
    }

    /// Without a word to either side nothing passes any more. [`restore`](Self::restore) lets new connections pass;
    /// those of before are over, and end then.
    pub fn blackhole(&self) {
        let mut state = self.shared.lock();
        state.way = Way::Silent;
        state.forgotten = state.next;
        self.shared.changed.notify_all();
    }

    /// Nothing passes until [`restore`](Self::restore), and then everything that was sent, on the same connections.
    pub fn stall(&self) {
        self.shared.lock().way = Way::Stalled;
    }

    /// Everything passes again.
    pub fn restore(&self) {
        let mut state = self.shared.lock();
        if state.way == Way::Silent {
            close(&mut state);
        }
        state.way = Way::Open;
        self.shared.changed.notify_all();
    }

    /// New connections lead to another port of 127.0.0.1; those of before end.
    pub fn lead_to(&self, target: u16) {
        let mut state = self.shared.lock();
        state.target = target;
        close(&mut state);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        close(&mut state);
        self.shared.changed.notify_all();
        drop(state);
        // The thread that accepts looks once more.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn close(state: &mut State) {
    for ends in state.connections.drain().flat_map(|(_, ends)| ends) {
        // Over already is as good.
        let _ = ends.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.lock();
        if state.way == Way::Cut {
            return;
        }
        // Refused there is refused here.
        let Ok(server) = TcpStream::connect(("127.0.0.1", state.target)) else { return };
        for end in [&client, &server] {
            end.set_nodelay(true).expect("no delay");
        }
        let id = state.next;
        state.next += 1;
        if state.way == Way::Silent {
            state.forgotten = state.next;
        }
        let twin = |end: &TcpStream| end.try_clone().expect("a second handle");
        state.connections.insert(id, [twin(&client), twin(&server)]);
        for (from, to) in [(twin(&client), twin(&server)), (server, client)] {
            let shared = self.clone();
            thread::spawn(move || shared.pass(id, from, to));
        }
    }

    /// Passes on what comes until one end ends.
    fn pass(&self, id: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut state = self.lock();
            while state.way == Way::Stalled && state.connections.contains_key(&id) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let (forgotten, over) = (id < state.forgotten, !state.connections.contains_key(&id));
            drop(state);
            if over || (!forgotten && to.write_all(&bytes[..count]).is_err()) {
                break;
            }
        }
        let mut state = self.lock();
        while state.way == Way::Stalled && state.connections.contains_key(&id) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The end of a forgotten connection is not heard at the other side either.
        if id >= state.forgotten {
            for end in state.connections.remove(&id).into_iter().flatten() {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::time::Duration;

    /// A server that says everything back.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut back);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn said(stream: &mut TcpStream) -> std::io::Result<u8> {
        let mut byte = [0];
        stream.write_all(b"x")?;
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn it_passes_breaks_and_passes_again() {
        let proxy = Proxy::to(echo());
        let mut first = connect(&proxy);
        assert_eq!(said(&mut first).unwrap(), b'x');
        proxy.cut();
        assert!(said(&mut first).is_err());
        assert!(said(&mut connect(&proxy)).is_err());
        proxy.restore();
        let mut second = connect(&proxy);
        assert_eq!(said(&mut second).unwrap(), b'x');
        proxy.reset();
        assert!(said(&mut second).is_err());
        let mut third = connect(&proxy);
        assert_eq!(said(&mut third).unwrap(), b'x');

        let quiet = |stream: &mut TcpStream| {
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let error = said(stream).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        };
        proxy.stall();
        quiet(&mut third);
        proxy.restore();
        // What was held comes, and what is said now.
        assert_eq!(said(&mut third).unwrap(), b'x');
        third.read_exact(&mut [0]).unwrap();
        proxy.blackhole();
        quiet(&mut third);
        quiet(&mut connect(&proxy));
        proxy.restore();
        let mut rest = Vec::new();
        third.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "what was said meanwhile is lost");
        assert_eq!(said(&mut connect(&proxy)).unwrap(), b'x');
    }

    #[test]
    fn it_leads_elsewhere() {
        let proxy = Proxy::to(1);
        assert!(said(&mut connect(&proxy)).is_err(), "nobody listens there");
        proxy.lead_to(echo());
        assert_eq!(said(&mut connect(&proxy)).unwrap(), b'x');
    }
}
