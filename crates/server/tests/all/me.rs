use crate::redacted;
use gatepass_server::testing::TestServer;

#[tokio::test]
async fn who_is_signed_in() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let me = tomas.get("/v1/me").await;
    redacted(|| insta::assert_json_snapshot!(me.body));
    server.finish().await;
}
