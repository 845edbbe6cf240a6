//! A login caught half way: who it is has been said, the proof comes after the access was removed.

use crate::holder::{access, password, target};
use crate::until;
use gatepass_connectors::Connector;
use gatepass_connectors::mariadb::account_name;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let mut body = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    stream.read_exact(&mut body).await.ok()?;
    Some((head[3], body))
}

async fn send(stream: &mut TcpStream, sequence: u8, body: &[u8]) {
    let length = u8::try_from(body.len()).unwrap();
    let _ = stream.write_all(&[&[length, 0, 0, sequence], body].concat()).await;
}

/// Connects and says who it is, with another way of proving it, so that the server has to answer first: the salt.
async fn half(port: u16, account: &str) -> (TcpStream, u8, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (sequence, _greeting) = packet(&mut stream).await.unwrap();
    // PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
    let mut hello = 0x0008_8201_u32.to_le_bytes().to_vec();
    hello.extend(0x0100_0000_u32.to_le_bytes());
    hello.push(33);
    hello.extend([0; 23]);
    hello.extend([account.as_bytes(), b"\0\x01x", b"mysql_clear_password\0"].concat());
    send(&mut stream, sequence + 1, &hello).await;
    let (sequence, switch) = packet(&mut stream).await.unwrap();
    assert_eq!(switch[0], 0xfe, "{switch:?}");
    let salt = switch[1..].split(|byte| *byte == 0).nth(1).unwrap();
    (stream, sequence, salt.to_vec())
}

/// The other half; whether it is in.
async fn whole((mut stream, sequence, salt): (TcpStream, u8, Vec<u8>), password: &str) -> bool {
    let once = Sha1::digest(password.as_bytes());
    let twice = Sha1::new().chain_update(salt).chain_update(Sha1::digest(once)).finalize();
    let proof: Vec<u8> = once.iter().zip(twice).map(|(a, b)| a ^ b).collect();
    send(&mut stream, sequence + 1, &proof).await;
    packet(&mut stream).await.is_some_and(|(_, answer)| answer[0] == 0)
}

#[tokio::test]
async fn a_login_half_way_does_not_get_in() {
    let target = target();
    let access = access(&["orders_reader"]);
    let account = account_name(access.grant);
    let secret = target.provision(&access).await;
    let port = target.server.port();
    assert!(whole(half(port, &account).await, password(&secret)).await, "the proof is right");
    until("that one is gone", async || {
        target.connector.inspect().await.unwrap().iter().all(|found| found.sessions == 0)
    })
    .await;

    let halves = [half(port, &account).await, half(port, &account).await];
    assert_eq!(target.connector.inspect().await.unwrap()[0].sessions, 2, "they count already");
    assert_eq!(target.connector.remove(access.grant).await.unwrap().sessions_ended, 2);
    for half in halves {
        assert!(!whole(half, password(&secret)).await);
    }
}
