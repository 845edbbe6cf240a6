//! Tells the schema generator what our alias for a time is.

fn main() {
    #[cfg(feature = "openapi")]
    utoipa_config::Config::new().alias_for("Time", "chrono::DateTime<chrono::Utc>").write_to_file();
}
