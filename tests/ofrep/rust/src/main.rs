//! The official provider for Rust against the server at the first argument; prints what `../run` compares.

use open_feature::provider::FeatureProvider;
use open_feature::{EvaluationContext, EvaluationErrorCode};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base_url = std::env::args().nth(1).ok_or("usage: ofrep-client BASE_URL")?;
    let provider = OfrepProvider::new(OfrepOptions { base_url, ..Default::default() }).await.map_err(|e| format!("{e:?}"))?;
    let of = |user: &str| EvaluationContext::default().with_targeting_key(user).with_custom_field("plan", "pro");
    for user in (0..60).map(|number| format!("user-{number}")).chain(["tester".to_owned()]) {
        let found = provider.resolve_string_value("tone", &of(&user)).await.map_err(|e| format!("{e:?}"))?;
        println!("{user} {} {}", found.value, found.variant.unwrap_or_default());
    }
    let missing = provider.resolve_string_value("nothing", &of("user-1")).await;
    println!("missing {}", missing.is_err_and(|error| error.code == EvaluationErrorCode::FlagNotFound));
    println!("typed {}", provider.resolve_bool_value("tone", &of("user-1")).await.is_err());
    println!("nobody {}", provider.resolve_string_value("tone", &EvaluationContext::default()).await.is_err());
    Ok(())
}
