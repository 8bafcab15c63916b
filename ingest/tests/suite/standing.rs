//! Metrics say how far attribution has come.

use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_event::{Event, SignalKind};
use plaudit_ingest::log::MemoryLog;
use plaudit_ingest::service::AttributionService;

use crate::support::{append, at, clock, exposure, short, signal};

#[test]
fn watermark_lag_and_open_windows_are_told_by_shard() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let told = recorder.handle();
    let is_told = |line: &str| {
        let text = told.render();
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    };
    let play = async {
        let clock = clock(1_000);
        let log = std::sync::Arc::new(MemoryLog::new(clock.clone()));
        let mut service = AttributionService::new(log.clone(), short());
        append(&*log, Event::Exposure(exposure("e", 1_000))).await;
        append(&*log, Event::Signal(signal("s", "e", SignalKind::Love, 1_000))).await;
        clock.advance_to(at(1_010));
        append(&*log, Event::Signal(signal("t", "e", SignalKind::Copy, 1_010))).await;

        // What has the time of the horizon may get company: it is left for the next time.
        service.catch_up().await.unwrap();
        is_told("plaudit_attribution_watermark_timestamp_seconds{shard=\"0\"} 1.01");
        is_told("plaudit_attribution_open_exposures{shard=\"0\"} 1");
        is_told("plaudit_attribution_lag_offsets{topic=\"exposures\",shard=\"0\"} 0");
        is_told("plaudit_attribution_lag_offsets{topic=\"signals\",shard=\"0\"} 1");

        clock.advance_to(at(1_100));
        service.catch_up().await.unwrap();
        is_told("plaudit_attribution_watermark_timestamp_seconds{shard=\"0\"} 1.1");
        is_told("plaudit_attribution_open_exposures{shard=\"0\"} 0");
        is_told("plaudit_attribution_lag_offsets{topic=\"signals\",shard=\"0\"} 0");

        append(&*log, Event::Exposure(exposure("f", 1_100))).await;
        clock.advance_to(at(1_101));
        service.catch_up().await.unwrap();
        is_told("plaudit_attribution_open_exposures{shard=\"0\"} 1");
        drop(service);
        is_told("plaudit_attribution_open_exposures{shard=\"0\"} 0");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(play));
}
