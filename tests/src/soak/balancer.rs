//! The address that a device knows: each new connection leads to the next node.

use gatepass_testkit::Proxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Round robin over ports of 127.0.0.1, without looking who is healthy. Ends when dropped; what it carries goes on
/// until one side ends.
pub struct Balancer {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Balancer {
    pub async fn over(nodes: Arc<Vec<Proxy>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let next = AtomicUsize::new(0);
        let accepting = tokio::spawn(async move {
            while let Ok((mut device, _)) = listener.accept().await {
                let node = nodes[next.fetch_add(1, Ordering::Relaxed) % nodes.len()].port();
                tokio::spawn(async move {
                    // A node that is gone is gone for the device.
                    if let Ok(mut node) = TcpStream::connect(("127.0.0.1", node)).await {
                        let _ = copy_bidirectional(&mut device, &mut node).await;
                    }
                });
            }
        });
        Self { port, accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
