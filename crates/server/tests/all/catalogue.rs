use crate::redacted;
use gatepass_server::testing::TestServer;

#[tokio::test]
async fn the_catalogue_and_the_people() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.auditor("ines").await;
    let catalogue = tomas.get("/v1/catalogue").await;
    redacted(|| insta::assert_json_snapshot!("catalogue", catalogue.body));
    let people = tomas.get("/v1/people").await;
    redacted(|| insta::assert_json_snapshot!("people", people.body));
    server.finish().await;
}
