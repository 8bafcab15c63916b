//! Model threads stay in their own pool.

use candle_core::{DType, Device, Tensor};
use plaudit_nn::runtime::pinned_pool;

/// One test in a process of its own: it observes whether the global pool exists.
#[test]
fn matrix_products_use_the_pool_of_their_thread_only() {
    let handle = pinned_pool("model", 1, || {
        let a = Tensor::ones((512, 512), DType::F32, &Device::Cpu).unwrap();
        let sum = a.matmul(&a).unwrap().sum_all().unwrap();
        let name = std::thread::current().name().map(str::to_owned);
        (sum.to_scalar::<f32>().unwrap(), rayon::current_num_threads(), name)
    })
    .unwrap();
    let (sum, threads, name) = handle.join().unwrap();
    assert_eq!(sum, 512.0 * 512.0 * 512.0);
    assert_eq!(threads, 1);
    assert_eq!(name.as_deref(), Some("model-0"));
    // Building the global pool succeeds only while nothing has used it.
    let global = rayon::ThreadPoolBuilder::new().num_threads(2).build_global();
    assert!(global.is_ok(), "the product went to the global pool");

    assert!(pinned_pool("model", 0, || ()).is_err());
}
